"""Speed of training: `python -m experiments.speed.train`.

Three speeds in one run, interleaved: the bare step (jitted, the same batch again and again), the fed loop (order, feed,
dispatch, metrics to the host: all that `fit` does between evaluations), and training as a whole (evaluations, files and
pictures included). The time from `vaelab train` to the first step is that of a fresh process.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from experiments.speed.options import folders, parsed
from vaelab import data, training
from vaelab import model as models
from vaelab.config import Config
from vaelab.datasets.feature_store import FeatureStore
from vaelab.models import devices
from vaelab.models.evaluate import Sounds
from vaelab.training import train_step
from vaelab.training.batches import Resident, Streamed

COMMAND = "python -m experiments.speed.train"
STEPS = 100  # a round
FIRST_STEP = """
import sys, time
from vaelab import cli
from vaelab.training import train_step
single = train_step._single
def first(*arguments):
    state, metrics = single(*arguments)
    metrics["train_loss"].block_until_ready()
    print("first step after", time.time() - float(sys.argv[1]), flush=True)
    raise KeyboardInterrupt
train_step._single = first
cli.main(["train", "--logdir", sys.argv[2], "--dataset", "speed"])
"""


def measure(places: Sequence[Path], rounds: int) -> None:
    """Print everything for the default knobs on these sounds."""
    config = Config()
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "datasets"
        dataset = data.make_dataset(places, "speed", classes=True, home=home, progress=False)
        store = FeatureStore(home / ".store", config.audio)
        store.build({entry.sha256: dataset.source(entry) for entry in dataset.entries}, progress=False)
        sides = [training.gather(dataset, side, store, config.model) for side in ("train", "validation")]
        first = [_first_step(Path(scratch), number) for number in range(rounds)]
        bench = _Bench(sides[0], config)
        seconds = {"bare": [], "fed": [], "streamed": []}
        for _ in range(rounds):
            for name, times in seconds.items():
                times.append(getattr(bench, name)())
        whole = _whole(sides, config, Path(scratch) / "whole", rounds)
    _report(config, sides, {name: min(times) for name, times in seconds.items()}, whole, first)


class _Bench:
    """One state that goes on through all rounds."""

    def __init__(self, sounds: Sounds, config: Config):
        self.config, self.sounds = config, sounds
        self.mesh = devices.mesh(config.train.batch_size)
        everywhere = devices.everywhere(self.mesh)
        self.model = models.create(config.model, config.audio, jax.random.key(0))
        trained, fixed = models.trainable(self.model.params)
        self.state = devices.place(train_step.start(trained, config.train), everywhere)
        self.fixed = devices.place(fixed, everywhere)
        self.key = devices.place_key(jax.random.key(1), self.mesh)
        self.ways = {way: way(sounds, 0, config.train, self.mesh) for way in (Resident, Streamed)}
        for way in self.ways:
            self._through(way, total=1)

    def bare(self) -> float:
        """Seconds of a step whose input is there already."""
        source = self.ways[Resident]
        features, rows = source.take(0, 1, 1)
        data, rate = train_step.Data(self.fixed, features), np.float32(1e-4)
        start = time.perf_counter()
        for _ in range(STEPS):
            self.state, metrics = train_step._single(
                self.state, data, rows[0], rate, rate, self.key, self.model.module, self.config, self.mesh
            )
        metrics["train_loss"].block_until_ready()
        return (time.perf_counter() - start) / STEPS

    def fed(self) -> float:
        """Seconds of a step with the feed, features on the device."""
        return self._through(Resident)

    def streamed(self) -> float:
        """Seconds of a step with the feed, features read ahead by a thread."""
        return self._through(Streamed)

    def _through(self, way: type, total: int = STEPS) -> float:
        start = time.perf_counter()
        run_loop(self, self.ways[way], total)
        return (time.perf_counter() - start) / total


def run_loop(bench: _Bench, source: Resident | Streamed, total: int) -> None:
    """The loop of `fit` between evaluations."""
    size, step, waiting = bench.config.train.steps_per_dispatch, 0, None
    rates = np.full(size, 1e-4, np.float32)
    while step < total:
        count = min(size, total - step)
        features, rows = source.take(step, count, min(size, total - step - count))
        batches = train_step.Batches(rows, rates, rates, np.int32(count))
        bench.state, metrics = train_step.run_steps(
            bench.state,
            train_step.Data(bench.fixed, features),
            batches,
            bench.key,
            bench.model.module,
            bench.config,
            bench.mesh,
        )
        if waiting is not None:
            jax.device_get(waiting["train_loss"])
        waiting, step = metrics, step + count
    jax.device_get(waiting["train_loss"])


def _whole(sides: list[Sounds], config: Config, logdir: Path, rounds: int) -> float:
    """Seconds of a step of `fit` from one evaluation to the next, that evaluation and its files included."""
    times = []
    total = (rounds + 1) * config.train.evaluate_every
    training.fit(
        *sides,
        config,
        logdir,
        seed=0,
        num_steps=total,
        on_evaluation=lambda _: times.append(time.perf_counter()),
        progress=False,
        raise_if_stopped=True,
    )
    return float(np.diff(times).min()) / config.train.evaluate_every


def _first_step(folder: Path, number: int) -> float:
    """Seconds from starting `vaelab train` in a new process until its first step is done; features are stored."""
    command = [sys.executable, "-c", FIRST_STEP, str(time.time()), f"first{number}"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TQDM_DISABLE": "1"}
    completed = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return float(completed.stdout.split("first step after")[1].split()[0])


def _report(config: Config, sides: list[Sounds], seconds: dict[str, float], whole: float, first: list[float]) -> None:
    batch = config.train.batch_size
    print(
        f"{len(sides[0].features)} sounds to train on, {len(sides[1].features)} held out, batch {batch}, default "
        f"knobs; {os.cpu_count()} cores, {jax.devices()[0].device_kind}, load {os.getloadavg()[0]:.1f}; "
        f"best of {len(first)} rounds"
    )
    for name, each in (*seconds.items(), ("end to end", whole)):
        share = seconds["bare"] / each
        print(f"{name:<12} {batch / each:8.0f} sounds/s  {1000 * each:7.1f} ms a step  {share:6.3f} of bare")
    cost = {name: seconds[name] / seconds["bare"] - 1 for name in ("fed", "streamed")}
    print(f"the feed costs {cost['fed']:.1%} of a step, streamed {cost['streamed']:.1%} (target: at most 5 %)")
    each = ", ".join(f"{seconds:.1f}" for seconds in first)
    print(f"from `vaelab train` to the first step: {min(first):.1f} s (target: at most 15; each: {each})")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    with parsed(COMMAND, __doc__, arguments) as options, folders(options.data_dir, 50) as places:
        measure(places, options.rounds)


if __name__ == "__main__":
    main()
