"""Resume and sudden death, in processes of their own: what goes on is the same run, and no checkpoint is ever lost."""

import dataclasses
import hashlib
import os
import random
import shutil
import signal
import time

import pytest
from faults.training import Trainers

from vaelab.config import Config, ModelConfig
from vaelab.models import checkpoint

STEPS = 30


@pytest.fixture(scope="module")
def trainers(tmp_path_factory):
    """A helper whose processes share what they compile."""
    helper = Trainers(tmp_path_factory.mktemp("compiled"))
    yield helper
    helper.close()


@pytest.fixture(scope="module")
def strangers():
    """A helper whose processes share nothing."""
    helper = Trainers()
    yield helper
    helper.close()


@pytest.fixture(scope="module")
def everything(tiny):
    """A small config with all that is random or remembers in play: dropout, augmentation, a rate that falls."""
    return Config(
        tiny.audio,
        ModelConfig(latent_dim=4, components=6, depth=1, hidden=8, flow_steps=2, flow_hidden=4, dropout=0.2),
        dataclasses.replace(
            tiny.train,
            warmup_steps=12,
            patience=1,
            min_improvement=0.5,
            decay=0.5,
            decay_steps=7,
            shift_frames=3,
            shift_bins=2,
            tilt_db=10.0,
            steps_per_dispatch=4,
        ),
    )


@pytest.fixture(scope="module")
def straight(trainers, everything, home, tmp_path_factory):
    """A run of 30 steps without pause: what it remembers, and the seconds that it takes once all is compiled."""
    settings = {"dataset": "built in", "config": everything.to_dict(), "seed": 3, "num_steps": STEPS, "home": home}
    first, again = (tmp_path_factory.mktemp("straight") / name for name in ("first", "again"))
    trainers.train(logdir=first, **settings)
    start = time.monotonic()
    trainers.train(logdir=again, **settings)
    seconds = time.monotonic() - start
    assert_same(remembered(again), remembered(first))
    return remembered(first), seconds


def remembered(logdir):
    """A digest of every tensor of the newest state and of the best model, and what else a run goes on from."""
    newest = sorted(logdir.glob("state-*.safetensors"))[-1]
    digests = {}
    for path in (logdir / "start.safetensors", newest, logdir / "best.safetensors"):
        tensors, meta = checkpoint.load(path)
        digests |= {
            f"{path.name} {name}": hashlib.sha256(value.tobytes()).hexdigest() for name, value in tensors.items()
        }
        if path == newest:
            rest = meta["schedule"], meta["history"], meta["pending"]
    return digests, repr(rest), (logdir / "metrics.jsonl").read_text()


def assert_same(found, expected):
    """Two runs are the same; names of tensors that differ are told, those of the start first."""
    assert [name for name in expected[0] if found[0].get(name) != expected[0][name]] == []
    assert found == expected


def split_and_compare(trainers, everything, home, logdir, straight, splits):
    settings = {"dataset": "built in", "config": everything.to_dict(), "seed": 3}
    for stop in (*splits, STEPS):
        trainers.train(logdir=logdir, num_steps=stop, home=home, **settings)
        settings = {}
    assert_same(remembered(logdir), straight[0])


def test_the_run_has_everything_in_play(straight):
    _, rest, _ = straight[0]
    assert "'lowered_at': -1" not in rest
    assert "'done': False" in rest


def test_thirteen_and_seventeen_are_thirty(trainers, everything, home, straight, tmp_path):
    split_and_compare(trainers, everything, home, tmp_path / "m", straight, [13])


@pytest.mark.slow
@pytest.mark.parametrize("splits", [[1], [4], [5], [20], [29], [2, 3, 11, 28]], ids=str)
def test_any_split_is_the_same_run(strangers, everything, home, straight, tmp_path, splits):
    split_and_compare(strangers, everything, home, tmp_path / "m", straight, splits)


def kill_and_complete(trainers, everything, home, logdir, straight, kills: int, seed: int) -> None:
    """Kill training at random moments; whatever stands there must be whole; in the end it is the undisturbed run."""
    rng = random.Random(seed)
    settings = first = {"dataset": "built in", "config": everything.to_dict(), "seed": 3}
    seen: set[str] = set()
    killed, longest = 0, straight[1]
    while killed < kills:
        pid = trainers.start(logdir=logdir, num_steps=STEPS, home=home, **settings)
        time.sleep(rng.uniform(0.1, 0.9) * longest)
        os.kill(pid, signal.SIGKILL)
        if trainers.status(pid) == -signal.SIGKILL:
            killed += 1
        else:  # it was done before: the machine has become faster, or it had little left to do
            shutil.rmtree(logdir)
            settings, seen, longest = first, set(), longest / 2
            continue
        finished = {path.name for path in logdir.glob("*.safetensors") if not path.name.startswith(".")}
        for name in finished:
            checkpoint.load(logdir / name)
        lost = {name for name in seen - finished if not any(other > name for other in finished)}
        assert not lost, "a checkpoint went without a newer one in its place"
        seen = finished
        settings = settings if not (logdir / "run.json").exists() else {}
    trainers.train(logdir=logdir, num_steps=STEPS, home=home, **settings)
    assert_same(remembered(logdir), straight[0])
    assert not list(logdir.glob(".writing-*"))


def test_three_kills(trainers, everything, home, straight, tmp_path):
    kill_and_complete(trainers, everything, home, tmp_path / "m", straight, kills=3, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_twenty_kills(trainers, everything, home, straight, tmp_path, seed):
    """Four kills on each of five runs."""
    kill_and_complete(trainers, everything, home, tmp_path / "m", straight, kills=4, seed=seed)
