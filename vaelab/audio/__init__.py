"""Sound files and samples: reading, writing, recipes in files, descriptors, built-in sounds.

Free of JAX but for timbre, since worker processes import it. Public names:

    Sound, read, read_clip, stream, write, read_recipe   a file's samples and recipe, and back
    check_replaceable, TakenError             recordings that stay as they are
    Recipe                                    everything that made a sound
    decoders, workers                         which formats can be read; reading in processes of their own
    soundfont                                 sound fonts and how they play their samples
    descriptors, timbre                       measurements of a sound
    synth, built_in_tape                      sounds and a recording made in code, with their ground truth
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["built_in_tape", "decoders", "descriptors", "silence", "soundfont", "synth", "timbre", "workers"],
    submod_attrs={
        "guard": ["TakenError", "check_free", "check_replaceable", "sources_of"],
        "reading": [
            "CHANNELS",
            "AudioError",
            "Facts",
            "claimed_seconds",
            "examine",
            "read",
            "read_clip",
            "resampled",
            "stream",
        ],
        "recipe": ["Recipe", "has_recipe", "read_recipe"],
        "sound": ["EXTENSIONS", "Sound", "check_format", "check_writable", "write"],
    },
)
