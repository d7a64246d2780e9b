"""A run knows which sounds it learnt: what has changed is said, its best is judged anew, new classes are refused."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest

from vaelab import data
from vaelab.models import checkpoint, evaluate
from vaelab.training import TrainError, learnt, logdir, loop
from vaelab.training.learnt import LearntSounds

KINDS = ("kick", "snare", "clap")


@pytest.fixture
def folder(tmp_path, sounds):
    """Four sounds of each of three classes."""
    for kind in KINDS:
        take(sounds, tmp_path / "sounds", kind, range(1, 5))
    return tmp_path / "sounds"


def take(sounds, folder, kind, numbers):
    (folder / kind).mkdir(parents=True, exist_ok=True)
    for number in numbers:
        shutil.copy(sounds / kind / f"{kind}_{number:04d}.wav", folder / kind)


def make(folder, **choices):
    choices = {"classes": True, "train_ratio": 0.5, **choices}
    return data.make_dataset([folder], "mine", home=folder.parent / "d", progress=False, **choices)


def train(folder, config=None, num_steps=10, logdir="m", **choices):
    home = folder.parent / "d"
    return loop.train(folder.parent / logdir, "mine", config, num_steps=num_steps, home=home, progress=False, **choices)


def newest(folder, logdir="m"):
    return checkpoint.load(sorted((folder.parent / logdir).glob("state-*"))[-1])[1]


def best(folder):
    return checkpoint.load_model(folder.parent / "m" / "best.safetensors")


def held_out_loss(folder, config, model):
    """Computed here anew, on the sounds held out now."""
    dataset = data.load_dataset("mine", folder.parent / "d")
    store = loop.FeatureStore(folder.parent / "d" / ".store", config.audio)
    side = loop.gather(dataset, "validation", store, model.config)
    key = jax.random.fold_in(jax.random.key(0), 2)
    return evaluate.evaluate(model, side, config.train, key)[0]["loss"]


def test_new_classes_are_refused_by_name(folder, sounds, tiny, capsys):
    make(folder)
    train(folder, tiny)
    before = {path.name: path.read_bytes() for path in (folder.parent / "m").iterdir()}
    take(sounds, folder, "drone", range(1, 5))
    take(sounds, folder, "tom", range(1, 3))
    make(folder)
    refusal = (
        r"m: expected the classes that this run began with \(clap, kick, snare\), found also drone, tom in dataset"
    )
    with pytest.raises(TrainError, match=f"{refusal} 'mine'; .* train in a new logdir"):
        train(folder, num_steps=1000)
    assert {path.name: path.read_bytes() for path in (folder.parent / "m").iterdir()} == before
    model = train(folder, tiny, num_steps=5, logdir="new")
    assert model.config.classes == ("clap", "drone", "kick", "snare", "tom")


def test_labels_for_a_run_without_any_are_refused(folder, tiny):
    make(folder, classes=False)
    train(folder, tiny, num_steps=5)
    make(folder)
    with pytest.raises(TrainError, match=r"began with \(none\), found also clap, kick, snare"):
        train(folder, num_steps=10)


def test_a_grown_dataset_is_said_and_the_best_judged_anew(folder, sounds, tiny, capsys):
    make(folder)
    train(folder, tiny)
    old_best, old_meta = best(folder)
    old_head = np.array(old_best.params["head_class"]["kernel"])
    take(sounds, folder, "kick", [5, 6])
    take(sounds, folder, "clap", [5, 6])
    (folder / "snare" / "snare_0001.wav").unlink()
    now = make(folder)
    capsys.readouterr()
    train(folder, num_steps=10)
    line, _ = capsys.readouterr().out.splitlines()
    assert "m: the dataset has changed since step 10: 4 added (" in line
    assert "), 1 removed; training goes on" in line
    assert f"judged anew on the {len(now.side('validation'))} sounds held out now" in line
    model, meta = best(folder)
    assert meta["metrics"]["step"] == old_meta["metrics"]["step"]
    assert meta["metrics"]["loss"] != old_meta["metrics"]["loss"]
    assert meta["metrics"]["loss"] == pytest.approx(held_out_loss(folder, tiny, model), rel=1e-5)
    assert not np.array_equal(model.params["head_class"]["kernel"], old_head)
    train(folder, num_steps=15)
    assert "the dataset has changed since step 10" in capsys.readouterr().out
    followed = tiny.train.follow
    last = newest(folder)["history"][-1]
    assert newest(folder)["schedule"]["best"] == min(meta["metrics"][followed], last[followed])
    train(folder, num_steps=20)
    assert capsys.readouterr().out == ""


def test_a_run_that_had_ended_goes_on_with_new_sounds(folder, sounds, tiny):
    quick = dataclasses.replace(tiny.train, patience=1, min_improvement=0.5, decay=0.05, decay_steps=1)
    make(folder)
    train(folder, dataclasses.replace(tiny, train=quick), num_steps=None)
    ended = newest(folder)["history"][-1]["step"]
    assert newest(folder)["schedule"]["done"]
    take(sounds, folder, "kick", [5, 6])
    make(folder)
    train(folder, num_steps=None)
    after = newest(folder)
    assert after["history"][-1]["step"] > ended
    rates = {row["step"]: row["rate"] for row in after["history"]}
    assert rates[ended + tiny.train.evaluate_every] == pytest.approx(quick.learning_rate) != rates[ended]


def test_a_changed_run_resumes_as_the_same_run(folder, sounds, tiny):
    """Once it has taken the change in."""
    make(folder)
    for name in ("a", "b"):
        train(folder, tiny, num_steps=10, logdir=name)
    take(sounds, folder, "kick", [5, 6])
    make(folder)
    train(folder, num_steps=30, logdir="a")
    for stop in (12, 20, 30):
        train(folder, num_steps=stop, logdir="b")
    assert (tensors := digest(folder, "a")) == digest(folder, "b")
    assert tensors


def digest(folder, logdir):
    names = [sorted((folder.parent / logdir).glob("state-*"))[-1].name, "start.safetensors", "best.safetensors"]
    return [
        {name: value.tobytes() for name, value in checkpoint.load(folder.parent / logdir / file)[0].items()}
        for file in names
    ]


def test_a_run_that_never_began_starts_from_the_sounds_of_now(folder, sounds, tiny):
    """It was killed after its start was saved."""
    make(folder)
    train(folder, tiny, num_steps=5, logdir="a")
    take(sounds, folder, "kick", [5, 6])
    make(folder)
    for path in [*(folder.parent / "a").glob("state-*"), folder.parent / "a" / "best.safetensors"]:
        path.unlink()
    train(folder, num_steps=5, logdir="a")
    train(folder, tiny, num_steps=5, logdir="b")
    assert digest(folder, "a") == digest(folder, "b")


def test_a_run_of_before_is_taken_as_it_is(folder, tiny, capsys):
    """Its states do not say what they were trained on."""
    make(folder)
    train(folder, tiny, num_steps=5)
    path = sorted((folder.parent / "m").glob("state-*"))[-1]
    tensors, meta = checkpoint.load(path)
    own = ("format", "versions", "sha256", "sounds")
    checkpoint.save(path, tensors, {name: value for name, value in meta.items() if name not in own})
    (folder.parent / "m" / learnt.FILE).unlink()
    capsys.readouterr()
    train(folder, num_steps=10)
    assert capsys.readouterr().out == ""
    assert newest(folder)["sounds"] == learnt.load(folder.parent / "m").digest


BEFORE = LearntSounds({"a": ("train", "x"), "b": ("train", "x"), "c": ("validation", None)})


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ({"a": ("train", "x"), "b": ("train", "x")}, "1 removed"),
        ({**BEFORE.sounds, "d": ("train", "x"), "e": ("validation", "x")}, "2 added (1 to train on)"),
        ({**BEFORE.sounds, "a": ("validation", "x")}, "1 on the other side"),
        ({**BEFORE.sounds, "c": ("validation", "y")}, "1 of another class"),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_changes_in_words(now, words):
    assert LearntSounds(now).since(BEFORE) == words
    assert LearntSounds(now).digest != BEFORE.digest


def test_what_changed_may_be_unknown(tmp_path):
    assert BEFORE.since(None) == "3 sounds now"
    assert learnt.load(tmp_path) is None
    BEFORE.save(tmp_path)
    assert learnt.load(tmp_path) == LearntSounds({name: tuple(value) for name, value in BEFORE.sounds.items()})
    for text in ("", "[]", '{"a": 1}', "[" * 100_000):
        (tmp_path / learnt.FILE).write_text(text)
        assert learnt.load(tmp_path) is None


def test_tapes_once_learnt_stay_named(folder, tiny):
    make(folder)
    train(folder, tiny, num_steps=5)
    path = folder.parent / "m" / "best.safetensors"
    model, meta = checkpoint.load_model(path)
    old, new = ({"name": name, "sha256": name, "metadata": {}} for name in ("old", "new"))
    checkpoint.save_model(path, model, {"metrics": meta["metrics"], "trained_on": [old]})
    assert logdir.learnt_tapes(folder.parent / "m", [new]) == [new, old]
    assert logdir.learnt_tapes(folder.parent / "m", [old, new]) == [old, new]
