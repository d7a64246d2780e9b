"""Training: one jitted step, a schedule that ends by itself, the best model kept, and resume.

The objective is the model's negative ELBO (beta, free bits and warm-up as configured) plus weighted
cross-entropy of the known labels. The state holds a running average of the weights, which is what is
evaluated and kept. Data order and noise are pure functions of (seed, step), so a resumed run is the same run.
"""

import dataclasses
import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm.auto import tqdm

from vaelab import checkpoint, files
from vaelab import model as models
from vaelab.config import Config, ModelConfig, TrainConfig
from vaelab.data import Dataset, load_dataset
from vaelab.evaluate import Sounds, balanced, evaluate
from vaelab.schedule import Schedule, warm_up
from vaelab.store import FeatureStore

LABEL_SET = "class"
STATES_KEPT = 2


class TrainError(Exception):
    """Training that cannot start or go on; the message says why and what to do."""


class TrainState(NamedTuple):
    """What a step changes: weights, their running average, the optimiser's state, and the step's number."""

    params: Any
    average: Any
    optimiser: Any
    step: jax.Array


class Evaluation(NamedTuple):
    """The held-out sounds as the averaged model sees them, given to `on_evaluation`.

    Attributes:
        step: Steps done.
        metrics: Means over all held-out sounds, by name.
        confusion: For each label set, counts int (true class, chosen class).
        history: The metrics of all evaluations so far.
        model: The averaged model.
    """

    step: int
    metrics: dict[str, float]
    confusion: dict[str, np.ndarray]
    history: list[dict[str, float]]
    model: models.Model


def train(
    logdir: str | Path,
    dataset: str | None = None,
    config: Config | None = None,
    seed: int = 0,
    num_steps: int | None = None,
    home: str | Path = "datasets",
    on_evaluation: Callable[[Evaluation], None] | None = None,
    progress: bool = True,
) -> models.Model:
    """Train a model on a dataset, or go on with the one in `logdir`, until it stops by itself.

    Args:
        logdir: Folder of the model. If it holds a run already, that run is resumed with its own dataset,
            config and seed.
        dataset: Name of the dataset; needed for a new run.
        config: Knobs of a new run; the classes are taken from the dataset.
        seed: Of a new run.
        num_steps: Total steps after which to stop at the latest.
        home: Where datasets live.
        on_evaluation: Called after each evaluation.
        progress: Show bars.

    Returns:
        The best model by held-out loss.

    Raises:
        TrainError: A new run without a dataset, or a resumed one with another dataset or config.
        DatasetError: No such dataset.
    """
    logdir = Path(logdir)
    run = _open_run(logdir, dataset, config, seed, home)
    config = run.config
    loaded = load_dataset(run.dataset, home)
    store = FeatureStore(Path(home) / ".store", config.audio)
    failed = store.build({entry.sha256: loaded.source(entry) for entry in loaded.entries}, progress)
    for entry in loaded.entries:
        if entry.sha256 in failed:
            print(f"left out: {failed[entry.sha256]}: {entry.path!a}")
    sides = [gather(loaded, side, store, config.model) for side in ("train", "validation")]
    return fit(*sides, config, logdir, run.seed, num_steps, on_evaluation, progress)


def gather(dataset: Dataset, side: str, store: FeatureStore, config: ModelConfig) -> Sounds:
    """The stored features and labels of one side, "train" or "validation".

    Raises:
        TrainError: Nothing on this side could be read.
    """
    entries = [entry for entry in dataset.side(side) if entry.sha256 in store]
    if not entries:
        raise TrainError(f"dataset {dataset.name}: expected readable sounds on the {side} side, found none")
    features, _ = store.rows([entry.sha256 for entry in entries])
    columns = [[_index(names, entry.label) for entry in entries] for _, names in config.labels]
    labels = np.array(columns, np.int32).T.reshape(len(entries), len(config.labels))
    names = tuple(str(dataset.source(entry)) for entry in entries)
    return Sounds(features, labels, balanced(labels), names)


def fit(
    training: Sounds,
    held_out: Sounds,
    config: Config,
    logdir: str | Path,
    seed: int = 0,
    num_steps: int | None = None,
    on_evaluation: Callable[[Evaluation], None] | None = None,
    progress: bool = True,
) -> models.Model:
    """Train until the schedule ends, `num_steps` are done, or a signal asks to stop; keep the best.

    Writes `best.safetensors`, the newest `state-STEP.safetensors` and `metrics.jsonl` into `logdir`, and
    goes on from the newest state found there.

    Args:
        training: Sounds to train on.
        held_out: Sounds to evaluate on, all of them each time, with the same noise.
        config: All knobs.
        logdir: Where to.
        seed: Of weights, order and noise.
        num_steps: Total steps after which to stop at the latest.
        on_evaluation: Called after each evaluation.
        progress: Show a bar.

    Returns:
        The best model by held-out loss.
    """
    logdir = Path(logdir)
    logdir.mkdir(parents=True, exist_ok=True)
    key = jax.random.key(seed)
    model = models.create(config.model, config.audio, jax.random.fold_in(key, 0))
    noise_key, evaluation_key = jax.random.fold_in(key, 1), jax.random.fold_in(key, 2)
    state, schedule, history = _restore(logdir, _start(model, config.train))
    resident = jax.device_put((training.features, training.labels, training.weights))
    last = num_steps if num_steps is not None else np.iinfo(np.int32).max
    step, waiting_metrics = int(state.step), []

    with (
        stop_on_signal() as stopped,
        tqdm(total=num_steps, initial=step, desc="training", unit="step", disable=not progress) as bar,
    ):
        while step < last and not schedule.done and not stopped.is_set():
            state, metrics = train_step(
                state,
                *resident,
                batch_indices(seed, step, config.train.batch_size, len(training.features)),
                noise_key,
                jnp.float32(schedule.rate(step, config.train)),
                jnp.float32(config.train.beta * warm_up(step, config.train)),
                model.module,
                config.train,
            )
            step += 1
            waiting_metrics.append(metrics)
            bar.update()
            if step % config.train.evaluate_every and step < last:
                continue
            averaged = dataclasses.replace(model, params=state.average)
            metrics, confusion = evaluate(averaged, held_out, config.train, evaluation_key)
            metrics = {"step": step, "rate": schedule.rate(step, config.train), **metrics}
            metrics |= _mean_on_host(waiting_metrics)
            waiting_metrics.clear()
            history.append(metrics)
            improved = schedule.update(metrics["loss"], step, config.train)
            if improved:
                _save_best(logdir, averaged, metrics, seed)
            _save_state(logdir, state, schedule, history)
            bar.set_postfix(
                loss=f"{metrics['train_loss']:.0f}",
                held_out=f"{metrics['loss']:.0f}",
                kl=f"{metrics['kl']:.0f}",
                error=f"{metrics['error_db']:.2f} dB",
            )
            if on_evaluation is not None:
                on_evaluation(Evaluation(step, metrics, confusion, list(history), averaged))
        if stopped.is_set():
            _save_state(logdir, state, schedule, history)
            print(f"stopped at step {step}; the same command goes on from there")
    if not (logdir / "best.safetensors").exists():
        averaged = dataclasses.replace(model, params=state.average)
        _save_best(logdir, averaged, {"step": step}, seed)
    return checkpoint.load_model(logdir / "best.safetensors")[0]


@partial(jax.jit, static_argnames=("module", "config"), donate_argnames="state")
def train_step(
    state: TrainState,
    features: jax.Array,
    labels: jax.Array,
    weights: jax.Array,
    indices: jax.Array,
    key: jax.Array,
    rate: jax.Array,
    beta: jax.Array,
    module: models.IAFVAE,
    config: TrainConfig,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """One step of AdamW on the sounds at `indices`, and of the running average of the weights.

    Args:
        state: Donated.
        features: All training features, uint8 (sounds, frames, mels), resident on the device.
        labels: (sounds, label sets).
        weights: (sounds, label sets).
        indices: (batch,).
        key: Stream of noise; folded with the step.
        rate: Learning rate.
        beta: Weight of the KL term.
        module: The model.
        config: Knobs.

    Returns:
        The next state, and the batch's mean loss and its terms, still on the device.
    """
    batch = features[indices].astype(jnp.float32) / models.LEVELS
    noise = jax.random.fold_in(key, state.step)
    eps = jax.random.normal(noise, (indices.shape[0], module.config.latent_dim))

    def mean_loss(params):
        terms = module.apply({"params": params}, batch, eps, labels[indices])
        classes = (weights[indices] * terms.classes).sum(axis=1)
        nats = models.negative_elbo(terms, beta, config.free_bits) + config.class_weight * classes
        return nats.mean(), {"train_recon": terms.recon.mean(), "train_kl": terms.kl.mean()}

    (loss, metrics), gradients = jax.value_and_grad(mean_loss, has_aux=True)(state.params)
    updates, optimiser_state = optimiser(config).update(gradients, state.optimiser, state.params)
    params = optax.apply_updates(state.params, jax.tree.map(lambda update: -rate * update, updates))
    keep = jnp.minimum(config.average, (1 + state.step) / (10 + state.step))
    average = optax.incremental_update(params, state.average, 1 - keep)
    return TrainState(params, average, optimiser_state, state.step + 1), {"train_loss": loss, **metrics}


def optimiser(config: TrainConfig) -> optax.GradientTransformation:
    """AdamW without its rate, which `train_step` applies; biases and scales do not decay."""
    return optax.chain(
        optax.clip_by_global_norm(config.gradient_clip),
        optax.scale_by_adam(),
        optax.add_decayed_weights(
            config.weight_decay, mask=lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params)
        ),
    )


def batch_indices(seed: int, step: int, batch_size: int, sounds: int) -> np.ndarray:
    """Which sounds a step sees, (batch,): epochs are shuffled one by one and read without gaps."""
    positions = step * batch_size + np.arange(batch_size)
    epochs, places = np.divmod(positions, sounds)
    order = {epoch: _epoch_order(seed, int(epoch), sounds) for epoch in np.unique(epochs)}
    return np.array([order[epoch][place] for epoch, place in zip(epochs, places, strict=True)], np.int32)


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """Turn Ctrl-C, a notebook's stop button and SIGTERM into an event, so that a step is never cut in two.

    Signals reach the main thread only; elsewhere the event is never set.
    """
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    previous = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@dataclass(frozen=True)
class _Run:
    """What a logdir remembers of its run."""

    dataset: str
    config: Config
    seed: int


def _open_run(logdir: Path, dataset: str | None, config: Config | None, seed: int, home: str | Path) -> _Run:
    """The run that `logdir` remembers, or a new one, written down."""
    path = logdir / "run.json"
    if path.exists():
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            run = _Run(kept["dataset"], Config.from_dict(kept["config"]), kept["seed"])
        except (ValueError, KeyError, TypeError) as error:
            raise TrainError(f"{path}: expected a run's settings, found damaged text: {error}") from error
        if dataset not in (None, run.dataset):
            raise TrainError(f"{logdir}: holds a run on dataset {run.dataset!r}, not {dataset!r}; use another logdir")
        if config is not None and dataclasses.replace(config, model=run.config.model) != run.config:
            raise TrainError(f"{logdir}: holds a run with another config; use another logdir")
        return run
    if dataset is None:
        raise TrainError(f"{logdir}: holds no run to resume; name a dataset to start one (--dataset NAME)")
    config = config or Config()
    names = load_dataset(dataset, home).class_names
    if len(names) >= 2:
        labels = ((LABEL_SET, names),)
        config = dataclasses.replace(config, model=dataclasses.replace(config.model, labels=labels))
    run = _Run(dataset, config, seed)
    with files.replacing(path) as temporary:
        kept = {"dataset": dataset, "config": config.to_dict(), "seed": seed}
        temporary.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    return run


def _start(model: models.Model, config: TrainConfig) -> TrainState:
    copies = jax.tree.map(jnp.copy, model.params)  # donated buffers must not be shared
    return TrainState(model.params, copies, optimiser(config).init(model.params), jnp.int32(0))


def _restore(logdir: Path, start: TrainState) -> tuple[TrainState, Schedule, list[dict[str, float]]]:
    """The newest state in `logdir`, or the start."""
    saved = sorted(logdir.glob("state-*.safetensors"))
    if not saved:
        return start, Schedule(), []
    tensors, meta = checkpoint.load(saved[-1])
    state = checkpoint.fill(start, tensors, saved[-1])
    return state, Schedule(**meta["schedule"]), meta["history"]


def _save_state(logdir: Path, state: TrainState, schedule: Schedule, history: list) -> None:
    meta = {"kind": "train state", "schedule": dataclasses.asdict(schedule), "history": history}
    checkpoint.save(logdir / f"state-{int(state.step):08d}.safetensors", state, meta)
    for old in sorted(logdir.glob("state-*.safetensors"))[:-STATES_KEPT]:
        old.unlink()
    with files.replacing(logdir / "metrics.jsonl") as temporary:
        temporary.write_text("".join(json.dumps(metrics) + "\n" for metrics in history), encoding="ascii")


def _save_best(logdir: Path, model: models.Model, metrics: dict[str, float], seed: int) -> None:
    checkpoint.save_model(logdir / "best.safetensors", model, {"metrics": metrics, "seed": seed})


def _index(names: tuple[str, ...], label: str | None) -> int:
    return names.index(label) if label in names else -1


@lru_cache(maxsize=4)
def _epoch_order(seed: int, epoch: int, sounds: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(sounds)


def _mean_on_host(metrics: list[dict[str, jax.Array]]) -> dict[str, float]:
    fetched = jax.device_get(metrics)
    return {name: float(np.mean([entry[name] for entry in fetched])) for name in fetched[0]}
