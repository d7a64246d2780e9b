"""Real input: Debian's hydrogen-drumkits and sonic-pi-samples, from folders to a new sound."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from experiments.common import measures, real_sounds, recipes
from experiments.common.real_sounds import KITS, MissingSounds
from vaelab import SoundSampleTool, cli
from vaelab.data import load_dataset

FOLDERS = [Path("/usr/share/hydrogen/data/drumkits"), Path("/usr/share/sonic-pi/samples")]
MISSING = [str(folder) for folder in FOLDERS if not folder.is_dir()]

needs_real_sounds = pytest.mark.skipif(
    bool(MISSING), reason=f"no {', '.join(MISSING)}: apt-get install hydrogen-drumkits sonic-pi-samples"
)

KNOBS = """{
  "audio": {"sample_rate": 16000, "clip_seconds": 1.0, "n_fft": 1024, "hop_length": 256, "n_mels": 64},
  "model": {"latent_dim": 16, "components": 32, "depth": 1, "hidden": 96, "flow_steps": 1, "flow_hidden": 48},
  "train": {"warmup_steps": 20, "evaluate_every": 20}
}"""


@pytest.fixture
def kits(tmp_path, monkeypatch):
    """Folders of three kits, of which all are asked for; each holds one sound."""
    folders = tuple(tmp_path / "drumkits" / name for name in ("Deep", "Dry", "Wide"))
    for pitch, folder in enumerate(folders, 1):
        write_sound(folder / "kick.wav", 100 * pitch)
    monkeypatch.setattr(real_sounds, "HYDROGEN", tmp_path / "drumkits")
    monkeypatch.setattr(measures, "HYDROGEN_KITS", folders)
    for module in (real_sounds, recipes):
        monkeypatch.setattr(module, "HYDROGEN_KITS", folders)
    monkeypatch.setattr(real_sounds, "FOLDERS", folders)
    monkeypatch.setattr(recipes, "GENERAL", folders)
    monkeypatch.setattr(real_sounds, "HELD_OUT", ("Wide",))
    monkeypatch.setattr(recipes, "HELD_OUT", ("Wide",))
    return folders


def write_sound(path, frequency):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * frequency * np.arange(4000) / 16000), 16000)


def remove(kit, emptied):
    (kit / "kick.wav").unlink()
    if not emptied:
        kit.rmdir()


USES = {
    "one_shots": lambda folders, home: list(measures.one_shots(folders)),
    "hash": lambda folders, home: measures.real_sounds_hash(folders),
    "dataset": lambda folders, home: real_sounds.dataset(home),
    **{
        f"recipe of {name}": lambda folders, home, name=name: recipes.RECIPES[name].gather(name, home, 1)
        for name in ("general", "drum_classes", "drum_kits")
    },
}


@pytest.mark.parametrize("emptied", [True, False])
@pytest.mark.parametrize("use", USES)
def test_a_missing_kit_is_named(kits, tmp_path, use, emptied):
    remove(kits[1], emptied)
    with pytest.raises(MissingSounds, match=r"in 3 folders, found them in 2; none in \S+/Dry; install the Debian"):
        USES[use](kits, tmp_path / "home")


def test_every_missing_kit_is_named(kits):
    remove(kits[0], emptied=False)
    remove(kits[2], emptied=True)
    with pytest.raises(MissingSounds, match=r"found them in 1; none in \S+/Deep, \S+/Wide; install"):
        real_sounds.installed(kits)


def test_sounds_that_may_be_absent_are_absent_as_a_whole(kits):
    for kit in kits:
        remove(kit, emptied=False)
    assert real_sounds.installed_if_any(kits) == ()
    assert measures.real_sounds_hash(kits) is None


def test_more_kits_change_nothing(kits, tmp_path):
    """As the package hydrogen-drumkits-effects installs them beside those that are asked for."""

    def used(home):
        dataset = real_sounds.dataset(home)
        return list(measures.one_shots(kits)), measures.real_sounds_hash(kits), real_sounds.fingerprint(dataset)

    before = used(tmp_path / "before")
    write_sound(kits[0].parent / "Effects" / "laser.wav", 900)
    assert used(tmp_path / "after") == before
    assert len(before[0]) == 3


@needs_real_sounds
def test_from_folders_to_a_new_sound(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("small.json").write_text(KNOBS)
    roots = [str(folder) for folder in FOLDERS]
    assert cli.main(["make-dataset", "--data-dir", *roots, "--dataset-name", "Real", "--classes"]) == 0
    dataset = load_dataset("Real")
    print(dataset.report())
    suffixes = {Path(entry.path).suffix.lower() for entry in dataset.entries}
    assert {".wav", ".aiff", ".flac"} <= suffixes
    assert len(dataset.entries) > 850
    assert set(dataset.class_names) >= set(KITS)

    command = ["train", "--logdir", "model_Real", "--dataset", "Real", "--config", "small.json"]
    assert cli.main([*command, "--num-steps", "20"]) == 0
    capsys.readouterr()

    kick, snare = FOLDERS[1] / "bd_808.flac", FOLDERS[1] / "sn_dub.flac"
    command = ["generate", "--model", "model_Real", str(kick), str(snare), "--weights", "1", "2", "--seed", "1"]
    assert cli.main([*command, "--out-file", "g.wav"]) == 0
    samples, rate = soundfile.read("g.wav")
    assert rate == 16000
    assert 0.001 < np.abs(samples).max() <= 1
    tool = SoundSampleTool("model_Real")
    probabilities, name = tool.predict(kick)
    assert name in dataset.class_names
    assert probabilities.sum() == pytest.approx(1, abs=1e-4)
