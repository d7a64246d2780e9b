"""Whatever writes a sound leaves a person's recordings as they are."""

import ast
import json
import os
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
import soundfile

from vaelab import SoundSampleTool, audio, cli, data, transcode
from vaelab import model as models
from vaelab.audio import built_in_tape, synth
from vaelab.audio.recipe import is_ours
from vaelab.datasets import cutting, segments
from vaelab.models import checkpoint
from vaelab.play import generator, rendering
from vaelab.ui.mixer import Mixer
from vaelab.ui.soundmap import SoundMap

PACKAGE = Path(__file__).parent.parent / "vaelab"
SAMPLES = np.linspace(-0.5, 0.5, 4000).astype(np.float32)
NO_RECIPE = "expected a free name or a sound that vaelab wrote, found a file without its recipe"
A_SOURCE = "expected a name that no source of the sound has, found one of its sources"


@pytest.fixture(scope="module")
def model(tmp_path_factory, tiny):
    folder = tmp_path_factory.mktemp("model") / "m"
    checkpoint.save_model(folder / "best.safetensors", models.create(tiny.model, tiny.audio, jax.random.key(0)), {})
    return folder


@pytest.fixture(scope="module")
def tool(model):
    return SoundSampleTool(model)


@pytest.fixture
def place(tmp_path, sounds):
    """A folder with recordings (kick.wav, bird.wav, g_1.wav) and a sound of ours (g.wav)."""
    for name in ("kick.wav", "bird.wav", "g_1.wav"):
        shutil.copy(sounds / "kick" / "kick_0001.wav", tmp_path / name)
    return tmp_path


@pytest.fixture
def idle(monkeypatch):
    """No work is done: whoever makes or reads a sound fails."""

    def work(*_, **__):
        raise AssertionError("work was done before the refusal")

    for name in ("read_clips", "sound", "long_sound", "embed"):
        monkeypatch.setattr(rendering, name, work)
    monkeypatch.setattr(generator.priors, "normal", work)


def command(*words):
    """Run the command, whose refusals must be the library's."""
    options = cli.parser().parse_args([str(word) for word in words])
    options.run(options)


def regenerating(tool, place, out_file, *more):
    """Regenerate a mix of bird.wav."""
    if not (place / "mix.wav").exists():
        tool.generate(place / "mix.wav", [place / "bird.wav"], seed=0)
    command("regenerate", place / "mix.wav", "--model", tool.path, "--out-file", out_file, *more)


EARLY = {
    "generate, out_file first": lambda tool, place, file: tool.generate(file),
    "generate": lambda tool, place, file: tool.generate(file, [place / "bird.wav"]),
    "generate, several": lambda tool, place, file: tool.generate(place / "g.wav", [place / "bird.wav"], count=2),
    "generate, long": lambda tool, place, file: tool.generate(file, seconds=2.0),
    "interpolate": lambda tool, place, file: tool.interpolate(
        [place / "kick.wav", place / "bird.wav"], out_file=place / "g.wav", steps=2
    ),
    "interpolate, long": lambda tool, place, file: tool.interpolate(
        points=np.zeros((2, 8), np.float32), out_file=file, seconds=2.0
    ),
    "the command": lambda tool, place, file: command(
        "generate", "--model", tool.path, place / "bird.wav", "--out-file", file
    ),
}
LATE = {
    "regenerate": regenerating,
    "a sound's save": lambda tool, place, file: tool.generate(seed=0).save(file),
    "a decoded sound": lambda tool, place, file: tool.decode(np.zeros((1, 8)))[0].save(file),
    "write": lambda tool, place, file: audio.write(file, SAMPLES, 8000),
    "write, with a recipe": lambda tool, place, file: audio.write(file, SAMPLES, 8000, {"seed": 1}),
}


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("door", EARLY)
def test_a_recording_is_not_replaced_and_nothing_is_done(tool, place, idle, door):
    before = contents(place)
    with pytest.raises(FileExistsError, match=NO_RECIPE) as refused:
        EARLY[door](tool, place, place / "kick.wav")
    assert isinstance(refused.value, audio.AudioError)
    assert refused.value.path.name in ("kick.wav", "g_1.wav")
    assert contents(place) == before


@pytest.mark.parametrize("door", LATE)
def test_a_recording_is_not_replaced(tool, place, door):
    before = contents(place)
    with pytest.raises(FileExistsError, match=NO_RECIPE):
        LATE[door](tool, place, place / "kick.wav")
    assert {name: body for name, body in contents(place).items() if name.name != "mix.wav"} == before


@pytest.mark.parametrize("name", ["kick.flac", "kick.aiff", "kick.wav"])
def test_ours_is_replaced_again_and_again(tool, place, name):
    (place / "kick.wav").unlink()
    for seed in (0, 1):
        sound = tool.generate(place / name, [place / "bird.wav"], variance=0.1, seed=seed)
        assert is_ours(place / name)
        assert audio.read_recipe(place / name)["seed"] == seed
    sound.save(place / name)


@pytest.mark.parametrize("name", ["kick.flac", "kick.aiff"])
def test_a_sound_of_ours_that_was_edited_is_a_recording(tool, place, name):
    """The recipe beside it is of another content."""
    tool.generate(place / name, seed=0)
    soundfile.write(place / name, SAMPLES, 8000)
    with pytest.raises(audio.TakenError, match=NO_RECIPE):
        tool.generate(place / name, seed=0)
    (place / f"{name}.recipe.json").write_text("[" * 100_000)
    assert not is_ours(place / name)


LINKS = {
    "the same": lambda file, link: file,
    "a hard link": lambda file, link: os.link(file, link) or link,
    "a link": lambda file, link: link.symlink_to(file) or link,
    "another spelling": lambda file, link: file.parent / "sub" / ".." / file.name,
}


@pytest.mark.parametrize("kind", LINKS)
def test_a_source_is_not_replaced_whatever_it_is_called(tool, place, idle, monkeypatch, kind):
    """Also one that vaelab wrote itself."""
    (place / "sub").mkdir()
    source, link = place / "source.wav", place / "link.wav"
    audio.write(source, SAMPLES, 8000, {"seed": 1})
    out_file = LINKS[kind](source, link)
    before = contents(place)
    monkeypatch.chdir(place)
    for sources in ([source, place / "bird.wav"], ["bird.wav", "source.wav"]):
        with pytest.raises(FileExistsError, match=A_SOURCE):
            tool.generate(out_file, sources)
    with pytest.raises(FileExistsError, match=A_SOURCE):
        tool.interpolate(["source.wav", "bird.wav"], out_file=out_file, seconds=2.0)
    assert contents(place) == before


def test_a_numbered_source_is_not_replaced(tool, place, idle):
    audio.write(place / "x_2.wav", SAMPLES, 8000, {"seed": 1})
    with pytest.raises(audio.TakenError, match=rf"x_2\.wav: {A_SOURCE}"):
        tool.generate(place / "x.wav", [place / "x_2.wav"], count=2)
    assert not (place / "x_1.wav").exists()


def test_a_source_of_a_recipe_is_not_replaced(tool, place):
    audio.write(place / "source.wav", SAMPLES, 8000, {"seed": 1})
    sound = tool.generate(place / "mix.wav", [place / "source.wav"], seed=0)
    with pytest.raises(audio.TakenError, match=A_SOURCE):
        sound.save(place / "source.wav")
    with pytest.raises(audio.TakenError, match=A_SOURCE):
        regenerating(tool, place, place / "source.wav")
    tape = {"path": str(place / "source.wav")}
    with pytest.raises(audio.TakenError, match=A_SOURCE):
        audio.write(place / "source.wav", SAMPLES, 8000, {"sources": [{"path": "other.wav", "tapes": [tape]}]})


def test_on_purpose_it_is(tool, place):
    command("generate", "--model", tool.path, place / "kick.wav", "--out-file", place / "kick.wav", "--overwrite")
    assert is_ours(place / "kick.wav")
    regenerating(tool, place, place / "bird.wav", "--overwrite")
    assert is_ours(place / "bird.wav")
    tool.interpolate(points=np.zeros((2, 8), np.float32), steps=2, out_file=place / "g.wav", overwrite=True)
    assert is_ours(place / "g_1.wav")
    assert "overwrite" not in audio.read_recipe(place / "kick.wav")


def test_what_is_no_file_is_never_replaced(place):
    (place / "folder.wav").mkdir()
    os.mkfifo(place / "pipe.wav")
    (place / "gone.wav").symlink_to(place / "unplugged disk" / "kick.wav")
    for name in ("folder.wav", "pipe.wav", "gone.wav"):
        for overwrite in (False, True):
            with pytest.raises(audio.TakenError, match="expected a free name, found what cannot be replaced"):
                audio.write(place / name, SAMPLES, 8000, overwrite=overwrite)
        assert os.path.lexists(place / name)


def test_where_out_file_comes_first_is_said(tool, place):
    with pytest.raises(audio.TakenError, match="sounds to mix are named in audio_files, after out_file"):
        tool.generate(str(place / "kick.wav"))


def test_mixer_and_map_save_beside_a_recording(tool, model, place, sounds):
    before = contents(place)
    mixer = Mixer(tool, [place / "kick.wav"], sync=True)
    mixer.name.value = str(place / "kick.wav")
    mixer.save.click()
    assert "kick_2.wav" in mixer.status.value
    searching = SoundSampleTool(model, library_dir=sounds / "kick", home=place / "home", progress=False)
    shown = SoundMap(searching, np.zeros((6, 2)) + np.arange(6)[:, None], folder=place, sync=True)
    shown.view.asked = {"kind": "decode", "x": 0.5, "y": 0.1, "turn": "1"}
    shown.name.value = str(place / "kick.wav")
    shown.save.click()
    assert "kick_3.wav" in shown.status.value
    after = contents(place)
    assert {name: after[name] for name in before} == before


@pytest.fixture(scope="module")
def tape(tmp_path_factory):
    performance = built_in_tape.perform(6, 1, 8000)
    return audio.write(tmp_path_factory.mktemp("archive") / "tape.wav", performance.samples, 8000)


def test_slicing_again_keeps_what_another_program_wrote(tape, tmp_path):
    folder = tmp_path / "cut"
    cut, _ = cutting.cut_tape(tape, folder)
    cutting.cut_tape(tape, folder)
    edited = folder / cut.segments[0].path
    soundfile.write(edited, SAMPLES, 8000)
    before = contents(folder)
    for choices in ({}, {"references": True}):
        with pytest.raises(audio.TakenError, match=NO_RECIPE):
            cutting.cut_tape(tape, folder, **choices)
        assert contents(folder) == before
    with pytest.raises(audio.TakenError, match=NO_RECIPE):
        data.dataset_of_tapes([tape], "again", home=home_around(tmp_path, folder), progress=False)
    assert contents(tmp_path / "again" / "segments" / "tape") == before
    cutting.cut_tape(tape, folder, overwrite=True)
    assert is_ours(edited)


def home_around(home, folder):
    shutil.copytree(folder, home / "again" / "segments" / "tape")
    return home


def test_slicing_keeps_labels_of_no_tape(tape, tmp_path):
    (tmp_path / segments.LABELS).write_text("0.5\t1.0\tmine\n")
    with pytest.raises(segments.CutError, match=r"labels\.txt: expected none, since no tape was cut"):
        cutting.cut_tape(tape, tmp_path)
    assert (tmp_path / segments.LABELS).read_text() == "0.5\t1.0\tmine\n"
    cut, _ = cutting.cut_tape(tape, tmp_path, labels=tmp_path / segments.LABELS)
    assert [segment.label for segment in cut.segments] == ["mine"]


def test_a_transcoding_does_not_replace_its_tape(tool, tape, tmp_path):
    cut, _ = cutting.cut_tape(tape, tmp_path / "cut")
    sound = transcode.transcode(tool, tmp_path / "cut", 0, 2)
    for source in (tape, tmp_path / "cut" / cut.segments[0].path):
        before = source.read_bytes()
        with pytest.raises(FileExistsError, match=A_SOURCE):
            sound.save(source)
        assert source.read_bytes() == before


def test_built_in_sounds_replace_themselves_alone(tmp_path):
    def write(**options):
        options = {"per_class": 2, "sample_rate": 8000, "kinds": ["kick"], "progress": False, **options}
        return synth.write_dataset(tmp_path / "s", **options)

    write()
    write(seed=1, sample_rate=16000)
    (tmp_path / "s" / "parameters.json").unlink()  # as after a run that was killed
    write(seed=1, sample_rate=16000, per_class=3)
    soundfile.write(tmp_path / "s" / "kick" / "kick_0003.wav", SAMPLES, 8000)
    before = contents(tmp_path)
    with pytest.raises(audio.TakenError, match=rf"kick_0003\.wav: {NO_RECIPE}"):
        write(per_class=4)
    assert contents(tmp_path) == before
    (tmp_path / "s" / "parameters.json").write_text(json.dumps([{"path": 1}]))
    with pytest.raises(audio.TakenError):
        command("synth", "--out-dir", tmp_path / "s", "--per-class", 3)
    command("synth", "--out-dir", tmp_path / "s", "--per-class", 3, "--overwrite")


def test_a_table_does_not_replace_a_recording(tool, place):
    before = contents(place)
    with pytest.raises(OSError, match=r"kick\.wav: expected a name in \.csv"):
        command("classify", place / "bird.wav", "--model", tool.path, "--out-file", place / "kick.wav")
    assert contents(place) == before


def test_every_sound_is_written_by_the_guarded_door():
    writers = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = isinstance(node, ast.Call) and ast.unparse(node.func)
            if called in ("soundfile.write", "wave.open", "wavfile.write", "soundfile.SoundFile"):
                writers.add((path.name, called))
    assert writers == {("sound.py", "soundfile.write"), ("clips.py", "soundfile.write")}  # the second into memory
