"""What a notebook needs is there, or is made: by name, once, from built-in sounds or from a folder of one's own."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from vaelab import data, spectral, workspace
from vaelab.audio import Sound, synth


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """An empty working folder, and no wish in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VAELAB_SOUNDS", raising=False)
    monkeypatch.delenv("VAELAB_FAST", raising=False)


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """A working folder that the tests of one model share."""
    return tmp_path_factory.mktemp("used")


@pytest.fixture
def small(elsewhere, used, monkeypatch, tiny, sounds):
    """Own sounds, a tiny model, a few steps."""
    monkeypatch.chdir(used)
    monkeypatch.setenv("VAELAB_SOUNDS", str(sounds))
    monkeypatch.setattr(workspace, "config", lambda: tiny)
    monkeypatch.setattr(workspace, "num_steps", lambda: 5)


def test_each_choice_has_a_name_of_its_own(tmp_path, monkeypatch):
    names = []
    for fast in ("", "0", "1"):
        monkeypatch.setenv("VAELAB_FAST", fast)
        for folder in ("", tmp_path / "one" / "drums", tmp_path / "two" / "drums", tmp_path / "..\n$x$ ü"):
            monkeypatch.setenv("VAELAB_SOUNDS", str(folder))
            names.append(workspace.name())
    assert names[:4] == names[4:8]  # "0" is not fast
    assert len(set(names)) == 8
    assert names[0] == "built_in"
    assert names[1].startswith("drums_")
    assert all(name.isidentifier() or name.replace("_", "").isalnum() for name in names)


def test_relative_and_absolute_path_are_one_choice(tmp_path, monkeypatch):
    monkeypatch.setenv("VAELAB_SOUNDS", "drums")
    relative = workspace.name()
    monkeypatch.setenv("VAELAB_SOUNDS", str(tmp_path / "drums"))
    assert workspace.name() == relative


def test_a_folder_that_is_missing_is_named(monkeypatch):
    monkeypatch.setenv("VAELAB_SOUNDS", "/no/such folder")
    with pytest.raises(data.DatasetError, match=r"VAELAB_SOUNDS: .* found none at /no/such folder"):
        workspace.sounds()


def test_built_in_sounds_are_written_once(monkeypatch, tmp_path):
    monkeypatch.setenv("VAELAB_FAST", "1")
    written, write_dataset = [], synth.write_dataset

    def write(root, per_class, sample_rate):
        written.append((per_class, sample_rate))
        return write_dataset(root, 1, sample_rate=sample_rate, kinds=["kick"], progress=False)

    monkeypatch.setattr(synth, "write_dataset", write)
    folder = workspace.sounds()
    assert folder == workspace.sounds() == tmp_path / "sounds" / "built_in_fast"
    assert written == [(8, 16000)]
    assert workspace.label(folder / "kick" / "kick_0001.wav") == "kick"


def test_a_model_is_made_once_and_judged(small, sounds):
    tool = workspace.tool()
    made = tool.path.stat().st_mtime_ns
    assert [metrics["step"] for metrics in workspace.history()] == [5]
    assert workspace.tool().path.stat().st_mtime_ns == made
    metrics, confusion = workspace.judge(tool)
    held_out = workspace.dataset().side("validation")
    assert confusion.sum() == len(held_out)
    assert metrics["error_db"] == pytest.approx(workspace.history()[-1]["error_db"], rel=0.2)
    with_library = workspace.tool(library=True)
    assert len(with_library.library.files) == 60
    assert {workspace.label(path) for path in with_library.library.files} == set(synth.KINDS)


def test_classes_that_a_model_does_not_know_are_named(small, sounds, tmp_path, monkeypatch, capsys):
    tool = workspace.tool()
    grown = tmp_path / "grown"
    for kind in ("kick", "clap"):
        shutil.copytree(sounds / kind, grown / kind)
    shutil.copytree(sounds / "tom", grown / "whistle")
    dataset = data.make_dataset([grown], "grown", classes=True, progress=False)
    monkeypatch.setattr(workspace, "dataset", lambda: dataset)
    capsys.readouterr()
    workspace.judge(tool)
    assert "and not counted: whistle; train in a new folder to learn them" in capsys.readouterr().out


def test_average_error_is_that_of_the_mean_training_sound(small, tiny):
    tool = workspace.tool()
    sides = {}
    for side in ("train", "validation"):
        paths = [workspace.dataset().source(entry) for entry in workspace.dataset().side(side)]
        sides[side] = workspace.features(workspace.sounds_at_rate(paths, tiny.audio), tiny.audio)
    distances = np.abs(sides["validation"] - sides["train"].mean(axis=0))
    loud = [each[sound > spectral.AUDIBLE].mean() for each, sound in zip(distances, sides["validation"], strict=True)]
    expected = np.mean(loud) * tiny.audio.top_db
    assert workspace.average_error(tool) == pytest.approx(expected, rel=0.01)


def test_examples_take_turns_among_the_classes(small):
    kinds = sorted(synth.KINDS)
    assert [path.parent.name for path in workspace.examples(10)] == kinds
    assert [path.parent.name for path in workspace.examples(13)] == kinds + kinds[:3]
    assert [path.parent.name for path in workspace.examples(2)] == [kinds[0], kinds[-1]]
    assert len(set(workspace.examples(1000))) == 60
    held_out = {workspace.dataset().source(entry) for entry in workspace.dataset().side("validation")}
    assert set(workspace.examples(1000, side="validation")) == held_out


def test_sounds_in_one_folder_have_no_class(tmp_path, monkeypatch, sounds):
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in (sounds / "kick").glob("*.wav"):
        shutil.copy(path, flat)
    monkeypatch.setenv("VAELAB_SOUNDS", "flat")
    assert not workspace.in_classes()
    assert workspace.dataset().class_names == ()
    assert len(workspace.examples(4)) == 4
    assert {workspace.label(path) for path in workspace.examples(6)} == {None}


def test_heard_is_mono_and_of_one_length(tiny, sounds):
    paths = [sounds / "kick" / "kick_0001.wav", sounds / "drone" / "drone_0001.wav"]
    heard = workspace.sounds_at_rate(paths, tiny.audio)
    assert {sound.samples.shape for sound in heard} == {(tiny.audio.samples,)}
    assert workspace.features(heard, tiny.audio).shape == (2, tiny.audio.frames, tiny.audio.n_mels)


def test_features_are_those_of_the_mono_sum(tiny):
    stereo = np.random.default_rng(0).uniform(-0.5, 0.5, (tiny.audio.samples, 2)).astype(np.float32)
    sides = [Sound(samples, tiny.audio.sample_rate) for samples in (stereo, stereo.mean(axis=1))]
    both, mono = workspace.features(sides, tiny.audio)
    np.testing.assert_allclose(both, mono, atol=1e-4)


def test_no_history_before_training():
    assert workspace.history() == []
    assert not os.listdir()


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """As if vaelab came from a wheel; what is put among the places to import from is taken out again."""
    monkeypatch.setattr(workspace, "__file__", str(tmp_path / "site-packages" / "vaelab" / "workspace.py"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("VAELAB_SOURCE", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def repository(folder):
    (folder / "experiments" / "results").mkdir(parents=True)
    (folder / "experiments" / "results" / "one.json").write_text("{}")
    return folder


def test_the_checkout_is_what_vaelab_came_from():
    assert (workspace.checkout() / "experiments" / "results" / "baseline.json").exists()


@pytest.mark.parametrize("place", [".", "here", "elsewhere"])
def test_the_checkout_is_found(installed, tmp_path, monkeypatch, place):
    """Above the working folder, there, or where VAELAB_SOURCE says."""
    folder = repository(tmp_path / place)
    if place == "elsewhere":
        monkeypatch.setenv("VAELAB_SOURCE", str(folder))
    assert workspace.checkout() == folder.resolve()
    assert sys.path[0] == str(folder.resolve())


def test_a_git_url_is_cloned_once(installed, tmp_path, monkeypatch):
    folder = repository(tmp_path / "elsewhere")
    git = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "one"]):
        subprocess.run([*git, *command], check=True)
    monkeypatch.setenv("VAELAB_SOURCE", f"git+{folder.as_uri()}")
    clone = workspace.checkout()
    assert clone == tmp_path / "here" / "vaelab-source"
    shutil.rmtree(folder)
    assert workspace.checkout() == clone


def test_no_checkout_says_what_to_do(installed):
    with pytest.raises(FileNotFoundError, match=r"open this notebook in a checkout, or set VAELAB_SOURCE"):
        workspace.checkout()
