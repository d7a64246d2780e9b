"""Odd calls: each is done as meant, or refused in words that say what to do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from vaelab import SoundSampleTool, audio, cli, cutting, data, files, regenerate, training
from vaelab import model as models
from vaelab.audio import Recipe, Sound, built_in_tape
from vaelab.config import ConfigError
from vaelab.data import DatasetError
from vaelab.models import checkpoint
from vaelab.play import ToolError, outputs
from vaelab.play.latent import LatentError
from vaelab.ui.mixer import Mixer


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


def samples(home):
    return audio.read(home / "kick.wav", 8000)


ARRAYS = {
    "generate": lambda tool, home, what: tool.generate(audio_files=[home / "kick.wav", what]),
    "generate, no list": lambda tool, home, what: tool.generate(audio_files=what),
    "interpolate": lambda tool, home, what: tool.interpolate([home / "kick.wav", what]),
    "interpolate, no list": lambda tool, home, what: tool.interpolate(what),
    "directions": lambda tool, home, what: tool.directions(20 * [what]),
    "refine": lambda tool, home, what: tool.refine(what),
    "mixer": lambda tool, home, what: Mixer(tool, [what], sync=True),
    "mixer, later": lambda tool, home, what: Mixer(tool, [], sync=True).add_sounds([what]),
}
READERS = {
    "embed": lambda tool, what: tool.embed([what]),
    "embed, no list": lambda tool, what: tool.embed(what),
    "predict": lambda tool, what: tool.predict(what),
    "how_known": lambda tool, what: tool.how_known(what),
    "find_similar": lambda tool, what: tool.find_similar(what),
    "find_similar, a mix": lambda tool, what: tool.find_similar([what, what]),
}


@pytest.mark.parametrize("kind", ["array", "Sound", "number"])
@pytest.mark.parametrize("door", ARRAYS)
def test_sources_are_files(tool, home, door, kind):
    """Since recipes name them; it says how to make one."""
    what = {"array": samples(home), "Sound": Sound(samples(home), 8000), "number": 3}[kind]
    how = {"array": r"audio\.write\(", "Sound": r"save\(path\)", "number": "int 3; samples are given by"}[kind]
    with pytest.raises(ToolError, match=rf"audio_files: expected a list of files, found .*{how}"):
        ARRAYS[door](tool, home, what)


@pytest.mark.parametrize("door", READERS)
def test_samples_have_a_rate(home, door, monkeypatch):
    tool = SoundSampleTool(home / "m.safetensors", library_dir=home / "sounds", home=home / "d", progress=False)
    monkeypatch.setattr(tool, "_check_classifier", lambda: None)
    monkeypatch.setattr(tool, "_remembered", lambda: None)
    for array in (samples(home), (32767 * samples(home)).astype(np.int16)):
        with pytest.raises(ToolError, match=r"found an array of shape .*; samples are given by vaelab\.audio\.Sound\("):
            READERS[door](tool, array)


def test_a_sound_is_what_its_file_is(home):
    tool = SoundSampleTool(home / "m.safetensors", library_dir=home / "sounds", home=home / "d", progress=False)
    path, sound = home / "kick.wav", Sound(samples(home), 8000)
    np.testing.assert_allclose(tool.embed([path, sound]), tool.embed([sound, path]), atol=1e-5)
    assert tool.find_similar(sound, 1)[0] == tool.find_similar(path, 1)[0]
    mixes = [tool.find_similar(pair, 3, weights=[1, 2]) for pair in ([path, sound], [sound, path])]
    assert mixes[0][0] == mixes[1][0]


def test_double_precision_is_refused_before_any_work(home, tiny):
    """Under it no file would load, and a model trained with it would load nowhere."""
    jax.config.update("jax_enable_x64", True)
    try:
        for call in (
            lambda: SoundSampleTool(home / "m.safetensors"),
            lambda: training.train(home / "run", "S", tiny, home=home / "d"),
        ):
            with pytest.raises(ConfigError, match=r"JAX_ENABLE_X64: expected off, .* found on; unset it"):
                call()
    finally:
        jax.config.update("jax_enable_x64", False)
    assert not (home / "run").exists()


def test_the_command_computes_in_single_precision(home):
    """Whatever the flag: the same seed, the same bytes."""
    for value in ("0", "1"):
        command = ["generate", "--model", "m.safetensors", "--seed", "1", "--out-file", f"{value}.wav"]
        environment = {**os.environ, "JAX_ENABLE_X64": value}
        subprocess.run([sys.executable, "-m", "vaelab.cli", *command], env=environment, cwd=home, check=True)
    assert (home / "0.wav").read_bytes() == (home / "1.wav").read_bytes()
