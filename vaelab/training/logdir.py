"""Files of a run in its logdir: settings, newest states, metrics, and the best model.

run.json                     dataset, config and seed; changes of the config, each with the step from which it holds
dataset.json                 the sounds that the newest state was trained on
state-STEP.safetensors       all that is needed to go on as if nothing had happened; the newest two
metrics.jsonl                one line for each evaluation
best.safetensors             the model with the lowest held-out loss
"""

import dataclasses
import errno
import json
import os
import platform
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from vaelab import VaelabError, files
from vaelab import model as models
from vaelab.config import Config, TrainConfig
from vaelab.data import Dataset, load_dataset
from vaelab.models import checkpoint, devices
from vaelab.text import printable
from vaelab.training import learnt
from vaelab.training.learnt import LearntSounds
from vaelab.training.schedule import Schedule

LABEL_SET = "class"
STATES_KEPT = 2
FIXED = ("train.variants",)  # beside audio and model
NO_WRITING = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


class TrainError(VaelabError):
    """Training that cannot start or go on; the message says why and what to do."""


class StoppedError(TrainError):
    """Training that a signal stopped, where only a whole run is of use; it is saved."""


class Evaluation(NamedTuple):
    """The held-out sounds as the averaged model sees them, given to `on_evaluation`."""

    step: int  # steps done
    metrics: dict[str, float]  # means over all held-out sounds, by name
    confusion: np.ndarray  # counts int (true class, chosen class)
    history: list[dict[str, float]]  # the metrics of all evaluations so far
    model: models.Model  # the averaged model


@dataclass(frozen=True)
class RunSettings:
    """Settings of a run, kept as `run.json`."""

    dataset: str
    config: Config
    seed: int


def open_run(
    logdir: Path, dataset: str | None, config: Config | None, seed: int, home: str | Path
) -> tuple[RunSettings, Dataset]:
    """Settings and dataset of the run in `logdir`, or of a new one, whose classes are the dataset's."""
    path = logdir / "run.json"
    if path.exists():
        settings = _read_settings(path)
        if dataset not in (None, settings.dataset):
            raise TrainError(
                f"{logdir}: holds a run on dataset {settings.dataset!r}, not {dataset!r}; use another logdir"
            )
        loaded = load_dataset(settings.dataset, home)
        _check_classes(logdir, settings, loaded)
        if config is not None:
            settings = _reconfigured(logdir, settings, _labelled(config, settings.config.model.labels))
        return settings, loaded
    if dataset is None:
        raise TrainError(f"{logdir}: holds no run to resume; name a dataset to start one (--dataset NAME)")
    config, loaded = config or Config(), load_dataset(dataset, home)
    names = loaded.class_names
    settings = RunSettings(dataset, _labelled(config, ((LABEL_SET, names),)) if len(names) >= 2 else config, seed)
    if devices.is_first():
        text = json.dumps({"dataset": dataset, "config": settings.config.to_dict(), "seed": seed}, indent=1)
        with writing(logdir):
            files.write_text(path, text)
    return settings, loaded


def config_in(logdir: str | Path) -> Config | None:
    """The config of the run in a logdir; None if there is no run.

    Raises:
        TrainError: Its settings are damaged.
    """
    path = files.from_home(logdir) / "run.json"
    return _read_settings(path).config if path.exists() else None


def _reconfigured(logdir: Path, settings: RunSettings, config: Config) -> RunSettings:
    """The settings with another config, recorded; what was fixed when the run began must be the same."""
    then, now = settings.config.to_dict(), config.to_dict()
    changes = {
        f"{part}.{name}": [then[part][name], value]
        for part, values in now.items()
        for name, value in values.items()
        if then[part][name] != value
    }
    if not changes:
        return settings
    if fixed := {name: pair for name, pair in changes.items() if not name.startswith("train.") or name in FIXED}:
        raise TrainError(
            f"{logdir}: expected the settings that are fixed when a run begins, found {_in_words(fixed)}; use another "
            "logdir for them. What may change: " + ", ".join(sorted(set(now["train"]) - {name[6:] for name in FIXED}))
        )
    if devices.is_first():
        step = max((int(path.stem[6:]) for path in logdir.glob("state-*.safetensors")), default=0)
        print(f"{logdir}: from step {step} on with {_in_words(changes)}")
        stored = json.loads((logdir / "run.json").read_text(encoding="utf-8"))
        stored |= {"config": now, "changes": [*stored.get("changes", []), {"step": step, **changes}]}
        with writing(logdir):
            files.write_text(logdir / "run.json", json.dumps(stored, indent=1))
    return dataclasses.replace(settings, config=config)


def _in_words(changes: dict[str, list[Any]]) -> str:
    return ", ".join(f"{name} {now!r} instead of {then!r}" for name, (then, now) in changes.items())


def _check_classes(logdir: Path, settings: RunSettings, loaded: Dataset) -> None:
    """Refuse to go on with classes that the run's model cannot have: its outputs are fixed when it begins."""
    classes, names = settings.config.model.classes, loaded.class_names
    new = sorted(set(names) - set(classes)) if classes or len(names) > 1 else []
    if new:
        old_names, new_names = (", ".join(map(printable, group)) for group in (classes, new))
        raise TrainError(
            f"{logdir}: expected the classes that this run began with ({old_names or 'none'}), found also {new_names} "
            f"in dataset {settings.dataset!r}; its model cannot learn "
            "them: train in a new logdir, or take their sounds out of the dataset"
        )


def _read_settings(path: Path) -> RunSettings:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        return RunSettings(settings["dataset"], Config.of_file(settings["config"]), settings["seed"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TrainError(f"{path}: expected a run's settings, found damaged text: {error}") from error


@dataclass
class RunState:
    """State that a run carries from step to step, and saves, so that a resumed run is the same run."""

    state: Any  # the newest
    schedule: Schedule  # of the rate and the end
    history: list[dict[str, float]]  # metrics of the evaluations so far
    pending: list[dict[str, Any]]  # metrics since the last evaluation, (steps,) each, possibly still on the device
    sounds: LearntSounds | None = None  # that it learns from; None if they are in no dataset
    changed: str = ""  # in words, since the state was saved
    recorded: bool = False  # the sounds stand in the logdir
    config: TrainConfig | None = None  # that it goes on with
    refigured: str = ""  # in words: a setting of the followed figure that is another since the state was saved

    def configure(self, config: TrainConfig | None, then: dict[str, Any] | None) -> None:
        """Go on with a config, after a state of another, or of an unknown one: a run that had ended goes on too."""
        self.config = config
        if config is None or then is None:
            return
        now = dataclasses.asdict(config)
        changed = {name for name in then.keys() & now.keys() if then[name] != now[name]}
        if changed:
            self.schedule.done, self.schedule.waiting = False, 0
        decisive = {"follow"} | ({"beta"} if config.follow == "loss" else set())
        self.refigured = ", ".join(f"{name} is {now[name]}" for name in sorted(changed & decisive))

    def means(self) -> dict[str, float]:
        """The pending metrics' means over steps."""
        entries = devices.fetch(self.pending)
        names = entries[0] if entries else ()
        joined = {name: np.concatenate([np.asarray(entry[name], float) for entry in entries]) for name in names}
        self.pending = [{name: values.tolist() for name, values in joined.items()}] if joined else []
        return {name: float(values.mean()) for name, values in joined.items()}

    def take(self, seen: Evaluation, config: TrainConfig) -> bool:
        """Go on after an evaluation; returns whether it is the best so far."""
        self.history.append(seen.metrics)
        self.pending = []
        return self.schedule.update(seen.metrics[config.follow], seen.step, config)


def restore(
    logdir: Path, start: Any, sounds: LearntSounds | None = None, config: TrainConfig | None = None
) -> RunState:
    """The newest run in `logdir` that is whole, or the start; a damaged one is named and passed over.

    It goes on with `sounds` and `config`, and says what has changed if it learnt from others.
    """
    saved = sorted(logdir.glob("state-*.safetensors"), reverse=True)
    for path in saved:
        try:
            tensors, meta = checkpoint.load(path)
            state = checkpoint.fill(start, tensors, path)
            run = RunState(state, Schedule(**meta["schedule"]), meta["history"], meta["pending"], sounds)
            run.configure(config, meta.get("train"))
            run.changed = _changes(logdir, meta.get("sounds"), sounds)
        except checkpoint.CheckpointError as error:
            print(f"passed over: {error}")
        except (KeyError, TypeError) as error:
            print(f"passed over: {path}: expected a state of this version of vaelab, found another: {error}")
        else:
            _warn_of_differences(path, meta)
            return run
    if saved:
        raise TrainError(f"{logdir}: expected a whole state to resume from, found all damaged; start in a new logdir")
    return RunState(start, Schedule(), [], [], sounds, config=config)


def _changes(logdir: Path, then: str | None, sounds: LearntSounds | None) -> str:
    """The changes since sounds with a digest, in words; none if either is not known, as in states of before."""
    if sounds is None or then is None or then == sounds.digest:
        return ""
    earlier = learnt.load(logdir)
    return sounds.since(earlier if earlier is not None and earlier.digest == then else None)


@contextmanager
def writing(logdir: Path) -> Iterator[None]:
    """Lock a logdir for one training process; errors in writing there become a TrainError."""
    try:
        with files.alone_in(logdir):
            yield
    except files.BusyError as error:
        raise TrainError(
            f"{logdir}: expected to be alone, found another training at work there; wait for it"
        ) from error
    except files.NoRoomError:
        raise
    except OSError as error:
        if error.errno not in NO_WRITING:
            raise
        raise TrainError(
            f"{logdir}: expected a folder that can be written to, found none ({error.strerror}); what it holds is "
            "intact: change its permissions, or copy it to where you may write, and run again"
        ) from error


def save_run(logdir: Path, run: RunState) -> None:
    """Write the run's state and metrics; states older than the newest two go."""
    run.means()
    meta = {
        "kind": "train state",
        "machine": machine(),
        "schedule": dataclasses.asdict(run.schedule),
        "history": run.history,
        "pending": run.pending,
    }
    if run.config is not None:
        meta["train"] = dataclasses.asdict(run.config)
    if run.sounds is not None:
        meta["sounds"] = run.sounds.digest
    checkpoint.save(logdir / f"state-{int(run.state.step):08d}.safetensors", run.state, meta)
    for old in sorted(logdir.glob("state-*.safetensors"))[:-STATES_KEPT]:
        old.unlink()
    write_metrics(logdir, run)
    if run.sounds is not None and not run.recorded:
        run.sounds.save(logdir)
        run.recorded = True


def write_metrics(logdir: Path, run: RunState) -> None:
    """Write the run's metrics unless they stand there already; a process that is killed may leave those of before."""
    path, text = logdir / "metrics.jsonl", "".join(json.dumps(metrics) + "\n" for metrics in run.history)
    if not path.exists() or path.read_bytes() != text.encode("ascii"):
        files.write_text(path, text)


def machine() -> dict[str, Any]:
    """Description of the hardware, which decides the last bits of a result together with the versions."""
    device = jax.devices()[0]
    return {
        "device": device.device_kind,
        "devices": jax.device_count(),
        "hosts": jax.process_count(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "processor": platform.machine(),
    }


def save_best(logdir: Path, seen: Evaluation, seed: int, tapes: Sequence[dict[str, Any]] = ()) -> None:
    """Write the evaluated model as the best, with the tapes that it learned from."""
    meta = {"metrics": seen.metrics, "seed": seed} | ({"trained_on": list(tapes)} if tapes else {})
    checkpoint.save_model(logdir / "best.safetensors", seen.model, meta)


def best_so_far(logdir: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """Tensors and metadata of the best model, as `checkpoint.load`; None if there is none, or a damaged one, named."""
    path = logdir / "best.safetensors"
    if not path.exists():
        return None
    try:
        return checkpoint.load(path)
    except checkpoint.CheckpointError as error:
        print(f"passed over: {error}")
        return None


def learnt_tapes(logdir: Path, tapes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tapes, and those that the best model so far has learnt from, which may be in its dataset no more."""
    best, named = best_so_far(logdir), {tape["sha256"] for tape in tapes}
    before = best[1].get("trained_on", []) if best else []
    return [*tapes, *(tape for tape in before if tape["sha256"] not in named)]


def _warn_of_differences(path: Path, meta: dict[str, Any]) -> None:
    """A resumed run is the same run only with the same versions on the same machine."""
    differences = []
    for then, now in ((meta["versions"], checkpoint.versions()), (meta.get("machine", {}), machine())):
        differences += [
            f"{name} {then.get(name, 'unknown')} then, {now[name]} now" for name in now if then.get(name) != now[name]
        ]
    if differences:
        warnings.warn(
            f"{path}: resumed elsewhere, so its numbers will differ in their last digits from those of a run without "
            f"pause: {'; '.join(differences)}",
            stacklevel=3,
        )


def _labelled(config: Config, labels: tuple[tuple[str, tuple[str, ...]], ...]) -> Config:
    return dataclasses.replace(config, model=dataclasses.replace(config.model, labels=labels))
