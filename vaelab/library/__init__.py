"""Libraries: a folder's sounds embedded by a model, kept up to date, searched and laid out as a map.

Public names:

    Library, build, nearest    open a folder's library; exact nearest neighbours
    Listener, Slicer, SPACES   what embeds sounds, and cuts files; the spaces in which they are compared
    index, search              the file of a library; distances and neighbours of any points
    umap_map                   coordinates of a library's sounds on a map, cached beside its index
    evened                     coordinates of a map that fills its picture
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["index", "search", "umap_map"],
    submod_attrs={
        "index": ["LibraryError"],
        "evening": ["evened"],
        "building": ["FOLDER", "Listener", "Slicer", "build"],
        "library": ["SPACES", "Library"],
        "search": ["nearest"],
    },
)
