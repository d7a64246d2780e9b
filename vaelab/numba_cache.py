"""A place where numba, which UMAP and librosa bring along, may cache what it compiles; without one it fails."""

import atexit
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

VARIABLE = "NUMBA_CACHE_DIR"
USERS = ("umap", "pynndescent", "librosa")  # packages that ask numba for a cache


def provide() -> Path | None:
    """Give numba a temporary folder, removed at the end, where it has no place of its own.

    To be called before one of them is imported.

    Returns:
        The folder, which child processes use too; None where numba has a place.
    """
    if os.environ.get(VARIABLE) or not lacking():
        return None
    folder = tempfile.mkdtemp(prefix="vaelab-numba-")  # private: what is cached there is code
    os.environ[VARIABLE] = folder
    atexit.register(_remove, folder, os.getpid())
    if "numba" in sys.modules:
        sys.modules["numba"].config.reload_config()
    return Path(folder)


def lacking() -> list[Path]:
    """The places that numba would look for a cache in, none of which can be written; empty if all is well."""
    user = user_folder()
    if user is not None and _is_writable(user):
        return []
    refused = [folder for folder in _beside_packages() if not _is_writable(folder)]
    return [*refused, *([] if user is None else [user])] if refused else []


def user_folder() -> Path | None:
    """Numba's folder in the user's cache; None if the user has no home."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return Path(base) / "numba" / "Cache" if base else None
    own = "~/Library/Caches" if sys.platform == "darwin" else os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    path = os.path.expanduser(own)
    return Path(path) / "numba" if os.path.isabs(path) else None


def _beside_packages() -> Iterator[Path]:
    for name in USERS:
        if (spec := importlib.util.find_spec(name)) is not None and spec.origin:
            yield Path(spec.origin).parent / "__pycache__"


def _is_writable(folder: Path) -> bool:
    """True if files can be made in a folder, which numba makes if it is missing; tried, as rights can mislead."""
    around = next(parent for parent in (folder, *folder.parents) if os.path.exists(parent))
    try:
        tempfile.TemporaryFile(dir=around).close()
    except OSError:
        return False
    return True


def _remove(folder: str, process: int) -> None:
    if os.getpid() == process:  # a fork leaves it to the first
        shutil.rmtree(folder, ignore_errors=True)
