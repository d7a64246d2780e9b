"""With nothing but Python: the wheel, installed in a new environment, away from the checkout."""

import subprocess
import sys
from pathlib import Path

import pytest

from experiments.common.recipes import RECIPES
from vaelab.audio import synth

ROOT = Path(__file__).parent.parent
FIVE_LINES = """
from vaelab import SoundSampleTool
for name in MODELS: SoundSampleTool(name).generate(f"{name}.wav", seed=1)
print(SoundSampleTool("drum_classes").predict("sounds/kick/kick_0001.wav")[1])
files, onsets, distances = SoundSampleTool("general", library_dir="sounds").find_similar("sounds/kick/kick_0001.wav", 3)
print(files[0])
"""


@pytest.mark.slow
def test_five_lines_in_a_new_environment(tmp_path):
    """It needs an index of packages, as an installation does."""
    run = {"check": True, "cwd": tmp_path, "text": True, "capture_output": True}
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", "wheels", str(ROOT)], **run)
    (wheel,) = (tmp_path / "wheels").glob("vaelab-*.whl")
    subprocess.run([sys.executable, "-m", "venv", "new"], **run)
    python = tmp_path / "new" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(wheel)], **run)
    synth.write_dataset(tmp_path / "sounds", per_class=3, progress=False)
    away = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}  # neither this checkout nor its environment
    told = subprocess.run([python, "-c", f"MODELS = {sorted(RECIPES)}{FIVE_LINES}"], env=away, **run).stdout
    assert "kick" in told.split()
    assert told.split()[-1].endswith("kick_0001.wav")
    assert (tmp_path / "industrial.wav").stat().st_size > 100_000
