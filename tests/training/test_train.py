"""Training: it learns, it resumes as the same run, it stops when asked and by itself."""

import dataclasses
import json
import os
import shutil
import signal
from pathlib import Path

import jax
import numpy as np
import pytest

from vaelab import data
from vaelab.config import Config
from vaelab.models import checkpoint, evaluate
from vaelab.training import StoppedError, TrainError, loop, train_step


@pytest.fixture(scope="module")
def trained(tmp_path_factory, home, tiny):
    """A run of at most 150 steps: its logdir, model and evaluations."""
    logdir = tmp_path_factory.mktemp("logs") / "a model"
    seen = []
    model = loop.train(
        logdir, "built in", tiny, seed=0, num_steps=150, home=home, on_evaluation=seen.append, progress=False
    )
    return logdir, model, seen


def hashes(logdir):
    """Bytes of every tensor of the newest state."""
    path = sorted(logdir.glob("state-*.safetensors"))[-1]
    tensors, meta = checkpoint.load(path)
    return {name: tensor.tobytes() for name, tensor in tensors.items()}, meta["schedule"], meta["history"]


def test_it_learns_more_than_the_mean_spectrogram(trained, home):
    """The held-out loss falls well below that of the best constant: each cell's median, a scale for each band."""
    _, model, seen = trained
    dataset = data.load_dataset("built in", home)
    store = loop.FeatureStore(home / ".store", model.audio)
    training = loop.gather(dataset, "train", store, model.config).features.astype(float)
    held_out = loop.gather(dataset, "validation", store, model.config).features.astype(float)
    centre = np.median(training, axis=0)
    scale = np.abs(training - centre).mean(axis=(0, 1))
    constant = (np.log(2 * scale) + np.abs(held_out - centre) / scale).sum(axis=(1, 2)).mean()
    learnt = seen[-1].metrics["recon"] + seen[-1].metrics["kl"]
    print(f"nats per held-out sound: mean spectrogram {constant:.0f}, model {learnt:.0f}")
    assert learnt < 0.95 * constant


def test_it_learns_to_classify(trained):
    _, _, seen = trained
    chance = 1 / len(seen[-1].confusion)
    assert seen[-1].metrics["class_balanced_accuracy"] > 3 * chance
    assert seen[-1].confusion.sum() == sum(seen[0].confusion.ravel())


def test_the_logdir_holds_the_run(trained):
    logdir, model, seen = trained
    kept = [json.loads(line) for line in (logdir / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in kept] == list(range(5, seen[-1].step + 1, 5))
    assert kept == seen[-1].history
    assert json.loads((logdir / "run.json").read_text())["dataset"] == "built in"
    best, meta = checkpoint.load_model(logdir / "best.safetensors")
    assert meta["metrics"]["loss"] == min(line["loss"] for line in kept)
    assert best.config == model.config


@pytest.fixture(scope="module")
def straight(tmp_path_factory, home, tiny):
    """The logdir of a run of 30 steps without a pause."""
    logdir = tmp_path_factory.mktemp("straight") / "m"
    loop.train(logdir, "built in", tiny, seed=3, num_steps=30, home=home, progress=False)
    return logdir


def test_resume_is_the_same_run(straight, tiny, home, tmp_path):
    """Interrupted after the first step, at an evaluation, between two, and before the last step."""
    broken = tmp_path / "broken"
    loop.train(broken, "built in", tiny, seed=3, num_steps=1, home=home, progress=False)
    for stop in (5, 13, 29, 30):
        loop.train(broken, num_steps=stop, home=home, progress=False)
    ours, schedule, history = hashes(broken)
    expected, expected_schedule, expected_history = hashes(straight)
    assert ours == expected
    assert (schedule, history) == (expected_schedule, expected_history)


def test_a_signal_finishes_the_step_and_saves(tiny, home, tmp_path, capsys):
    """As Ctrl-C or a notebook's stop button, in the middle of a run that would never end."""

    def stop(evaluation):
        if evaluation.step == 15:
            os.kill(os.getpid(), signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    model = loop.train(
        tmp_path / "m", "built in", tiny, seed=0, num_steps=10**6, home=home, on_evaluation=stop, progress=False
    )
    assert sorted((tmp_path / "m").glob("state-*"))[-1].stem == "state-00000015"
    assert model.config.latent_dim == tiny.model.latent_dim
    assert signal.getsignal(signal.SIGINT) is handler
    captured = capsys.readouterr()
    assert captured.err.count("stopping, saving") == 1
    assert "stopped at step 15; the same command goes on from there" in captured.out


def test_a_stopped_run_can_be_an_error_and_goes_on(tiny, home, tmp_path):
    """For those who need a whole one; a signal after its last step stops nothing."""

    def stop(evaluation):
        os.kill(os.getpid(), signal.SIGTERM)

    how = {"home": home, "progress": False, "raise_if_stopped": True}
    with pytest.raises(StoppedError, match=r"m: stopped at step 5, before its end; it is saved, and can go on"):
        loop.train(tmp_path / "m", "built in", tiny, num_steps=7, on_evaluation=stop, **how)
    assert sorted((tmp_path / "m").glob("state-*"))[-1].stem == "state-00000005"
    loop.train(tmp_path / "m", num_steps=10, on_evaluation=stop, **how)
    assert sorted((tmp_path / "m").glob("state-*"))[-1].stem == "state-00000010"


def test_labels_shape_the_probe_and_a_run_that_goes_on_takes_another_weight(tiny, home, sounds, tmp_path):
    def remembered(label_weight, logdir):
        config = dataclasses.replace(tiny, train=dataclasses.replace(tiny.train, label_weight=label_weight))
        loop.train(logdir, "built in", config, num_steps=1, home=home, progress=False)
        return checkpoint.load_model(logdir / "best.safetensors")[1]["reference"]["probe"]

    plain, shaped = remembered(0.0, tmp_path / "plain"), remembered(3.0, tmp_path / "shaped")
    assert np.abs(plain.astype(float) - shaped).max() > 1e-2
    np.testing.assert_array_equal(remembered(3.0, tmp_path / "plain"), shaped)
    data.make_dataset([sounds], "no classes", home=tmp_path, progress=False)
    config = dataclasses.replace(tiny, train=dataclasses.replace(tiny.train, label_weight=1.0))
    with pytest.raises(TrainError, match="label_weight: expected two classes to train on in 'no classes', found fewer"):
        loop.train(tmp_path / "m", "no classes", config, num_steps=1, home=tmp_path, progress=False)


def test_it_stops_by_itself(tiny, home, tmp_path, capsys):
    quick = dataclasses.replace(tiny.train, patience=1, min_improvement=0.5, decay=0.05, decay_steps=1)
    seen = []
    loop.train(
        tmp_path / "m",
        "built in",
        Config(tiny.audio, tiny.model, quick),
        seed=0,
        num_steps=None,
        home=home,
        on_evaluation=seen.append,
        progress=False,
    )
    assert 2 <= len(seen) < 10
    history = seen[-1].history
    steps, best = [metrics["step"] for metrics in history], min(history, key=lambda now: now["audible_db"])
    figure = "error where sounds are audible"
    words = f"converged at step {steps[-1]}: {figure} falls no more; the lowest held out is {best['audible_db']:.5g} dB"
    assert f"{words}, of step {best['step']}" in capsys.readouterr().out
    loop.train(tmp_path / "m", home=home, progress=False)
    assert f"{words}, of step {best['step']}" in capsys.readouterr().out
    slower = dataclasses.replace(quick, learning_rate=1e-5)
    loop.train(tmp_path / "m", config=Config(tiny.audio, tiny.model, slower), home=home, progress=False)
    assert f"from step {steps[-1]} on with train.learning_rate 1e-05 instead of 0.002" in capsys.readouterr().out
    assert len(metrics_of(tmp_path / "m")) > len(steps)


def metrics_of(logdir):
    return [json.loads(line) for line in (logdir / "metrics.jsonl").read_text().splitlines()]


CHANGES = {
    "a lower rate": ({"learning_rate": 1e-4}, "train.learning_rate 0.0001 instead of 0.002", ""),
    "another beta": ({"beta": 0.25}, "train.beta 0.25 instead of 1.0", ""),
    "another batch size": ({"batch_size": 5}, "train.batch_size 5 instead of 8", ""),
    "another figure": ({"follow": "loss"}, "train.follow 'loss' instead of 'audible_db'", "follow is loss;"),
    "more patience": ({"patience": 9}, "train.patience 9 instead of 4", ""),
}


@pytest.mark.parametrize("change", CHANGES)
def test_settings_of_training_may_change(straight, tiny, home, tmp_path, capsys, change):
    """Recorded in run.json and, at each evaluation, in the metrics; the change is no part of what was before."""
    changes, words, judged = CHANGES[change]
    shutil.copytree(straight, tmp_path / "m")
    config = Config(tiny.audio, tiny.model, dataclasses.replace(tiny.train, **changes))
    loop.train(tmp_path / "m", config=config, num_steps=40, home=home, progress=False)
    out = capsys.readouterr().out
    assert f"from step 30 on with {words}" in out
    assert judged in out
    stored = json.loads((tmp_path / "m" / "run.json").read_text())
    assert [entry["step"] for entry in stored["changes"]] == [30]
    assert stored["config"]["train"] == dataclasses.asdict(config.train)
    before, after = metrics_of(straight), metrics_of(tmp_path / "m")
    assert after[: len(before)] == before
    assert [entry["step"] for entry in after[len(before) :]] == [35, 40]
    for entry in after[len(before) :]:
        assert (entry["beta"], entry["batch_size"]) == (config.train.beta, config.train.batch_size)
        assert entry["rate"] <= config.train.learning_rate
        assert entry["loss"] == pytest.approx(entry["recon"] + config.train.beta * entry["kl"], rel=1e-4)
    loop.train(tmp_path / "m", num_steps=41, home=home, progress=False)  # the same command goes on with it
    assert "instead of" not in capsys.readouterr().out


def test_a_loss_that_is_not_finite_ends_the_run(tiny, home, tmp_path, monkeypatch):
    """With a rate that throws the weights to infinity; the state and best of before stay. k is steps_per_dispatch."""
    train_config = dataclasses.replace(tiny.train, evaluate_every=20, steps_per_dispatch=3)
    config = Config(tiny.audio, tiny.model, train_config)
    loop.train(tmp_path / "m", "built in", config, seed=0, num_steps=20, home=home, progress=False)
    kept = {path.name: path.read_bytes() for path in (tmp_path / "m").iterdir()}
    monkeypatch.setattr("vaelab.training.schedule.Schedule.rate", lambda *_: 1e30)
    with pytest.raises(TrainError, match=r"no longer finite at step 2[1-3], seen after step 2[3-6]; what was saved"):
        loop.train(tmp_path / "m", num_steps=100, home=home, progress=False)
    assert {path.name: path.read_bytes() for path in (tmp_path / "m").iterdir()} == kept
    best = checkpoint.load_model(tmp_path / "m" / "best.safetensors")[0]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(best.params))


def test_a_held_out_loss_that_is_not_finite_is_never_best(tiny, home, tmp_path, monkeypatch):
    loop.train(tmp_path / "m", "built in", tiny, seed=0, num_steps=5, home=home, progress=False)
    kept = (tmp_path / "m" / "best.safetensors").read_bytes()
    metrics = {"loss": float("nan"), "kl": 1.0, "error_db": 1.0, "audible_db": 1.0}
    monkeypatch.setattr(loop, "evaluate", lambda *_: (metrics, np.zeros((0, 0), int)))
    with pytest.raises(TrainError, match="held-out loss was not finite at step 10"):
        loop.train(tmp_path / "m", num_steps=30, home=home, progress=False)
    assert (tmp_path / "m" / "best.safetensors").read_bytes() == kept


def test_a_damaged_state_is_passed_over(tiny, home, tmp_path, capsys):
    loop.train(tmp_path / "a", "built in", tiny, seed=3, num_steps=10, home=home, progress=False)
    newest = tmp_path / "a" / "state-00000010.safetensors"
    body = bytearray(newest.read_bytes())
    body[-7] ^= 1
    newest.write_bytes(body)
    loop.train(tmp_path / "a", num_steps=15, home=home, progress=False)
    assert "passed over" in capsys.readouterr().out
    loop.train(tmp_path / "b", "built in", tiny, seed=3, num_steps=15, home=home, progress=False)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    for path in (tmp_path / "a").glob("state-*"):
        path.write_bytes(b"")
    with pytest.raises(TrainError, match="found all damaged"):
        loop.train(tmp_path / "a", num_steps=20, home=home, progress=False)


def test_metrics_that_a_killed_process_left_are_those_of_its_state(straight, home, tmp_path):
    """It was killed after the state was written, and before they were."""
    shutil.copytree(straight, tmp_path / "m")
    metrics = tmp_path / "m" / "metrics.jsonl"
    text = metrics.read_text()
    metrics.write_text(text[: text.rindex("{")])
    loop.train(tmp_path / "m", num_steps=30, home=home, progress=False)
    assert metrics.read_text() == text


def test_only_the_newest_states_are_kept(trained):
    logdir, _, seen = trained
    newest = [f"state-{step:08d}" for step in (seen[-2].step, seen[-1].step)]
    assert [path.stem for path in sorted(logdir.glob("state-*"))] == newest


def test_a_run_needs_a_dataset(tmp_path, home):
    with pytest.raises(TrainError, match="holds no run to resume; name a dataset"):
        loop.train(tmp_path / "m", home=home)
    with pytest.raises(data.DatasetError, match=r"no dataset 'nothing': looked for .*; there are: built in"):
        loop.train(tmp_path / "m", "nothing", home=home)
    assert not (tmp_path / "m").exists()


def test_a_run_keeps_its_dataset_and_config(trained, home, tiny):
    logdir, _, _ = trained
    with pytest.raises(TrainError, match="holds a run on dataset 'built in', not 'other'"):
        loop.train(logdir, "other", home=home)
    with pytest.raises(TrainError, match=r"fixed when a run begins, found audio.sample_rate 44100 instead of 8000"):
        loop.train(logdir, config=Config(), home=home)
    smaller = dataclasses.replace(tiny, model=dataclasses.replace(tiny.model, latent_dim=3))
    with pytest.raises(TrainError, match=r"model.latent_dim 3 instead of 8; use another logdir .* may change: .*beta"):
        loop.train(logdir, config=smaller, home=home)
    varied = dataclasses.replace(tiny, train=dataclasses.replace(tiny.train, variants=7, beta=0.1))
    with pytest.raises(TrainError, match=r"found train.variants 7 instead of \d; use another logdir"):
        loop.train(logdir, config=varied, home=home)
    loop.train(logdir, config=tiny, num_steps=150, home=home, progress=False)


def test_one_compilation(tiny, home, tmp_path):
    before = train_step._single._cache_size(), evaluate._terms._cache_size()
    loop.train(tmp_path / "m", "built in", tiny, seed=0, num_steps=12, home=home, progress=False)
    loop.train(tmp_path / "m", num_steps=14, home=home, progress=False)
    assert train_step._single._cache_size() <= before[0] + 1
    assert evaluate._terms._cache_size() <= before[1] + 1


def grown(config, home, logdir, num_steps) -> tuple[list[int], int]:
    """Bytes of this process at each evaluation, and how many programs were compiled after the first one."""
    resident, compiled = [], []

    def note(_):
        resident.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        compiled.append(train_step._single._cache_size() + evaluate._terms._cache_size())

    loop.train(logdir, "built in", config, seed=0, num_steps=num_steps, home=home, on_evaluation=note, progress=False)
    return resident, compiled[-1] - compiled[0]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not tell a process its size")
@pytest.mark.parametrize("num_steps", [400, pytest.param(2000, marks=pytest.mark.slow)])
def test_memory_is_flat(tiny, home, tmp_path, num_steps):
    """After a quarter of the steps nothing grows any more: 2 MiB are the allocator's."""
    still = dataclasses.replace(tiny.train, evaluate_every=20, patience=10**6)
    resident, compiled = grown(Config(tiny.audio, tiny.model, still), home, tmp_path / "m", num_steps)
    quarter = len(resident) // 4
    assert max(resident[-quarter:]) - max(resident[:quarter]) < 2 * 2**20
    assert compiled == 0


def test_sounds_that_vanish_are_left_out_and_named(tiny, tmp_path, sounds, capsys):
    folder = tmp_path / "sounds"
    shutil.copytree(sounds / "kick", folder)
    data.make_dataset([folder], "few", home=tmp_path / "d", progress=False)
    victim = data.load_dataset("few", tmp_path / "d").side("train")[0]
    (folder / victim.path).unlink()
    loop.train(tmp_path / "m", "few", tiny, seed=0, num_steps=0, home=tmp_path / "d", progress=False)
    assert victim.path in capsys.readouterr().out


def test_an_end_between_evaluations_leaves_the_best_model(tiny, home, tmp_path):
    """It is no evaluation of the run: one that is resumed must find the best model of the run."""
    loop.train(tmp_path / "m", "built in", tiny, seed=0, num_steps=5, home=home, progress=False)
    for steps in (7, 9):
        loop.train(tmp_path / "m", num_steps=steps, home=home, progress=False)
        assert checkpoint.load(tmp_path / "m" / "best.safetensors")[1]["metrics"]["step"] == 5
