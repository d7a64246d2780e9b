"""A library and its model as a single HTML file that plays in any browser, without Python and without a network.

Public names:

    share, Shared        write such a page; what is in it
    check, recordings    what it refuses before any work; how many sounds nobody may share unasked
    SharingError         a page that cannot be written, or that nobody has agreed to
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[],
    submod_attrs={"origins": ["SharingError"], "page": ["Shared", "check", "recordings", "share"]},
)
