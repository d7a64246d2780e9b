"""Cache of a dataset's last scan, so that the next one reads only new or changed files.

On a busy machine `python -m experiments.speed.scale` took 39 s to make a dataset of 100,000 tiny files, and 13 to 17 s
to make it again; real files are larger, and would have to come from their disk once more.

A file counts as unchanged if its size, its times of change (of the content, and of the entry, which no program can
set back) and its number are what they were before it was read. Files that changed just before the scan are not
remembered, as clocks are coarse, and neither are files that were refused. The store compares contents before it
computes, and a file that is replaced unnoticed is refused there by name.
"""

import json
import os
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vaelab import files
from vaelab.audio import decoders

FORMAT = 1
SETTLED_NS = 2_000_000_000  # FAT keeps even seconds

Mark = tuple[int, int, int, int]


def mark(path: str | os.PathLike) -> Mark | None:
    """Fingerprint of a file's state: size, two times in ns, inode. None if there is no file."""
    try:
        state = os.stat(path)
    except (OSError, ValueError):
        return None
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino


@dataclass
class Seen:
    """Contents by file.

    Attributes:
        known: Mark, content hash and seconds of each (root, path) from the scan before.
        current: The same from this scan.
        start_ns: When this scan began.
    """

    known: dict[tuple[str, str], tuple[Mark, str, float]] = field(default_factory=dict)
    current: dict[tuple[str, str], tuple[Mark, str, float]] = field(default_factory=dict)
    start_ns: int = field(default_factory=time.time_ns)

    def recall(self, root: str, path: str, found: Mark | None) -> tuple[str, float] | None:
        """Content hash and seconds of a file that is as it was; None where it must be read."""
        known = self.known.get((root, path))
        if known is None or known[0] != found:
            return None
        self.current[root, path] = known
        return known[1:]

    def remember(self, root: str, path: str, before: Mark | None, sha256: str, seconds: float) -> None:
        """Keep what was found in a file whose mark was taken before it was read."""
        if before is not None and max(before[1:3]) + SETTLED_NS < self.start_ns:
            self.current[root, path] = (before, sha256, seconds)

    def save(self, path: Path) -> None:
        """Write this scan's contents for the next.

        Raises:
            files.NoRoomError: The disk is full.
        """
        rows = [[*key, *found, *content] for key, (found, *content) in self.current.items()]
        with files.replacing(path) as temporary:
            text = json.dumps({"format": FORMAT, "decoders": _versions(), "files": rows})
            temporary.write_text(text, encoding="ascii")


def load(path: Path) -> Seen:
    """Load the cache of an earlier scan; empty if there is none, or if its decoders were others."""
    try:
        saved = json.loads(path.read_text(encoding="ascii"))
        if saved["format"] != FORMAT or saved["decoders"] != _versions():
            return Seen()
        return Seen(dict(_row(row) for row in saved["files"]))
    except FileNotFoundError:
        return Seen()
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        warnings.warn(
            f"{path}: expected what the last scan found, found a damaged file ({error!r}); every sound is read again",
            stacklevel=2,
        )
        return Seen()


def _row(row: Sequence) -> tuple[tuple[str, str], tuple[Mark, str, float]]:
    root, path, *found, sha256, seconds = row
    if len(found) != 4 or not isinstance(seconds, float) or len(sha256) != 64:
        raise ValueError(f"a row of {len(row)} values")
    return (root, path), (tuple(found), sha256, seconds)


def _versions() -> list[str | None]:
    return [decoders.version("sound.wav"), decoders.version("sound.m4a")]
