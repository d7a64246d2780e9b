"""Real input: Debian's hydrogen-drumkits and sonic-pi-samples, from folders to a new sound."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from experiments.real_sounds import KITS
from vaelab import SoundSampleTool, cli
from vaelab.data import load_dataset

FOLDERS = [Path("/usr/share/hydrogen/data/drumkits"), Path("/usr/share/sonic-pi/samples")]
MISSING = [str(folder) for folder in FOLDERS if not folder.is_dir()]

pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"no {', '.join(MISSING)}: apt-get install hydrogen-drumkits sonic-pi-samples"
)

KNOBS = """{
  "audio": {"sample_rate": 16000, "clip_seconds": 1.0, "n_fft": 1024, "hop_length": 256, "n_mels": 64},
  "model": {"latent_dim": 16, "components": 32, "depth": 1, "hidden": 96, "flow_steps": 1, "flow_hidden": 48},
  "train": {"warmup_steps": 20, "evaluate_every": 20}
}"""


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
