"""vaelab: turn a folder of sounds into a latent space that can be played.

`import vaelab` is lazy: it loads nothing but this file, and each name below is imported on first use.

    from vaelab import SoundSampleTool
    tool = SoundSampleTool("model_Industrial")
    tool.generate(out_file="generated.wav", audio_files=["kick.wav", "snare.wav"], weights=[1, 2])
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vaelab.audio import AudioError as AudioError
    from vaelab.audio import Sound as Sound
    from vaelab.config import AudioConfig as AudioConfig
    from vaelab.config import ConfigError as ConfigError
    from vaelab.config import ModelConfig as ModelConfig
    from vaelab.config import TrainConfig as TrainConfig
    from vaelab.remake import regenerate as regenerate
    from vaelab.tool import SoundSampleTool as SoundSampleTool

__version__ = "0.1.0"

_HOMES = {
    "AudioConfig": "config",
    "AudioError": "audio",
    "ConfigError": "config",
    "ModelConfig": "config",
    "Sound": "audio",
    "SoundSampleTool": "tool",
    "TrainConfig": "config",
    "regenerate": "remake",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str):
    """Import a public name from its room on first use (PEP 562)."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"vaelab.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'vaelab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
