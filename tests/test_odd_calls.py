"""A table of odd calls: each is done and says what it did, or is refused in words of ours; no file changes or goes."""

import hashlib
import re
import shutil
import traceback
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest
import soundfile

import vaelab
from vaelab import SoundSampleTool, VaelabError, audio, cli, cutting, data, regenerate, slicing, training, transcode
from vaelab import model as models
from vaelab.audio import Sound, built_in_tape
from vaelab.datasets import unpacking
from vaelab.library import umap_map
from vaelab.models import checkpoint

PACKAGE = Path(vaelab.__file__).parent
TYPES = (VaelabError, OSError, TypeError, ValueError)


@pytest.fixture(scope="module")
def home(tmp_path_factory, sounds, tiny):
    """A folder with a model, sounds, a dataset of them, a cut tape, a mix, a text and a picture."""
    home = tmp_path_factory.mktemp("odd")
    checkpoint.save_model(home / "m.safetensors", models.create(tiny.model, tiny.audio, jax.random.key(0)), {})
    for name in ("kick", "snare"):
        shutil.copytree(sounds / name, home / "sounds" / name)
        shutil.copy(sounds / name / f"{name}_0001.wav", home / f"{name}.wav")
    (home / "empty").mkdir()
    (home / "flat").mkdir()
    for path in (home / "sounds" / "kick").iterdir():
        shutil.copy(path, home / "flat")
    (home / "text.txt").write_text("not a sound")
    (home / "text.wav").write_text("not a sound")
    (home / "page.html").write_text("mine")
    (home / "picture.png").write_bytes(b"\x89PNG")
    (home / "list.json").write_text("[1, 2]")
    (home / "knobs.json").write_text('{"train": {"bathc_size": 3}}')
    audio.write(home / "tape.wav", built_in_tape.perform(6, 1, 8000).samples, 8000)
    cutting.cut_tape(home / "tape.wav", home / "cut")
    data.make_dataset([home / "sounds"], "S", classes=True, home=home / "datasets", progress=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        SoundSampleTool("m.safetensors").generate("mix.wav", ["kick.wav", "snare.wav"], seed=0)
        prepare_what_is_told(home)
        yield home


def prepare_what_is_told(home):
    """Sounds with silence, folders with more than sounds, and a mix whose source has moved."""
    late = np.concatenate([np.zeros(8000), audio.read("kick.wav", 8000)])
    for name, samples in {"silent.wav": np.zeros(8000), "late.wav": late}.items():
        soundfile.write(home / name, samples, 8000)
    for name, more in {"mixed": "text.wav", "twice": "flat/kick_0001.wav"}.items():
        shutil.copytree(home / "flat", home / name)
        shutil.copy(home / more, home / name / "z.wav")
    shutil.copy("kick.wav", "gone.wav")
    SoundSampleTool("m.safetensors").generate("moved/mix.wav", ["gone.wav"], seed=0)
    shutil.move("gone.wav", "moved/here.wav")


@pytest.fixture(scope="module")
def tool(home):
    return SoundSampleTool(home / "m.safetensors")


@pytest.fixture(scope="module")
def searching(home):
    return SoundSampleTool(home / "m.safetensors", library_dir=home / "sounds", home=home / "d", progress=False)


def contents(home) -> dict[Path, str]:
    """A hash of every file below a folder but those of stores and libraries."""
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(home.rglob("*"))
        if path.is_file() and not any(part in (".store", ".libraries") for part in path.parts)
    }


# What is called, with the tool that has a library, and a pattern of the words that refuse it.
CALLS = {
    "weights of another number": (
        lambda t: t.generate(audio_files=["kick.wav"], weights=[1, 2]),
        "weights: expected 1",
    ),
    "weights that cancel": (lambda t: t.generate(audio_files=["kick.wav", "snare.wav"], weights=[1, -1]), "weights: "),
    "weights that are no numbers": (
        lambda t: t.generate(audio_files=["kick.wav"], weights="1"),
        "weights: expected a l",
    ),
    "endless weights": (lambda t: t.generate(audio_files=["kick.wav"], weights=[np.inf]), "weights: expected"),
    "weights without files": (lambda t: t.generate(weights=[1]), "weights: expected none without"),
    "one file, not a list": (lambda t: t.generate(audio_files="kick.wav"), "expected a list of files, found one"),
    "no file": (lambda t: t.generate(audio_files=[]), "expected at least one sound"),
    "a file that is not there": (
        lambda t: t.generate(audio_files=["no.wav"]),
        "no.wav: expected a sound file, found none",
    ),
    "a folder for a file": (lambda t: t.generate(audio_files=["sounds"]), "sounds: expected a sound file"),
    "a text for a sound": (lambda t: t.generate(audio_files=["text.wav"]), "text.wav: expected a sound file"),
    "a name with a zero byte": (lambda t: t.generate(audio_files=["a\0.wav"]), "expected a sound file"),
    "windows no distance apart": (
        lambda t: t.open_library("sounds", library_hop_seconds=0),
        "library_hop_seconds: expected seconds above 0",
    ),
    "windows and segments": (
        lambda t: t.open_library("sounds", library_hop_seconds=1, library_segmentation=True),
        "found both",
    ),
    "windows that go backwards": (
        lambda t: data.make_dataset(["sounds"], "w", home="w", hop_seconds=-1.0, progress=False),
        "hop_seconds: expected 0",
    ),
    "an array for a file": (lambda t: t.generate(audio_files=[np.zeros(9)]), "audio_files: expected a list of files"),
    "nothing for a file": (lambda t: t.generate(audio_files=[None]), "audio_files: expected a list of files"),
    "a recording as output": (lambda t: t.generate("kick.wav"), "expected a free name"),
    "a source as output": (lambda t: t.generate("mix.wav", ["mix.wav"]), "one of its sources"),
    "a folder as output": (lambda t: t.generate("sounds"), "expected a name ending in"),
    "a folder's name with an ending": (lambda t: t.generate("cut/tape.json/x.wav"), "x.wav|tape.json"),
    "an unknown format": (lambda t: t.generate("x.mp3"), "expected a name ending in .wav"),
    "no ending": (lambda t: t.generate("x"), "expected a name ending in .wav"),
    "bits that no format has": (lambda t: t.generate("x.wav", bits=8), "expected 16, 24, 32 bits"),
    "float flac": (lambda t: t.generate("x.flac", bits=32), "expected 16, 24 bits"),
    "an hour": (lambda t: t.generate(seconds=3600), "seconds: expected"),
    "no time at all": (lambda t: t.generate(seconds=0), "seconds: expected"),
    "a negative variance": (lambda t: t.generate(audio_files=["kick.wav"], variance=-1), "variance: expected"),
    "an endless temperature": (lambda t: t.generate(temperature=np.nan), "temperature: expected"),
    "no sounds": (lambda t: t.generate(count=0), "count: expected"),
    "half a sound": (lambda t: t.generate(count=1.5), "count: expected"),
    "a seed that is a word": (lambda t: t.generate(seed="x"), "seed: expected"),
    "a misspelt keyword": (lambda t: t.generate(weigths=[1]), "did you mean 'weights'"),
    "a misspelt keyword of the tool": (lambda t: SoundSampleTool("m.safetensors", libary_dir="sounds"), "libary_dir"),
    "an offset beyond the end": (
        lambda t: t.generate(audio_files=["kick.wav"], offsets=[99]),
        "expected sound at 99 s",
    ),
    "a negative offset": (lambda t: t.generate(audio_files=["kick.wav"], offsets=[-1]), "offsets: expected at least 0"),
    "an unknown class": (lambda t: t.generate(label="dog"), "label: expected"),
    "an unknown prior": (lambda t: t.generate(prior="dog"), "prior: expected"),
    "a detail of 2": (lambda t: t.generate(audio_files=["kick.wav"], detail=2), "detail: expected a number"),
    "channels of three": (lambda t: t.generate(audio_files=["kick.wav"], channels="5.1"), "channels: expected"),
    "negative steps": (lambda t: t.generate(audio_files=["kick.wav"], refine=-1), "refine: expected"),
    "a direction without a name": (lambda t: t.generate(directions={"dog": 1}), "direction"),
    "a way of one sound": (lambda t: t.interpolate(["kick.wav"]), "expected"),
    "a way of no steps": (lambda t: t.interpolate(["kick.wav", "snare.wav"], steps=0), "expected at least 2 steps"),
    "a latent of another size": (lambda t: t.decode(np.zeros(3)), r"z: expected shape \(n, 8\)"),
    "a latent that is no number": (lambda t: t.decode(np.full(8, np.nan)), "z: expected finite"),
    "a class without a classifier": (lambda t: t.predict("kick.wav"), "no classifier"),
    "how known, without memory": (lambda t: t.how_known("kick.wav"), "training did not end"),
    "none similar": (lambda t: t.find_similar("kick.wav", 0), "num_similar: expected at least 1"),
    "similar in an unknown way": (lambda t: t.find_similar("kick.wav", by="dog"), "by: expected one of"),
    "similar by an unknown measure": (lambda t: t.find_similar("kick.wav", metric="dog"), "metric: expected"),
    "similar below no folder": (lambda t: t.find_similar("kick.wav", folder="dog"), "found none"),
    "similar of no label": (lambda t: t.find_similar("kick.wav", label="dog"), "label: expected one of"),
    "similar without a library": (
        lambda t: SoundSampleTool("m.safetensors").find_similar("kick.wav"),
        "expected a library; open the tool with",
    ),
    "no model": (lambda t: SoundSampleTool("dog"), "no model 'dog': looked for"),
    "a sound for a model": (lambda t: SoundSampleTool("kick.wav"), "kick.wav: expected a vaelab checkpoint"),
    "a folder without a model": (lambda t: SoundSampleTool("sounds"), "no model 'sounds'"),
    "a library of nothing": (lambda t: t.open_library("empty"), "expected at least one readable sound"),
    "a library that is a file": (lambda t: t.open_library("kick.wav"), "expected a folder of sounds as library"),
    "a recipe of a recording": (lambda t: regenerate("kick.wav", t), "expected a recipe, found none"),
    "a recipe of nothing": (lambda t: regenerate("no.wav", t), "no.wav"),
    "a sound saved over a recording": (lambda t: Sound(np.zeros(9), 8000).save("kick.wav"), "expected a free name"),
    "samples of three channels": (lambda t: audio.write("x.wav", np.zeros((9, 3)), 8000), "expected samples of shape"),
    "no samples": (lambda t: audio.write("x.wav", np.zeros(0), 8000), "expected samples of shape"),
    "samples that are no numbers": (lambda t: audio.write("x.wav", [np.nan], 8000), "expected finite samples"),
    "samples of no rate": (lambda t: audio.write("x.wav", np.zeros(9), 0), "rate"),
    "read at no rate": (lambda t: audio.read("kick.wav", 0), "rate"),
    "a dataset of a file": (
        lambda t: data.make_dataset(["kick.wav"], "x"),
        "expected a folder of sounds, found a file",
    ),
    "a dataset of nothing": (lambda t: data.make_dataset(["empty"], "x"), "expected at least 2 different sounds"),
    "a dataset of no folder": (lambda t: data.make_dataset([], "x"), "expected"),
    "one folder, not a list": (lambda t: data.make_dataset("sounds", "x"), "expected a list of folders"),
    "a dataset twice": (lambda t: data.make_dataset(["sounds", "sounds/kick"], "x"), "expected"),
    "a dataset's name with a slash": (lambda t: data.make_dataset(["sounds"], "../x"), "expected a plain folder name"),
    "all to train on": (lambda t: data.make_dataset(["sounds"], "x", train_ratio=1), "train ratio: expected a share"),
    "a held-out folder that is none": (
        lambda t: data.make_dataset(["sounds"], "x", hold_out=["dog"]),
        "hold out: expec",
    ),
    "no dataset": (lambda t: data.load_dataset("dog"), "no dataset 'dog'"),
    "a run of no dataset": (lambda t: training.train("run"), "name a dataset"),
    "a run in a file": (lambda t: training.train("kick.wav", "S"), "kick.wav"),
    "a tape that is a text": (lambda t: cutting.cut_tape("text.wav", "x"), "text.wav: expected a sound file"),
    "a tape cut onto its model": (lambda t: cutting.cut_tape("tape.wav", "m.safetensors"), "m.safetensors"),
    "a transcoding of no tape": (lambda t: transcode.transcode(t, "sounds"), "expected the segments of a tape"),
    "a transcoding beyond the end": (lambda t: transcode.transcode(t, "cut", 99.0), "found none"),
    "a transcoding backwards": (lambda t: transcode.transcode(t, "cut", 1.0, -2.0), "expected a stretch of the tape"),
    "slices of a folder": (lambda t: slicing.slice_file("sounds"), "sounds: expected a sound file"),
    "a sound font that is none": (lambda t: unpacking.unpack("text.txt", "x"), "text.txt: expected"),
    "a page without a library": (
        lambda t: vaelab.share(SoundSampleTool("m.safetensors"), "p.html"),
        "share: expected a library; open the tool",
    ),
    "a page of another name": (lambda t: vaelab.share(t, "page.pdf"), "page.pdf: expected a name in .html"),
    "a page onto a text": (lambda t: vaelab.share(t, "page.html"), "expected a free name"),
    "a page of no size": (lambda t: vaelab.share(t, "p.html", megabytes=0), "megabytes: expected a number above 0"),
    "a page of odd sounds": (lambda t: vaelab.share(t, "p.html", sounds="dog"), "sounds: expected one of real, made"),
    "recordings in a page": (lambda t: vaelab.share(t, "p.html"), "permission to put 12 recordings .*sounds='real'"),
    "a map of few sounds": (lambda t: umap_map.map_coordinates(t.library, neighbors=0), "neighbors: expected"),
}

# What is typed, and a pattern of the one line that answers.
COMMANDS = {
    "a recording as output": ("generate --model m.safetensors --out-file kick.wav", "expected a free name"),
    "a text as output": ("generate --model m.safetensors --out-file text.txt", "expected a name ending in"),
    "a source as output": ("generate --model m.safetensors mix.wav --out-file mix.wav", "one of its sources"),
    "no such model": ("generate --model dog --out-file x.wav", "no model 'dog'"),
    "no such file": ("generate --model m.safetensors no.wav --out-file x.wav", "no.wav: expected a sound file"),
    "a recipe again onto a recording": (
        "regenerate mix.wav --model m.safetensors --out-file snare.wav",
        "a free name|sou",
    ),
    "a picture onto a recording": ("map --model m.safetensors --library-dir sounds --out-file kick.wav", "in .png"),
    "a picture onto a picture": (
        "map --model m.safetensors --library-dir sounds --out-file picture.png",
        "expected a free name, found a file; .*--overwrite",
    ),
    "recordings in a page": (
        "share --model m.safetensors --library-dir sounds --out p.html",
        "--sounds: expected permission .*--sounds real",
    ),
    "a page onto a page": (
        "share --model m.safetensors --library-dir sounds --out page.html",
        "expected a free name, found a file; .*--overwrite",
    ),
    "a page of no size": (
        "share --model m.safetensors --library-dir sounds --out p.html --megabytes nan",
        "--megabytes: expected a number above 0",
    ),
    "a table onto a text": ("classify kick.wav --model m.safetensors --out-file text.txt", "expected a name in .csv"),
    "a config that is a list": ("train --logdir run --dataset S --config list.json", "expected a JSON object"),
    "a config with a misspelt knob": ("train --logdir run --dataset S --config knobs.json", "unknown bathc_size"),
    "a run in a file": ("train --logdir kick.wav --dataset S", "kick.wav"),
    "no dataset": ("train --logdir run --dataset dog", "no dataset 'dog'"),
    "a tape that is none": ("slice text.wav --out-dir x", "text.wav: expected a sound file"),
    "a tape that is a folder": ("slice sounds --out-dir x", "sounds: expected a sound file"),
    "an unknown preset": ("slice tape.wav --out-dir x --preset dog", "preset: expected one of"),
    "a sensitivity of 2": ("slice tape.wav --out-dir x --sensitivity 2", "sensitivity: expected 0 to 1"),
    "metadata without a key": ("slice tape.wav --out-dir x --metadata dog", "expected KEY=VALUE"),
    "a library that is a file": ("similar kick.wav --model m.safetensors --library-dir kick.wav", "a folder of sounds"),
    "no dataset's folder": ("make-dataset --data-dir nowhere --dataset-name x", "nowhere: expected a folder"),
    "a dataset of nothing": ("make-dataset --dataset-name x", "expected --data-dir or --tape"),
    "a font that is none": ("unpack kick.wav --out-dir x", "kick.wav: expected"),
    "a transcoding onto its tape": ("transcode cut --model m.safetensors --out-file tape.wav", "a name that no source"),
    "segments into a file": (
        "slice tape.wav --out-dir m.safetensors",
        "m.safetensors: expected a folder, found a file",
    ),
    "a sound below a file": ("generate --model m.safetensors --out-file mix.wav/x.wav", "mix.wav: expected a folder"),
    "a map of one neighbour": (
        "map --model m.safetensors --library-dir sounds --out-file x.png --neighbors 1",
        "--neighbors: expected at least 2",
    ),
    "a negative offset": (
        "similar kick.wav --model m.safetensors --library-dir sounds --offset -1",
        "offsets: expected",
    ),
    "an offset that is none": (
        "generate kick.wav --model m.safetensors --out-file x.wav --offsets nan",
        "--offsets: ex",
    ),
    "a temperature that is none": (
        "generate --model m.safetensors --out-file x.wav --temperature nan",
        "--temperature: ",
    ),
    "a stretch that is none": (
        "transcode cut --model m.safetensors --out-file x.wav --start nan",
        "a stretch of the tape",
    ),
    "a font of no seconds": ("unpack kick.wav --out-dir x --seconds -1", "seconds: expected 0.1 to 30"),
    "a rate of 0": ("train --logdir run --dataset S --learning-rate 0", "learning_rate: expected"),
    "a weight of labels that is none": ("train --logdir run --dataset S --label-weight -1", "label_weight: expected"),
    "a beta that is none": ("train --logdir run --dataset S --beta nan", "beta: expected"),
    "a share that is none": (
        "make-dataset --data-dir sounds --dataset-name x --train-ratio nan",
        "--train-ratio: expected",
    ),
    "built-in sounds into a file": ("synth --out-dir kick.wav", "kick.wav"),
}


# What is done all the same, and a pattern of what is printed, warned of or reported.
DONE = {
    "a mix with silence": (
        lambda t: t.generate(audio_files=["kick.wav", "silent.wav"]),
        "silent.wav: expected sound from 0",
    ),
    "a silent stretch": (
        lambda t: t.generate(audio_files=["late.wav"], offsets=[0]),
        "late.wav: expected sound from 0",
    ),
    "a seed of nobody's": (lambda t: t.generate(), r"seed \d+"),
    "samples beyond full scale": (lambda t: audio.write("new/loud.wav", [2.0, 0.5], 8000), "clipped 1 samples"),
    "classes without folders": (
        lambda t: data.make_dataset(["flat"], "x", classes=True, home="new", progress=False).report(),
        "nothing is labelled: put the sounds of each class into a folder",
    ),
    "a text among sounds": (
        lambda t: data.make_dataset(["mixed"], "y", home="new", progress=False).report(),
        "skipped 1: expected a sound file",
    ),
    "a sound twice": (lambda t: data.make_dataset(["twice"], "z", home="new", progress=False).report(), "same content"),
    "a moved source": (lambda t: regenerate("moved/mix.wav", t), "its content is taken from"),
    "a library with a text": (
        lambda t: SoundSampleTool("m.safetensors", "mixed", home="new", progress=False).library.report(),
        "skipped 1: expected a sound file",
    ),
}


def refused(call):
    """The error of a call, and what was warned of."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            result = call()
        except Exception as error:
            return error, told
    raise AssertionError(f"expected a refusal, found {result!r}")


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_refused_in_words(name, home, searching):
    call, words = CALLS[name]
    before = contents(home)
    error, _ = refused(lambda: call(searching))
    assert isinstance(error, TYPES), traceback.format_exception(error)
    assert re.search(words, str(error), re.DOTALL), error
    frame = traceback.extract_tb(error.__traceback__)[-1]
    assert isinstance(error, TypeError) or Path(frame.filename).is_relative_to(PACKAGE), frame
    assert contents(home) == before


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_refused_in_a_line(name, home, capsys):
    words, pattern = COMMANDS[name]
    before = contents(home)
    assert cli.main([*words.split(), *(["--home", "datasets"] if "train" in words else [])]) == 1
    err = capsys.readouterr().err
    assert re.fullmatch(rf"vaelab: .*({pattern}).*\n", err), err
    assert contents(home) == before


@pytest.mark.parametrize("name", DONE)
def test_a_call_says_what_it_did(name, home, searching, capsys):
    call, words = DONE[name]
    before = contents(home)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        result = call(searching)
    said = [str(result), capsys.readouterr().out, *(str(warning.message) for warning in told)]
    assert any(re.search(words, text) for text in said), said
    shutil.rmtree(home / "new", ignore_errors=True)
    assert contents(home) == before


def test_the_tables_are_large():
    assert len(CALLS) >= 40
    assert len(COMMANDS) >= 30
