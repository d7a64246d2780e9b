"""What a user of SampleVAE does in an evening, in that order, with our commands and on real sounds.

Datasets, training and going on with it, confusion matrices, the tool with a library, sounds made in every way,
similar sounds, classes, and the segments of longer files.
"""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from vaelab import SoundSampleTool, audio, cli
from vaelab.data import load_dataset, sound_files

HYDROGEN = Path("/usr/share/hydrogen/data/drumkits")
SONIC_PI = Path("/usr/share/sonic-pi/samples")
KITS = ("Audiophob", "ElectricEmpireKit", "HardElectro1", "VariBreaks")
LOOPS = ("loop_amen.flac", "loop_breakbeat.flac")
MISSING = [str(folder) for folder in (HYDROGEN, SONIC_PI) if not folder.is_dir()]

pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"no {', '.join(MISSING)}: apt-get install hydrogen-drumkits sonic-pi-samples"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny):
    """A place to work in: four kits, one folder each, and a folder of longer recordings."""
    folder = tmp_path_factory.mktemp("walk through")
    for kit in KITS:
        shutil.copytree(HYDROGEN / kit, folder / "My Kits" / kit)
    (folder / "My Loops").mkdir()
    for loop in LOOPS:
        shutil.copy(SONIC_PI / loop, folder / "My Loops")
    soon = dataclasses.replace(tiny.train, evaluate_every=10, patience=1, min_improvement=0.05, stop_rate=0.3)
    (folder / "small.json").write_text(json.dumps(dataclasses.replace(tiny, train=soon).to_dict()))
    return folder


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    """Every test works there."""
    monkeypatch.chdir(folder)


@pytest.fixture(scope="module")
def datasets(folder):
    """A dataset of two folders without classes, and one whose folders are classes, by the command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        made("make-dataset", "--data-dir", "My Kits", "My Loops", "--dataset-name", "Plain", "--train-ratio", "0.8")
        made("make-dataset", "--data-dir", "My Kits", "--dataset-name", "IndustrialDataset", "--classes")
        return load_dataset("Plain"), load_dataset("IndustrialDataset")


@pytest.fixture(scope="module")
def logdir(folder, datasets):
    """A model of the dataset with classes: stopped by hand, and gone on with until training stops by itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        first = ["train", "--logdir", "model_Industrial", "--dataset", "IndustrialDataset", "--config", "small.json"]
        made(*first, "--num-steps", "10")
        assert (folder / "model_Industrial" / "state-00000010.safetensors").exists()
        made("train", "--logdir", "model_Industrial")
    return folder / "model_Industrial"


@pytest.fixture(scope="module")
def tool(folder, logdir):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return SoundSampleTool("model_Industrial", library_dir="My Kits")


@pytest.fixture(scope="module")
def kick_and_snare():
    """Absolute paths, of two sounds that the library holds too."""
    kit = HYDROGEN / "HardElectro1"
    return [kit / "PowR_BD_1.flac", kit / "PowR_SN_1.flac"]


def made(*command):
    assert cli.main([str(word) for word in command]) == 0, command


def latent_of(sound):
    return np.asarray(sound.recipe["latent"])


def test_a_dataset_is_split_by_the_ratio(datasets):
    plain, _ = datasets
    held_out = len(plain.side("validation")) / len(plain.entries)
    assert held_out == pytest.approx(0.2, abs=0.02)
    assert plain.class_names == ()
    assert {Path(entry.path).suffix.lower() for entry in plain.entries} >= {".wav", ".flac"}


def test_folders_are_classes_and_each_is_on_both_sides(datasets):
    _, classes = datasets
    assert classes.class_names == KITS
    for side in ("train", "validation"):
        assert {entry.label for entry in classes.side(side)} == set(KITS)
    assert len(classes.side("validation")) / len(classes.entries) == pytest.approx(0.1, abs=0.05)


def test_training_stops_by_itself_and_resuming_needs_no_dataset(logdir):
    steps = [json.loads(line)["step"] for line in (logdir / "metrics.jsonl").read_text().splitlines()]
    assert steps[0] == 10
    assert steps == sorted(set(steps))
    assert 3 <= len(steps) < 30
    kept = json.loads((logdir / "run.json").read_text())
    assert (kept["dataset"], kept["config"]["audio"]["sample_rate"]) == ("IndustrialDataset", 8000)


def test_another_training_finds_the_features(logdir, folder):
    stored = {path.name: path.stat().st_mtime_ns for path in (folder / "datasets" / ".store").rglob("*.npy")}
    command = ["train", "--logdir", "another", "--dataset", "IndustrialDataset", "--config", "small.json"]
    made(*command, "--num-steps", "1")
    assert stored
    assert {path.name: path.stat().st_mtime_ns for path in (folder / "datasets" / ".store").rglob("*.npy")} == stored


def test_the_confusion_matrix_is_in_the_logdir(logdir):
    assert (logdir / "confusion_class.png").read_bytes().startswith(b"\x89PNG")
    assert (logdir / "training.png").exists()


def test_the_library_is_kept(tool):
    count = len(tool.library)
    assert count == len([path for path in sound_files("My Kits") if path.stem != "emptySample"])  # that one is silent
    again = SoundSampleTool("model_Industrial", library_dir="My Kits")
    np.testing.assert_array_equal(again.library.embeddings, tool.library.embeddings)


def test_random(tool):
    tool.generate(out_file="generated.wav")
    samples = audio.read("generated.wav", 8000)
    assert samples.shape == (4000,)
    assert 0.01 < np.abs(samples).max() <= 1


def test_a_mix_is_the_weighted_mean(tool, kick_and_snare):
    kick, snare = tool.embed(kick_and_snare)
    even = tool.generate(audio_files=kick_and_snare)
    np.testing.assert_allclose(latent_of(even), (kick + snare) / 2, atol=1e-5)
    sound = tool.generate(out_file="generated.wav", audio_files=kick_and_snare, weights=[1, 2])
    np.testing.assert_allclose(latent_of(sound), (kick + 2 * snare) / 3, atol=1e-5)
    assert Path("generated.wav").stat().st_size > 4000


def test_a_misspelt_keyword_is_named(tool, kick_and_snare):
    with pytest.raises(TypeError, match="'weigths'; did you mean 'weights'"):
        tool.generate(out_file="no.wav", audio_files=kick_and_snare, weigths=[1, 2])
    assert not Path("no.wav").exists()


def test_arithmetic(tool, kick_and_snare):
    kick, snare = tool.embed(kick_and_snare)
    sound = tool.generate(audio_files=kick_and_snare, weights=[1, -0.5], normalize_weights=False)
    np.testing.assert_allclose(latent_of(sound), kick - 0.5 * snare, atol=1e-5)


def test_variance_varies(tool, kick_and_snare):
    """It is a variance: the added noise has this mean square, over many draws."""
    (kick,) = tool.embed(kick_and_snare[:1])
    alike = tool.generate(audio_files=kick_and_snare[:1], count=2)
    np.testing.assert_array_equal(alike[0].samples, alike[1].samples)
    varied = tool.generate(audio_files=kick_and_snare[:1], variance=0.25, count=40, seed=1)
    assert np.mean([(latent_of(sound) - kick) ** 2 for sound in varied]) == pytest.approx(0.25, rel=0.2)


def test_similar_sounds(tool, kick_and_snare):
    files, onsets, distances = tool.find_similar(kick_and_snare[0], num_similar=10)
    assert files[0].name == "PowR_BD_1.flac"
    assert distances[0] == pytest.approx(0, abs=1e-4)
    assert len(files) == len(onsets) == 10
    assert (np.diff(distances) >= 0).all()
    assert not onsets.any()


def test_classes(tool, kick_and_snare):
    probabilities, name = tool.predict(kick_and_snare[0])
    assert name in tool.class_names == KITS
    assert probabilities.sum() == pytest.approx(1, abs=1e-4)


def test_segments_of_longer_files(logdir, tool):
    """Off: the first clip of each file. On: each stroke of a loop is a sound of its own, with its onset."""
    whole = tool.open_library("My Loops")
    assert len(whole) == len(LOOPS)
    segments = tool.open_library("My Loops", library_segmentation=True)
    assert 10 <= len(segments) <= 60
    files, onsets, _ = tool.find_similar(Path("My Loops") / LOOPS[0], num_similar=5)
    assert {path.name for path in files} <= set(LOOPS)
    assert (onsets > 0).any()
    tool.open_library("My Kits")


@pytest.mark.parametrize("name", ["general", "drum_classes", "drum_machines"])
def test_models_that_ship_have_the_names_of_samplevaes(name):
    """And a classifier where those have one; what they do is in test_pretrain.py."""
    shipped = SoundSampleTool(f"model_{name}")
    assert shipped.path.stem == {"drum_machines": "drum_kits"}.get(name, name)
    assert bool(shipped.class_names) == (name != "general")
