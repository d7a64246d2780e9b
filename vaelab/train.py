"""Training: one jitted step, a schedule that ends by itself, the best model kept, and resume.

The objective is the model's negative ELBO (beta, free bits and warm-up as configured) plus weighted
cross-entropy of the known labels. The state holds a running average of the weights, which is what is
evaluated and kept. Data order and noise are pure functions of (seed, step), so a resumed run is the same run.
"""

import dataclasses
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm.auto import tqdm

from vaelab import checkpoint
from vaelab import model as models
from vaelab.config import Config, ModelConfig, TrainConfig
from vaelab.data import Dataset, load_dataset
from vaelab.evaluate import Sounds, balanced, evaluate
from vaelab.logdir import Evaluation, TrainError, open_run, restore, save_best, save_run
from vaelab.principal import fit as fit_principal
from vaelab.schedule import warm_up
from vaelab.store import FeatureStore


class TrainState(NamedTuple):
    """What a step changes: weights, their running average, the optimiser's state, and the step's number."""

    params: Any
    average: Any
    optimiser: Any
    step: jax.Array


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
    run = open_run(logdir, dataset, config, seed, home)
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
    create: Callable[..., models.Model] = models.create,
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
        create: Makes the model to start from; see `vaelab.model.create`.

    Returns:
        The best model by held-out loss.

    Raises:
        TrainError: The loss is no longer finite.
    """
    logdir = Path(logdir)
    key = jax.random.key(seed)
    model = start(training, config, logdir, jax.random.fold_in(key, 0), create)
    trained, fixed = models.trainable(model.params)
    noise_key, evaluation_key = jax.random.fold_in(key, 1), jax.random.fold_in(key, 2)
    run = restore(logdir, _start(trained, config.train))
    resident = jax.device_put(training[:3])
    step, last = int(run.state.step), np.inf if num_steps is None else num_steps

    def judge() -> Evaluation:
        averaged = dataclasses.replace(model, params={**run.state.average, **fixed})
        metrics, confusion = evaluate(averaged, held_out, config.train, evaluation_key)
        metrics = {"step": step, "rate": run.schedule.rate(step, config.train), **metrics, **run.means()}
        return Evaluation(step, metrics, confusion, [*run.history, metrics], averaged)

    with (
        stop_on_signal() as stopped,
        tqdm(total=num_steps, initial=step, desc="training", unit="step", disable=not progress) as bar,
    ):
        while step < last and not run.schedule.done and not stopped.is_set():
            indices = batch_indices(seed, step, config.train.batch_size, len(training.features))
            rate = jnp.float32(run.schedule.rate(step, config.train))
            beta = jnp.float32(config.train.beta * warm_up(step, config.train))
            run.state, metrics = train_step(
                run.state, fixed, *resident, indices, noise_key, rate, beta, model.module, config.train
            )
            step += 1
            run.pending.append(metrics)
            bar.update()
            if step % config.train.evaluate_every:
                continue
            seen = judge()
            if not np.isfinite([seen.metrics["loss"], seen.metrics["train_loss"]]).all():
                raise TrainError(
                    f"{logdir}: the loss was no longer finite by step {step}; what was saved before is kept. Try a "
                    "lower learning_rate or gradient_clip in a new logdir"
                )
            if run.take(seen, config.train):
                save_best(logdir, seen, seed)
            save_run(logdir, run)
            bar.set_postfix_str(_summary(seen.metrics))
            if on_evaluation is not None:
                on_evaluation(seen)
        if stopped.is_set():
            print(f"stopped at step {step}; the same command goes on from there")
    if step % config.train.evaluate_every:
        save_run(logdir, run)  # before the last evaluation, of which a run that goes on knows nothing
    if step % config.train.evaluate_every or not run.history:
        seen = judge()
        if seen.metrics["loss"] < run.schedule.best:
            save_best(logdir, seen, seed)
        if on_evaluation is not None:
            on_evaluation(seen)
    return _load(logdir / "best.safetensors", model)


@partial(jax.jit, static_argnames=("module", "config"), donate_argnames="state")
def train_step(
    state: TrainState,
    fixed: dict,
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
        fixed: The weights that training leaves alone.
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
    noise, dropout = jax.random.split(jax.random.fold_in(key, state.step))
    eps = jax.random.normal(noise, (indices.shape[0], module.config.latent_dim))

    def mean_loss(params):
        variables = {"params": {**params, **fixed}}
        terms = module.apply(variables, batch, eps, labels[indices], False, method="terms", rngs={"dropout": dropout})
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
        optax.scale_by_adam(b2=config.adam_b2),
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


def start(
    training: Sounds, config: Config, logdir: Path, key: jax.Array, create: Callable[..., models.Model] = models.create
) -> models.Model:
    """The model that a run starts from, kept as `start.safetensors` so that a resumed run has the very same."""
    path = logdir / "start.safetensors"
    if path.exists():
        return _load(path, jax.eval_shape(partial(create, config.model, config.audio), key))
    sizes, principal = config.model, None
    if sizes.components:
        logits = sizes.likelihood == "cross_entropy"
        principal = fit_principal(training.features, sizes.components, sizes.latent_dim, logits)
    model = create(sizes, config.audio, key, principal)
    checkpoint.save_model(path, model, {})
    return model


def _load(path: Path, skeleton: models.Model) -> models.Model:
    """The skeleton with the weights of a model file."""
    return dataclasses.replace(skeleton, params=checkpoint.fill(skeleton.params, checkpoint.load(path)[0], path))


def _start(params: dict, config: TrainConfig) -> TrainState:
    copies = jax.tree.map(jnp.copy, params)  # donated buffers must not be shared
    return TrainState(params, copies, optimiser(config).init(params), jnp.int32(0))


def _summary(metrics: dict[str, float]) -> str:
    return (
        f"loss {metrics['train_loss']:.0f}, held out {metrics['loss']:.0f}, kl {metrics['kl']:.0f}, "
        f"error {metrics['error_db']:.2f} dB"
    )


def _index(names: tuple[str, ...], label: str | None) -> int:
    return names.index(label) if label in names else -1


@lru_cache(maxsize=4)
def _epoch_order(seed: int, epoch: int, sounds: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(sounds)
