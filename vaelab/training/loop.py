"""Training: a schedule that ends by itself, the best model kept, and resume.

The objective is the model's negative ELBO (beta, free bits and warm-up as configured); classifiers are solved
before the first step (`vaelab.training.classifier`). The state holds a running average of the weights, which is what is
evaluated and kept. Data order and noise are pure functions of (seed, step), so a resumed run is the same run.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from vaelab import files
from vaelab import model as models
from vaelab.config import Config, ModelConfig, TrainConfig
from vaelab.data import Dataset
from vaelab.datasets.feature_store import FeatureStore
from vaelab.models import checkpoint, devices, familiarity
from vaelab.models.evaluate import Sounds, balanced, evaluate
from vaelab.training import probe, train_step
from vaelab.training.batches import StoredRows, feed, fits
from vaelab.training.learnt import LearntSounds, of_dataset
from vaelab.training.logdir import (
    Evaluation,
    RunState,
    StoppedError,
    TrainError,
    best_so_far,
    learnt_tapes,
    open_run,
    restore,
    save_best,
    save_run,
    write_metrics,
    writing,
)
from vaelab.training.progress_bar import Bar
from vaelab.training.schedule import Schedule, warm_up
from vaelab.training.starting import load_weights, start
from vaelab.training.stopping import stop_on_signal

FIGURES = {"loss": ("loss", ""), "audible_db": ("error where sounds are audible", " dB")}  # that may be followed
DISPATCH_SECONDS = 0.5  # of work dispatched at a time, so that a stop takes effect soon


def train(
    logdir: str | Path,
    dataset: str | None = None,
    config: Config | None = None,
    *,
    seed: int = 0,
    num_steps: int | None = None,
    home: str | Path = "datasets",
    on_evaluation: Callable[[Evaluation], None] | None = None,
    progress: bool = True,
    raise_if_stopped: bool = False,
) -> models.Model:
    """Train a model on a dataset, or go on with the one in `logdir`, until it stops by itself; return the best.

    A run whose dataset has changed since says so, judges its best model anew on the sounds held out now, and goes on at
    the first rate. Classes that it did not begin with are refused.

    Args:
        logdir: Folder of the model. If it holds a run already, that run is resumed with its own dataset,
            config and seed.
        dataset: Name of the dataset; needed for a new run.
        config: Knobs of a new run; the classes are taken from the dataset. Of a run that is resumed, those of training
            may differ: it goes on with them, and records that.
        seed: Of a new run.
        num_steps: Total steps after which to stop at the latest.
        home: Where datasets live.
        on_evaluation: Called after each evaluation.
        progress: Show bars.
        raise_if_stopped: Return no model of a run that a signal stopped, so that none is taken for a whole one.

    Raises:
        StoppedError: That, once the run is saved.
        TrainError: A new run without a dataset, or a resumed one with another dataset, front end, model or classes.
        DatasetError: No such dataset.
    """
    devices.check_precision()
    logdir = files.from_home(logdir)
    settings, loaded = open_run(logdir, dataset, config, seed, home)
    config = settings.config
    store = FeatureStore(files.from_home(home) / ".store", config.audio)
    sources = {entry.sha256: loaded.source(entry) for entry in loaded.entries}
    failed = store.build(sources, progress and devices.is_first())
    for entry in loaded.entries if devices.is_first() else ():
        if entry.sha256 in failed:
            print(f"left out: {failed[entry.sha256]}: {entry.path!a}")
    sides = [gather(loaded, side, store, config.model, config.train) for side in ("train", "validation")]
    if config.train.label_weight and len(set(sides[0].labels) - {-1}) < 2:
        raise TrainError(
            f"label_weight: expected two classes to train on in {loaded.name!r}, found fewer; use --classes"
        )
    model = fit(
        *sides,
        config,
        logdir,
        seed=settings.seed,
        num_steps=num_steps,
        on_evaluation=on_evaluation,
        progress=progress,
        raise_if_stopped=raise_if_stopped,
        tapes=learnt_tapes(logdir, loaded.named_tapes()),
        sounds=of_dataset(loaded, store),
    )
    if devices.is_first():
        with writing(logdir):
            levels, labels, weight = sides[0].features, sides[0].labels, config.train.label_weight
            fit_probe = partial(probe.fit, levels=levels, labels=labels, label_weight=weight)
            familiarity.keep(logdir / "best.safetensors", *sides, fit_probe)
    return model


def gather(
    dataset: Dataset, side: str, store: FeatureStore, config: ModelConfig, train_config: TrainConfig | None = None
) -> Sounds:
    """The stored features, and the labels among the config's classes, of one side: "train" or "validation".

    With a `train_config`, features beyond its `device_megabytes` stay in the store until they are needed.
    """
    entries = [entry for entry in dataset.side(side) if entry.sha256 in store]
    if not entries:
        raise TrainError(f"dataset {dataset.name}: expected readable sounds on the {side} side, found none")
    rows = StoredRows(store, [entry.sha256 for entry in entries])
    reads_all = train_config is None or fits(rows.nbytes, train_config)
    features = rows[np.arange(len(rows))] if reads_all else rows
    numbers = {name: number for number, name in enumerate(config.classes)}
    labels = np.array([numbers.get(entry.label, -1) for entry in entries], np.int32)
    return Sounds(features, labels, balanced(labels))


def fit(
    training: Sounds,
    held_out: Sounds,
    config: Config,
    logdir: str | Path,
    *,
    seed: int = 0,
    num_steps: int | None = None,
    on_evaluation: Callable[[Evaluation], None] | None = None,
    progress: bool = True,
    raise_if_stopped: bool = False,
    create: Callable[..., models.Model] = models.create,
    tapes: Sequence[dict[str, Any]] = (),
    sounds: LearntSounds | None = None,
) -> models.Model:
    """Train until the schedule ends, `num_steps` are done, or a signal asks to stop; keep the best.

    Writes `best.safetensors`, the newest `state-STEP.safetensors` and `metrics.jsonl` into `logdir`, and
    goes on from the newest state there. Of several hosts (`devices.join`), the first one writes, and all must see the
    same logdir.

    All held-out sounds are evaluated each time, with the same noise. `create` makes the model to start from, as
    `vaelab.model.create` does. `tapes`, those that the sounds were cut from, are stored in the model file and in the
    recipes of generated sounds. `sounds` says which they are, so that a run notices when they have changed. The other
    arguments are those of `train`. Returned is the best model by held-out loss.

    Raises:
        StoppedError: A signal stopped it, with `raise_if_stopped`.
        TrainError: The loss is no longer finite, another process trains here, or the logdir cannot be written to.
        ConfigError: A batch cannot be split over the devices.
        files.NoRoomError: The disk is full.
    """
    logdir, every = Path(logdir), config.train.evaluate_every
    mesh = devices.mesh(config.train.batch_size)
    last_step = np.inf if num_steps is None else num_steps
    with writing(logdir) if devices.is_first() else nullcontext():
        model = start(training, config, logdir, jax.random.fold_in(jax.random.key(seed), 0), create, sounds)
        trainer = _Trainer(model, held_out, config, logdir, seed, mesh, on_evaluation, tapes, sounds)
        if trainer.run.changed or trainer.run.refigured:
            trainer.judge_anew()
        if trainer.run.history and devices.is_first():
            write_metrics(logdir, trainer.run)
        rows, first_step = feed(training, seed, config.train, mesh), trainer.step
        show = progress and devices.is_first()
        with stop_on_signal() as stopped, Bar(trainer.step, num_steps, config.train, show) as bar, closing(rows):
            # One dispatch is always on its way: its metrics are read after the next one has started.
            count, unread_metrics = trainer.dispatch_size(trainer.step, last_step), None
            while count and not trainer.run.schedule.done and not devices.any_host(stopped.is_set()):
                began, next_count = time.perf_counter(), trainer.dispatch_size(trainer.step + count, last_step)
                features, indices = rows.take(trainer.step, count, next_count)
                metrics = trainer.dispatch(features, indices, count)
                del features  # streamed rows leave the device with their dispatch
                trainer.check(unread_metrics, bar)
                unread_metrics = (trainer.step, metrics)
                if trainer.step % every == 0:
                    trainer.check(unread_metrics, bar)
                    unread_metrics = None
                    trainer.evaluate_and_save(bar)
                else:
                    trainer.step_seconds = (time.perf_counter() - began) / count
                count = next_count
            trainer.check(unread_metrics, bar)
            if stopped.is_set():
                bar.say(f"stopped at step {trainer.step}; the same command goes on from there")
            elif devices.is_first() and (trainer.run.schedule.done or trainer.step == first_step):
                bar.say(trainer.ending())
                bar.end()
        trainer.finish(stopped.is_set())
        devices.wait_for_all("saved")
        if raise_if_stopped and count and not trainer.run.schedule.done:
            raise StoppedError(f"{logdir}: stopped at step {trainer.step}, before its end; it is saved, and can go on")
        return load_weights(logdir / "best.safetensors", model)


class _Trainer:
    """The state of a run in this process, and the operations that `fit` puts in order."""

    def __init__(
        self,
        model: models.Model,
        held_out: Sounds,
        config: Config,
        logdir: Path,
        seed: int,
        mesh: Mesh,
        on_evaluation: Callable[[Evaluation], None] | None,
        tapes: Sequence[dict[str, Any]],
        sounds: LearntSounds | None,
    ):
        self.model, self.config, self.logdir, self.seed, self.mesh = model, config, logdir, seed, mesh
        self.held_out, self.on_evaluation, self.tapes = held_out, on_evaluation, tapes
        everywhere = devices.everywhere(mesh)
        key = jax.random.key(seed)
        trained, fixed = models.trainable(model.params)
        self.noise_key = devices.place_key(jax.random.fold_in(key, 1), mesh)
        self.evaluation_key = jax.random.fold_in(key, 2)
        self.run: RunState = restore(logdir, train_step.start(trained, config.train), sounds, config.train)
        self.step = int(self.run.state.step)
        if not devices.agree(self.step):
            raise TrainError(f"{logdir}: expected one logdir that all hosts see, found different states")
        self.run.state = devices.place(self.run.state, everywhere)
        self.fixed = devices.place(fixed, everywhere)
        self.step_seconds = 0.0

    def dispatch_size(self, step: int, last: float) -> int:
        """Number of steps to dispatch at once from a step on; none crosses an evaluation or the last step."""
        config = self.config.train
        count = config.steps_per_dispatch
        if self.step_seconds and jax.process_count() == 1:
            count = max(1, min(count, int(DISPATCH_SECONDS / self.step_seconds)))
        return int(min(count, config.evaluate_every - step % config.evaluate_every, max(0, last - step)))

    def dispatch(self, features: jax.Array, indices: np.ndarray, count: int) -> dict:
        """Start `count` training steps without waiting for them; return their metrics, still on the device."""
        config = self.config.train
        numbers = range(self.step, self.step + config.steps_per_dispatch)
        rate = np.array([self.run.schedule.rate(step, config) for step in numbers], np.float32)
        beta = np.array([config.beta * warm_up(step, config) for step in numbers], np.float32)
        data = train_step.Data(self.fixed, features)
        batches = train_step.Batches(indices, rate, beta, np.int32(count))
        self.run.state, metrics = train_step.run_steps(
            self.run.state, data, batches, self.noise_key, self.model.module, self.config, self.mesh
        )
        self.run.pending.append(metrics)
        self.step += count
        return metrics

    def check(self, dispatched: tuple[int, dict] | None, bar: Bar) -> None:
        """Wait for the metrics of a dispatch, (its last step, metrics), and show them; refuse a loss not finite."""
        if dispatched is None:
            return
        step, metrics = dispatched
        losses = np.asarray(devices.fetch(metrics["train_loss"]))
        if not np.isfinite(losses).all():
            bad = step - len(losses) + 1 + int(np.flatnonzero(~np.isfinite(losses))[0])
            raise self._diverged(f"the loss was no longer finite at step {bad}, seen after step {self.step}")
        bar.done(step, float(losses[-1]), self.run.schedule)

    def evaluate_and_save(self, bar: Bar) -> None:
        """Evaluate the averaged model, update the schedule, and save the state and the best model."""
        evaluation = self._evaluate()
        if not np.isfinite(evaluation.metrics["loss"]):
            raise self._diverged(f"the held-out loss was not finite at step {self.step}")
        if self.run.take(evaluation, self.config.train):
            self._save(save_best, evaluation, self.seed, self.tapes)
        self._save(save_run, self.run)
        bar.evaluated(evaluation.metrics)
        self._report(evaluation)

    def judge_anew(self) -> None:
        """Begin the schedule again, with the best model so far as it does on the sounds held out now."""
        if devices.is_first():
            count, changed = len(self.held_out.features), self.run.changed
            subject = f"the dataset has changed since step {self.step}: {changed}" if changed else self.run.refigured
            print(
                f"{self.logdir}: {subject}; training goes on, with its best model judged anew on the {count} sounds "
                "held out now"
            )
        self.run.schedule = Schedule()
        if (best := best_so_far(self.logdir)) is None:
            return
        tensors, meta = best
        params = checkpoint.fill(self.model.params, checkpoint.split(tensors)[0], self.logdir / "best.safetensors")
        model = dataclasses.replace(self.model, params={**params, **self.fixed})  # the classifier is that of now
        metrics, confusion = evaluate(model, self.held_out, self.config.train, self.evaluation_key)
        seen = Evaluation(self.step, {**meta["metrics"], **metrics}, confusion, self.run.history, model)
        if self.run.schedule.update(metrics[self.config.train.follow], self.step, self.config.train):
            self._save(save_best, seen, self.seed, meta.get("trained_on", ()))

    def ending(self) -> str:
        """The reason why the run is at its end, with its best figure, in words."""
        follow = self.config.train.follow
        best, history = self.run.schedule.best, reversed(self.run.history)
        name, unit = FIGURES[follow]
        step = next((f", of step {metrics['step']}" for metrics in history if metrics.get(follow) == best), "")
        lowest = f"; the lowest held out is {best:.5g}{unit}{step}" if np.isfinite(best) else ""
        if self.run.schedule.done:
            return f"converged at step {self.step}: {name} falls no more{lowest}"
        return f"nothing to do: {self.step} steps are done; ask for more{lowest}"

    def finish(self, stopped: bool = False) -> None:
        """Save and evaluate a run that ends between evaluations; one that is stopped only if it has no model yet.

        The state is saved first: this evaluation is no part of a run that is resumed. It makes a best model only where
        there was no evaluation yet, since a best model of the run could not come back.
        """
        between = self.step % self.config.train.evaluate_every != 0
        if between:
            self._save(save_run, self.run)
        if (between and not stopped) or not self.run.history:
            evaluation = self._evaluate()
            if not self.run.history:
                self._save(save_best, evaluation, self.seed, self.tapes)
            self._report(evaluation)

    def _diverged(self, finding: str) -> TrainError:
        advice = "what was saved before is kept. Try a lower learning_rate or gradient_clip in a new logdir"
        return TrainError(f"{self.logdir}: {finding}; {advice}")

    def _evaluate(self) -> Evaluation:
        averaged = dataclasses.replace(self.model, params={**self.run.state.average, **self.fixed})
        metrics, confusion = evaluate(averaged, self.held_out, self.config.train, self.evaluation_key)
        rate = self.run.schedule.rate(self.step, self.config.train)
        choices = {"beta": self.config.train.beta, "batch_size": self.config.train.batch_size}
        metrics = {"step": self.step, "rate": rate, **choices, **metrics, **self.run.means()}
        copy = jax.tree.map(np.array, devices.fetch(averaged))  # the next step overwrites the device's
        return Evaluation(self.step, metrics, confusion, [*self.run.history, metrics], copy)

    def _save(self, write: Callable, *arguments) -> None:
        if devices.is_first():
            write(self.logdir, *arguments)

    def _report(self, evaluation: Evaluation) -> None:
        if self.on_evaluation is not None and devices.is_first():
            self.on_evaluation(evaluation)
