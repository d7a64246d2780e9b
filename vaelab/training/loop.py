"""Training: a schedule that ends by itself, the best model kept, and resume.

The objective is the model's negative ELBO (beta, free bits and warm-up as configured); classifiers are solved
before the first step (`vaelab.training.classifier`). The state holds a running average of the weights, which is what is
evaluated and kept. Data order and noise are pure functions of (seed, step), so a resumed run is the same run.
"""

import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from vaelab import model as models
from vaelab.audio import timbre
from vaelab.config import Config, ModelConfig, TrainConfig
from vaelab.data import Dataset, load_dataset
from vaelab.datasets.feature_store import FeatureStore
from vaelab.models import checkpoint, devices, familiarity
from vaelab.models.evaluate import Sounds, balanced, evaluate
from vaelab.pca import fit as fit_principal
from vaelab.training import classifier, train_step
from vaelab.training.batches import Resident, StoredRows, Streamed, feed, fits
from vaelab.training.logdir import Evaluation, Progress, TrainError, open_run, restore, save_best, save_run, writing
from vaelab.training.progress_bar import Bar
from vaelab.training.schedule import warm_up

DISPATCH_SECONDS = 0.5  # of work given to a device at a time, so that a stop is soon heard


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
    sources = {entry.sha256: loaded.source(entry) for entry in loaded.entries}
    failed = store.build(sources, progress and devices.is_first())
    for entry in loaded.entries:
        if entry.sha256 in failed and devices.is_first():
            print(f"left out: {failed[entry.sha256]}: {entry.path!a}")
    sides = [gather(loaded, side, store, config.model, config.train) for side in ("train", "validation")]
    model = fit(*sides, config, logdir, run.seed, num_steps, on_evaluation, progress, tapes=loaded.named_tapes())
    if devices.is_first():
        with writing(logdir):
            familiarity.keep(logdir / "best.safetensors", *sides)
    return model


def gather(
    dataset: Dataset, side: str, store: FeatureStore, config: ModelConfig, train_config: TrainConfig | None = None
) -> Sounds:
    """The stored features and labels of one side, "train" or "validation".

    Args:
        dataset: Which sounds.
        side: Of them.
        store: Where their features are.
        config: Whose label sets.
        train_config: Features beyond its `device_megabytes` stay in the store until they are needed; None reads all.

    Raises:
        TrainError: Nothing on this side could be read.
    """
    entries = [entry for entry in dataset.side(side) if entry.sha256 in store]
    if not entries:
        raise TrainError(f"dataset {dataset.name}: expected readable sounds on the {side} side, found none")
    rows = StoredRows(store, [entry.sha256 for entry in entries])
    reads_all = train_config is None or fits(rows.nbytes, train_config)
    features = rows[np.arange(len(rows))] if reads_all else rows
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
    tapes: Sequence[dict[str, Any]] = (),
) -> models.Model:
    """Train until the schedule ends, `num_steps` are done, or a signal asks to stop; keep the best.

    Writes `best.safetensors`, the newest `state-STEP.safetensors` and `metrics.jsonl` into `logdir`, and
    goes on from the newest state found there. Of several hosts (`devices.join`), the first one writes, and all
    see the same logdir.

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
        tapes: That the sounds come from; the model names them, and so does what it generates.

    Returns:
        The best model by held-out loss.

    Raises:
        TrainError: The loss is no longer finite, another process trains here, or the logdir cannot be written to.
        ConfigError: A batch cannot be split over the devices.
        files.NoRoomError: The disk is full.
    """
    logdir = Path(logdir)
    devices.mesh(config.train.batch_size)
    with writing(logdir) if devices.is_first() else nullcontext():
        model = start(training, config, logdir, jax.random.fold_in(jax.random.key(seed), 0), create)
        run = _Training(model, training, held_out, config, logdir, seed, on_evaluation, tapes)
        run.until(num_steps, progress and devices.is_first())
        devices.wait_for_all("saved")
        return _load(logdir / "best.safetensors", model)


def start(
    training: Sounds, config: Config, logdir: Path, key: jax.Array, create: Callable[..., models.Model] = models.create
) -> models.Model:
    """The model that a run starts from, kept as `start.safetensors` so that a resumed run has the very same."""
    path = logdir / "start.safetensors"
    if path.exists():
        try:
            return _load(path, jax.eval_shape(partial(create, config.model, config.audio), key))
        except checkpoint.CheckpointError as error:
            print(f"made again from the sounds: {error}")
    sizes, principal = config.model, None
    if sizes.components:
        logits = sizes.likelihood == "cross_entropy"
        principal = fit_principal(training.features, sizes.components, sizes.latent_dim, logits)
    model = create(sizes, config.audio, key, principal)
    if "timbre" in model.params:
        scale = timbre.fit(training.features, sizes.cepstra)._asdict()
        model = dataclasses.replace(model, params={**model.params, "timbre": scale})
        model = classifier.fitted(model, training)
    if devices.is_first():
        checkpoint.save_model(path, model, {})
    return model


def _load(path: Path, skeleton: models.Model) -> models.Model:
    """The skeleton with the weights of a model file."""
    weights, _ = checkpoint.split(checkpoint.load(path)[0])
    return dataclasses.replace(skeleton, params=checkpoint.fill(skeleton.params, weights, path))


class _Training:
    """A run at work: what it holds, and the loop around it."""

    def __init__(
        self,
        model: models.Model,
        training: Sounds,
        held_out: Sounds,
        config: Config,
        logdir: Path,
        seed: int,
        on_evaluation: Callable[[Evaluation], None] | None,
        tapes: Sequence[dict[str, Any]],
    ):
        """Begin, or go on from the newest state in `logdir`."""
        self.model, self.config, self.logdir, self.seed = model, config, logdir, seed
        self.held_out, self.on_evaluation, self.tapes = held_out, on_evaluation, tapes
        self.mesh = devices.mesh(config.train.batch_size)
        everywhere = devices.everywhere(self.mesh)
        key = jax.random.key(seed)
        trained, fixed = models.trainable(model.params)
        self.noise_key = devices.place_key(jax.random.fold_in(key, 1), self.mesh)
        self.evaluation_key = jax.random.fold_in(key, 2)
        self.run: Progress = restore(logdir, train_step.start(trained, config.train))
        self.step = int(self.run.state.step)
        if not devices.agree(self.step):
            raise TrainError(f"{logdir}: expected one logdir that all hosts see, found different states")
        self.run.state = devices.place(self.run.state, everywhere)
        self.feed: Resident | Streamed = feed(training, seed, config.train, self.mesh)
        self.fixed = devices.place(fixed, everywhere)
        self.step_seconds = 0.0

    def until(self, num_steps: int | None, progress: bool) -> None:
        """Train until the schedule ends, so many steps are done, or a signal asks to stop; save."""
        config, last = self.config.train, np.inf if num_steps is None else num_steps
        with stop_on_signal() as stopped, Bar(self.step, num_steps, config, progress) as bar:
            try:
                self._loop(last, stopped, bar)
            finally:
                self.feed.close()
            if stopped.is_set():
                bar.say(f"stopped at step {self.step}; the same command goes on from there")
        between = self.step % config.evaluate_every != 0
        if between:
            self._save(save_run, self.run)  # before the last evaluation, of which a run that goes on knows nothing
        if between or not self.run.history:
            seen = self._judge()
            if seen.metrics["loss"] < self.run.schedule.best:
                self._save(save_best, seen, self.seed, self.tapes)
            self._tell(seen)

    def _loop(self, last: float, stopped: threading.Event, bar: Bar) -> None:
        waiting: list[tuple[int, dict]] = []  # dispatches that the host has not looked at: one at most
        count = self._next(self.step, last)
        while count and not self.run.schedule.done and not devices.any_host(stopped.is_set()):
            start, after = time.perf_counter(), self._next(self.step + count, last)
            metrics = self._dispatch(count, after)
            self.run.pending.append(metrics)
            self.step += count
            for step, earlier in waiting:
                self._look(step, earlier, bar)
            waiting = [(self.step, metrics)]
            if self.step % self.config.train.evaluate_every == 0:
                self._look(*waiting.pop(), bar)
                self._evaluate(bar)
            else:
                self.step_seconds = (time.perf_counter() - start) / count
            count = after
        for step, earlier in waiting:
            self._look(step, earlier, bar)

    def _next(self, step: int, last: float) -> int:
        """How many steps to give to the device at once, from a step on: none crosses an evaluation or the end."""
        config = self.config.train
        count = config.steps_per_dispatch
        if self.step_seconds and jax.process_count() == 1:
            count = max(1, min(count, int(DISPATCH_SECONDS / self.step_seconds)))
        return int(min(count, config.evaluate_every - step % config.evaluate_every, max(0, last - step)))

    def _dispatch(self, count: int, after: int) -> dict:
        config = self.config.train
        features, rows = self.feed.take(self.step, count, after)
        numbers = range(self.step, self.step + config.steps_per_dispatch)
        rate = np.array([self.run.schedule.rate(step, config) for step in numbers], np.float32)
        beta = np.array([config.beta * warm_up(step, config) for step in numbers], np.float32)
        data = train_step.Data(self.fixed, features)
        batches = train_step.Batches(rows, rate, beta, np.int32(count))
        self.run.state, metrics = train_step.run_steps(
            self.run.state, data, batches, self.noise_key, self.model.module, self.config, self.mesh
        )
        return metrics

    def _look(self, step: int, metrics: dict, bar: Bar) -> None:
        """Look at the metrics of a dispatch that ended with a step, when it is done."""
        losses = np.asarray(devices.fetch(metrics["train_loss"]))
        if not np.isfinite(losses).all():
            bad = step - len(losses) + 1 + int(np.flatnonzero(~np.isfinite(losses))[0])
            raise TrainError(
                f"{self.logdir}: the loss was no longer finite at step {bad}, seen after step {self.step}; what was "
                "saved before is kept. Try a lower learning_rate or gradient_clip in a new logdir"
            )
        bar.done(step, float(losses[-1]), self.run.schedule)

    def _evaluate(self, bar: Bar) -> None:
        seen = self._judge()
        if not np.isfinite(seen.metrics["loss"]):
            raise TrainError(
                f"{self.logdir}: the held-out loss was not finite at step {self.step}; what was saved before is kept. "
                "Try a lower learning_rate or gradient_clip in a new logdir"
            )
        if self.run.take(seen, self.config.train):
            self._save(save_best, seen, self.seed, self.tapes)
        self._save(save_run, self.run)
        bar.evaluated(seen.metrics)
        self._tell(seen)

    def _judge(self) -> Evaluation:
        averaged = dataclasses.replace(self.model, params={**self.run.state.average, **self.fixed})
        metrics, confusion = evaluate(averaged, self.held_out, self.config.train, self.evaluation_key)
        rate = self.run.schedule.rate(self.step, self.config.train)
        metrics = {"step": self.step, "rate": rate, **metrics, **self.run.means()}
        kept = jax.tree.map(np.array, devices.fetch(averaged))  # what is on the device is the next step's to overwrite
        return Evaluation(self.step, metrics, confusion, [*self.run.history, metrics], kept)

    def _save(self, write: Callable, *what) -> None:
        if devices.is_first():
            write(self.logdir, *what)

    def _tell(self, seen: Evaluation) -> None:
        if self.on_evaluation is not None and devices.is_first():
            self.on_evaluation(seen)


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


def _index(names: tuple[str, ...], label: str | None) -> int:
    return names.index(label) if label in names else -1
