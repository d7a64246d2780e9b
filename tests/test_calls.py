"""Odd calls: each is done as meant, or refused in words that say what to do."""

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from vaelab import SoundSampleTool, audio, cli, cutting, data, files, regenerate, training
from vaelab import model as models
from vaelab.audio import Recipe, Sound, built_in_tape
from vaelab.data import DatasetError
from vaelab.models import checkpoint
from vaelab.play import ToolError, outputs
from vaelab.play.latent import LatentError


@pytest.fixture
def home(tmp_path, monkeypatch, sounds, tiny):
    """A home with a model and sounds; the working folder is another."""
    home = tmp_path / "home"
    checkpoint.save_model(home / "m.safetensors", models.create(tiny.model, tiny.audio, jax.random.key(0)), {})
    for name in ("kick", "snare"):
        shutil.copytree(sounds / name, home / "sounds" / name)
        shutil.copy(sounds / name / f"{name}_0001.wav", home / f"{name}.wav")
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path / "here")
    return home


@pytest.fixture
def tool(home):
    return SoundSampleTool(home / "m.safetensors")


def test_a_path_from_home(home, tiny):
    """At every door; nothing is made in the working folder."""
    tool = SoundSampleTool("~/m.safetensors", library_dir="~/sounds", home=home / "d", progress=False)
    sound = tool.generate("~/mix.wav", ["~/kick.wav", "~/snare.wav"], seed=0)
    assert [source["path"] for source in sound.recipe["sources"]] == [str(home / "kick.wav"), str(home / "snare.wav")]
    np.testing.assert_array_equal(regenerate("~/mix.wav", tool).samples, sound.samples)
    assert audio.read_recipe("~/mix.wav")["seed"] == 0
    assert sound.save("~/again.flac") == home / "again.flac"
    assert audio.read_recipe("~/again.flac")
    tool.interpolate(["~/kick.wav", "~/snare.wav"], steps=2, out_file="~/way.wav")
    assert (home / "way_2.wav").exists()
    np.testing.assert_array_equal(tool.embed(["~/kick.wav"]), tool.embed([home / "kick.wav"]))
    assert tool.find_similar("~/kick.wav", 1)[0] == [home / "sounds" / "kick" / "kick_0001.wav"]
    assert audio.examine("~/kick.wav") == audio.examine(home / "kick.wav")
    with pytest.raises(audio.TakenError):
        tool.generate("~/kick.wav", seed=0)
    with pytest.raises(audio.TakenError, match="one of its sources"):
        tool.generate(home / "mix.wav", ["~/mix.wav"])
    audio.write(home / "tape.wav", built_in_tape.perform(6, 1, 8000).samples, 8000)
    cutting.cut_tape("~/tape.wav", "~/cut")
    data.make_dataset(["~/sounds"], "S", home=home / "d", progress=False)
    training.train("~/run", "S", tiny, num_steps=1, home=home / "d", progress=False)
    assert (home / "run" / "best.safetensors").exists()
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("name", ["~kick.wav", "a~/kick.wav", "./~/kick.wav"])
def test_other_names_stay_as_they_are(name):
    assert files.from_home(name) == Path(name)


@pytest.mark.parametrize("weights", [2, "12", [1, "x"], [[1], [2]], [None, 1]], ids=str)
def test_weights_that_are_no_list_of_numbers(tool, home, weights):
    pair = [home / "kick.wav", home / "snare.wav"]
    with pytest.raises(LatentError, match=r"weights: expected a list of numbers, one for each sound, found .*; write"):
        tool.generate(audio_files=pair, weights=weights)
    library = SoundSampleTool(home / "m.safetensors", library_dir=home / "sounds", home=home / "d", progress=False)
    with pytest.raises(LatentError, match="weights: expected a list of numbers"):
        library.find_similar(pair, weights=weights, by="embedding")


def test_no_sounds_are_no_random_sound(tool):
    with pytest.raises(ToolError, match="audio_files: expected at least one sound, found none; leave them out"):
        tool.generate(audio_files=[])
    assert tool.generate(audio_files=None, seed=0).seconds


def test_the_command_names_what_it_wrote(tool, home, capsys):
    command = ["generate", "--model", str(home / "m.safetensors"), "--seed", "1", "--out-file", "rnd.wav"]
    assert cli.main([*command, "--count", "3"]) == 0
    assert "wrote 3 of 0.50 s: rnd_1.wav, rnd_2.wav, rnd_3.wav" in capsys.readouterr().out
    assert all(path.exists() for path in outputs("rnd.wav", 3))
    assert cli.main(command) == 0
    assert "wrote 1 of 0.50 s: rnd.wav" in capsys.readouterr().out


def test_a_sound_in_words(tool, home):
    pair = [home / "kick.wav", home / "snare.wav"]
    rate = tool.model.audio.sample_rate
    assert (
        repr(tool.generate(audio_files=pair, weights=[1, 2], seed=0)) == f'Sound(0.50 s, {rate} Hz, "1 kick + 2 snare")'
    )
    mixed = tool.generate(audio_files=pair, weights=[1, -0.25], seed=0)
    assert repr(mixed) == f'Sound(0.50 s, {rate} Hz, "1 kick - 0.25 snare")'
    assert '"random"' in repr(tool.generate(seed=0))
    assert '"decode"' in repr(tool.decode(np.zeros(8))[0])
    assert repr(Sound(np.zeros(8000, np.float32), 8000)) == "Sound(1.00 s, 8000 Hz)"
    many = tool.generate(audio_files=4 * pair, seed=0)
    assert repr(many).endswith('+ 1 snare and 2 more")')
    assert repr(tool.interpolate(pair, steps=2)).count("Sound(") == 2


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({}, ""),
        ({"call": "read", "sources": [{"path": "x"}]}, "read"),
        ({"call": "generate", "sources": "x", "weights": ["a"]}, "generate"),
        ({"call": "generate", "sources": [{}], "weights": None}, "1 ?"),
        ({"call": "generate", "sources": [{"path": "/a/two\nlines.wav"}]}, r"1 'two\nlines'"),
    ],
    ids=str,
)
def test_recipes_in_words(recipe, words):
    assert Recipe(recipe).words() == words


def test_one_class_is_no_choice(home):
    shutil.rmtree(home / "sounds" / "snare")
    report = data.make_dataset([home / "sounds"], "one", classes=True, home=home / "d", progress=False).report()
    assert "  1 class: kick 6; unlabelled 0; one class cannot be told apart from others" in report


def test_a_recording_is_no_folder(home):
    with pytest.raises(
        DatasetError, match=r"kick\.wav: expected a folder of sounds, found a file; name its folder, or"
    ):
        data.make_dataset([home / "kick.wav"], "x", home=home / "d")
