"""What a logdir remembers of a run: its settings, its newest states, its metrics, and its best model.

run.json                     dataset, config and seed
state-STEP.safetensors       all that is needed to go on as if nothing had happened; the newest two
metrics.jsonl                one line for each evaluation
best.safetensors             the model with the lowest held-out loss
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from vaelab import checkpoint, files
from vaelab import model as models
from vaelab.config import Config, TrainConfig
from vaelab.data import load_dataset
from vaelab.schedule import Schedule

LABEL_SET = "class"
STATES_KEPT = 2


class TrainError(Exception):
    """Training that cannot start or go on; the message says why and what to do."""


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


@dataclass(frozen=True)
class Settings:
    """What a logdir remembers of its run."""

    dataset: str
    config: Config
    seed: int


def open_run(logdir: Path, dataset: str | None, config: Config | None, seed: int, home: str | Path) -> Settings:
    """The run that `logdir` remembers, or a new one, written down. The classes are the dataset's.

    Raises:
        TrainError: A new run without a dataset, a resumed one with another dataset or config, or damaged settings.
        DatasetError: No such dataset.
    """
    path = logdir / "run.json"
    if path.exists():
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            run = Settings(kept["dataset"], Config.from_dict(kept["config"]), kept["seed"])
        except (ValueError, KeyError, TypeError) as error:
            raise TrainError(f"{path}: expected a run's settings, found damaged text: {error}") from error
        if dataset not in (None, run.dataset):
            raise TrainError(f"{logdir}: holds a run on dataset {run.dataset!r}, not {dataset!r}; use another logdir")
        if config is not None and _labelled(config, run.config.model.labels) != run.config:
            raise TrainError(f"{logdir}: holds a run with another config; use another logdir")
        return run
    if dataset is None:
        raise TrainError(f"{logdir}: holds no run to resume; name a dataset to start one (--dataset NAME)")
    config = config or Config()
    names = load_dataset(dataset, home).class_names
    run = Settings(dataset, _labelled(config, ((LABEL_SET, names),)) if len(names) >= 2 else config, seed)
    with files.replacing(path) as temporary:
        kept = {"dataset": dataset, "config": run.config.to_dict(), "seed": seed}
        temporary.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    return run


@dataclass
class Progress:
    """All that a run carries from step to step; what is saved, so that a resumed run is the same run.

    Attributes:
        state: The newest.
        schedule: Of the rate and the end.
        history: Metrics of the evaluations so far.
        pending: Metrics of the steps since the last evaluation, possibly still on the device.
    """

    state: Any
    schedule: Schedule
    history: list[dict[str, float]]
    pending: list[dict[str, Any]]

    def means(self) -> dict[str, float]:
        """The pending metrics' means."""
        self.pending = [{name: float(value) for name, value in entry.items()} for entry in jax.device_get(self.pending)]
        names = self.pending[0] if self.pending else ()
        return {name: float(np.mean([entry[name] for entry in self.pending])) for name in names}

    def take(self, seen: Evaluation, config: TrainConfig) -> bool:
        """Go on after an evaluation; returns whether it is the best so far."""
        self.history.append(seen.metrics)
        self.pending = []
        return self.schedule.update(seen.metrics["loss"], seen.step, config)


def restore(logdir: Path, start: Any) -> Progress:
    """The newest run in `logdir` that is whole, or the start; a damaged one is named and passed over.

    Raises:
        TrainError: There are states, but none is whole.
    """
    saved = sorted(logdir.glob("state-*.safetensors"), reverse=True)
    for path in saved:
        try:
            tensors, meta = checkpoint.load(path)
            state = checkpoint.fill(start, tensors, path)
        except checkpoint.CheckpointError as error:
            print(f"passed over: {error}")
        else:
            return Progress(state, Schedule(**meta["schedule"]), meta["history"], meta["pending"])
    if saved:
        raise TrainError(f"{logdir}: expected a whole state to resume from, found all damaged; start in a new logdir")
    return Progress(start, Schedule(), [], [])


def save_run(logdir: Path, run: Progress) -> None:
    """Write the run's state and metrics; states older than the newest two go."""
    run.means()
    meta = {
        "kind": "train state",
        "schedule": dataclasses.asdict(run.schedule),
        "history": run.history,
        "pending": run.pending,
    }
    checkpoint.save(logdir / f"state-{int(run.state.step):08d}.safetensors", run.state, meta)
    for old in sorted(logdir.glob("state-*.safetensors"))[:-STATES_KEPT]:
        old.unlink()
    with files.replacing(logdir / "metrics.jsonl") as temporary:
        temporary.write_text("".join(json.dumps(metrics) + "\n" for metrics in run.history), encoding="ascii")


def save_best(logdir: Path, seen: Evaluation, seed: int) -> None:
    """Write the evaluated model as the best."""
    checkpoint.save_model(logdir / "best.safetensors", seen.model, {"metrics": seen.metrics, "seed": seed})


def _labelled(config: Config, labels: tuple[tuple[str, tuple[str, ...]], ...]) -> Config:
    return dataclasses.replace(config, model=dataclasses.replace(config.model, labels=labels))
