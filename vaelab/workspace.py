"""What the notebooks share: sounds, a dataset and a model in the working folder, made when they are missing.

Each notebook opens on its own: it asks here for what an earlier one would have made. Environment:

    VAELAB_SOUNDS   a folder of sounds to use instead of the built-in ones
    VAELAB_FAST=1   short runs, for tests
"""

import os
from pathlib import Path

from vaelab import data, synth, train
from vaelab.config import Config, ModelConfig, TrainConfig
from vaelab.tool import SoundSampleTool

DATASET = "notebooks"
LOGDIR = Path("models") / DATASET
BUILT_IN = Path("sounds")


def fast() -> bool:
    """Whether runs are to be short."""
    return os.environ.get("VAELAB_FAST", "") not in ("", "0")


def sounds() -> Path:
    """The folder of sounds: VAELAB_SOUNDS, or built-in ones written to `sounds/`, one folder a class.

    Raises:
        DatasetError: VAELAB_SOUNDS names no folder.
    """
    if folder := os.environ.get("VAELAB_SOUNDS"):
        if not Path(folder).is_dir():
            raise data.DatasetError(f"VAELAB_SOUNDS: expected a folder of sounds, found none at {folder}")
        return Path(folder)
    if not (BUILT_IN / "parameters.json").exists():
        synth.write_dataset(BUILT_IN, per_class=10 if fast() else 60)
    return BUILT_IN


def config() -> Config:
    """The notebooks' knobs: the defaults, or a small model and few steps when runs are to be short."""
    if not fast():
        return Config()
    return Config(
        model=ModelConfig(latent_dim=16, width=32, hidden=64, flow_steps=2, flow_hidden=32),
        train=TrainConfig(warmup_steps=10, evaluate_every=20),
    )


def num_steps() -> int:
    """Steps after which the notebooks stop training at the latest."""
    return 60 if fast() else 1000


def dataset() -> data.Dataset:
    """The dataset that notebook 01 makes."""
    if (data.HOME / DATASET / "manifest.json").exists():
        return data.load_dataset(DATASET)
    return data.make_dataset([sounds()], DATASET, classes=True)


def tool() -> SoundSampleTool:
    """The model that notebook 02 trains."""
    if not (LOGDIR / "best.safetensors").exists():
        dataset()
        train.train(LOGDIR, DATASET, config(), num_steps=num_steps())
    return SoundSampleTool(LOGDIR)
