"""Pictures and widgets; `vaelab.widgets` is the public face.

Public names:

    plots                                 static pictures
    palette                               colours and shapes of groups on a map
    Instrument                            map, mix, sound and pads on one surface
    Mixer, SoundMap, Confusions, Player, Pads    widgets for a notebook or a page
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["palette", "plots"],
    submod_attrs={
        "confusions": ["Confusions"],
        "instrument": ["Instrument"],
        "mixer": ["Mixer", "Row"],
        "pads": ["Pads"],
        "player": ["Player"],
        "soundmap": ["SoundMap"],
        "tape_map": ["TapeMap"],
    },
)
