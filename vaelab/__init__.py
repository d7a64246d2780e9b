"""vaelab: turn a folder of sounds into a latent space that can be played.

`import vaelab` is lazy: it loads nothing but this file, and each name below is imported on first use.

    from vaelab import SoundSampleTool
    tool = SoundSampleTool("model_Industrial")
    tool.generate(out_file="generated.wav", audio_files=["kick.wav", "snare.wav"], weights=[1, 2])

`docs/layout.md` is the map of the folders.
"""

import lazy_loader

__version__ = "0.1.0"


class VaelabError(Exception):
    """Base of all errors that vaelab raises for a user's input; the message says what to do."""


__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "audio": ["AudioError", "Sound"],
        "config": ["AudioConfig", "Config", "ConfigError", "ModelConfig", "SliceConfig", "TrainConfig"],
        "datasets": ["cutting", "save_kit"],
        "data": ["load_dataset", "make_dataset"],
        "play": ["SoundSampleTool", "regenerate", "transcode"],
        "sharing": ["share"],
        "training": ["train"],
        "ui": ["Instrument"],
    },
)
__all__ += ["VaelabError", "__version__"]
