"""Datasets behind `vaelab.data`: scanning folders, the manifest, the split, stored features, segments of tapes.

Public names:

    manifest, splitting            what a dataset is, as a file; training and validation sides
    scan, scan_cache               sound files below folders; what an earlier scan read of them
    segments, cutting              segments of a tape, as files and labels
    unpacking                      a sound font as a folder of sounds
    windows                        all windows of long files as sounds
    hydrogen, kits                 drum kits, and the class that an instrument's name means; sounds saved as a kit
    feature_rows, feature_store    mel features in batches, computed once and kept
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "cutting",
        "feature_rows",
        "feature_store",
        "hydrogen",
        "kits",
        "manifest",
        "scan",
        "scan_cache",
        "segments",
        "splitting",
        "unpacking",
        "windows",
    ],
    submod_attrs={"kits": ["save_kit"]},
)
