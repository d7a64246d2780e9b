"""Arrays from worker processes to the session by shared memory.

An array takes a fifth of the processor time that it costs pickled and sent through a pipe. The memory is the kernel's
own (`memfd_create`) and has no name in any folder, so that nothing stays behind, whoever is killed. Systems that have
none, which is all but Linux, use the pipe.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True, slots=True)
class Places:
    """Slots in shared memory for a worker's arrays: `size` bytes each, consecutive from `first`."""

    path: str  # of the shelf, for the session's own workers
    first: int  # offset of the first place, bytes
    size: int  # of a place, bytes


@dataclass(frozen=True, slots=True)
class Put:
    """An array that stands on the shelf."""

    offset: int
    shape: tuple[int, ...]
    dtype: str


class Shelf:
    """Memory that the session and its workers share, with places of one size. Close it, or use it as a context."""

    def __init__(self, size: int):
        self._size = size
        self._handle = os.memfd_create("vaelab arrays", os.MFD_CLOEXEC)

    def __enter__(self) -> "Shelf":
        return self

    def __exit__(self, *_) -> None:
        os.close(self._handle)

    def places(self, first: int) -> Places:
        """The places from number `first` on, in words that can be sent to a worker."""
        return Places(f"/proc/{os.getpid()}/fd/{self._handle}", first * self._size, self._size)

    def take(self, result: object) -> object:
        """A copy of the array behind a `Put`; anything else is what it is."""
        if not isinstance(result, Put):
            return result
        array = np.empty(result.shape, result.dtype)
        if os.preadv(self._handle, [array.reshape(-1).view(np.uint8)], result.offset) != array.nbytes:
            raise OSError(f"expected {array.nbytes} bytes of an array in shared memory, found fewer")
        return array


def available() -> bool:
    """True if this system has memory files that worker processes can open."""
    return hasattr(os, "memfd_create") and Path(f"/proc/{os.getpid()}/fd").is_dir()


def put(results: Sequence[object], places: Places) -> list[object]:
    """In a worker: results with each array that fits its place put there."""
    with open(places.path, "r+b", buffering=0) as file:
        return [
            _put(file.fileno(), result, places.first + number * places.size, places.size)
            for number, result in enumerate(results)
        ]


def _put(handle: int, result: object, offset: int, size: int) -> object:
    if not isinstance(result, np.ndarray) or not 0 < result.nbytes <= size:
        return result
    try:
        written = os.pwrite(handle, np.ascontiguousarray(result).reshape(-1).view(np.uint8), offset)
    except OSError:  # no memory left, or a limit on the size of files: the pipe is slower, but needs neither
        return result
    return Put(offset, result.shape, result.dtype.str) if written == result.nbytes else result
