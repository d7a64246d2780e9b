"""A logdir: one training at a time; trouble with writing is told, and what stands there is intact."""

import dataclasses
import fcntl
import os
import resource
import tempfile
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np
import pytest

from vaelab import files
from vaelab import model as models
from vaelab.config import ModelConfig
from vaelab.models import checkpoint
from vaelab.training import logdir
from vaelab.training.logdir import Evaluation, RunState, TrainError
from vaelab.training.schedule import Schedule

NOBODY = 65534
STATE = {"a": np.arange(5000, dtype=np.float32), "step": np.int32(5)}


@dataclasses.dataclass
class State:
    a: np.ndarray
    step: np.int32


jax.tree_util.register_dataclass(State, ["a", "step"], [])


def progress(step: int) -> RunState:
    history = [{"step": step, "loss": 1.5}]
    return RunState(State(STATE["a"] + step, np.int32(step)), Schedule(best=1.5), history, [{"train_loss": [1.0, 2.0]}])


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def test_what_is_saved_is_what_goes_on(tmp_path):
    with logdir.writing(tmp_path / "m"):
        logdir.save_run(tmp_path / "m", progress(5))
    found = logdir.restore(tmp_path / "m", progress(0).state)
    assert found.schedule == Schedule(best=1.5)
    assert found.pending == [{"train_loss": [1.0, 2.0]}]
    assert found.means() == {"train_loss": 1.5}
    np.testing.assert_array_equal(found.state.a, STATE["a"] + 5)


def test_one_training_at_a_time(tmp_path):
    with open(tmp_path / ".lock", "ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with (
            pytest.raises(TrainError, match="expected to be alone, found another training at work"),
            logdir.writing(tmp_path),
        ):
            pass
    with logdir.writing(tmp_path):
        pass


def test_what_a_killed_training_left_goes(tmp_path):
    left = tmp_path / f"{files.TEMPORARY}x.safetensors"
    left.write_bytes(b"half a state")
    with logdir.writing(tmp_path):
        assert not left.exists()


def test_a_write_that_the_system_cuts_short_leaves_the_old_state(tmp_path):
    """Here the kernel itself stops the write, as on a full disk."""
    with logdir.writing(tmp_path):
        logdir.save_run(tmp_path, progress(5))
    before = contents(tmp_path)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9000, limit[1]))
    try:
        with (
            pytest.raises(
                files.NoRoomError, match=r"safetensors: expected room to write, found the disk full; what was"
            ),
            logdir.writing(tmp_path),
        ):
            logdir.save_run(tmp_path, progress(10))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert contents(tmp_path) == before
    assert int(logdir.restore(tmp_path, progress(0).state).state.step) == 5


@contextmanager
def read_only_folder():
    """A folder that this process may not write to; where it is root, it is nobody inside."""
    folder = Path(tempfile.mkdtemp(prefix="vaelab-test-"))
    logdir.save_run(folder, progress(5))
    folder.chmod(0o555)
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(NOBODY)
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def test_a_read_only_logdir_is_told(tiny):
    with read_only_folder() as folder:
        before = contents(folder)
        told = r"expected a folder that can be written to, found none \(Permission denied\); what it holds is intact"
        with pytest.raises(TrainError, match=told), logdir.writing(folder):
            pass
        assert contents(folder) == before
        with (
            pytest.raises(TrainError, match="m: expected a folder that can be written to"),
            logdir.writing(folder / "m"),
        ):
            pass


def test_a_logdir_that_is_a_file_is_told(tmp_path):
    (tmp_path / "m").write_text("a file")
    with pytest.raises(TrainError, match="expected a folder that can be written to"), logdir.writing(tmp_path / "m"):
        pass


@pytest.mark.parametrize(("where", "name"), [("versions", "jax"), ("machine", "cores"), ("machine", "device")])
def test_another_machine_warns(tmp_path, monkeypatch, where, name):
    module, function = (checkpoint, "versions") if where == "versions" else (logdir, "machine")
    real = getattr(module, function)()
    monkeypatch.setattr(module, function, lambda: {**real, name: "another"})
    logdir.save_run(tmp_path, progress(5))
    monkeypatch.setattr(module, function, lambda: real)
    with pytest.warns(UserWarning, match=f"resumed elsewhere.* {name} another then, {real[name]} now"):
        logdir.restore(tmp_path, progress(0).state)


def test_the_same_machine_does_not_warn(tmp_path):
    logdir.save_run(tmp_path, progress(5))
    assert int(logdir.restore(tmp_path, progress(0).state).state.step) == 5


def test_a_state_of_another_shape_or_make_is_passed_over(tmp_path, capsys):
    logdir.save_run(tmp_path, progress(5))
    wrong = State(np.zeros(7, np.float32), np.int32(6))
    checkpoint.save(tmp_path / "state-00000006.safetensors", wrong, {"schedule": {}, "history": [], "pending": []})
    checkpoint.save(tmp_path / "state-00000007.safetensors", progress(7).state, {"kind": "train state"})
    assert int(logdir.restore(tmp_path, progress(0).state).state.step) == 5
    told = capsys.readouterr().out
    assert "a: expected shape (5000,) float32, found (7,) float32" in told
    assert "state-00000007.safetensors: expected a state of this version of vaelab, found another" in told


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"dataset": "d"}', '{"dataset": "d", "config": {"x": 1}, "seed": 0}', "[" * 100_000],
    ids=range(7),
)
def test_hostile_settings_are_one_error(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(TrainError, match=r"run\.json: expected a run's settings, found damaged text"):
        logdir.open_run(tmp_path, None, None, 0, tmp_path)


def test_best_holds_its_metrics(tiny, tmp_path):
    model = models.create(ModelConfig(latent_dim=2, width=4, hidden=4, flow_steps=0), tiny.audio, jax.random.key(0))
    logdir.save_best(tmp_path, Evaluation(5, {"loss": 2.0}, {}, [], model), 3)
    found, meta = checkpoint.load_model(tmp_path / "best.safetensors")
    assert (meta["metrics"], meta["seed"], found.config) == ({"loss": 2.0}, 3, model.config)
