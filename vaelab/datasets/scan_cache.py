"""Cache of a dataset's last scan, so that the next one reads only new or changed files.

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

from vaelab import audio, files
from vaelab.audio import decoders

FORMAT = 2  # raise when `audio.examine` takes or refuses other files
SETTLED_NS = 2_000_000_000  # FAT keeps even seconds

Mark = tuple[int, int, int, int]
Contents = dict[tuple[str, str], tuple[Mark, str, float, str | None]]


def mark(path: str | os.PathLike) -> Mark | None:
    """Fingerprint of a file's state: size, two times in ns, inode. None if there is no file."""
    try:
        state = os.stat(path)
    except (OSError, ValueError):
        return None
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino


@dataclass
class Seen:
    """Contents by file."""

    # mark, and what `audio.Facts` holds, of each (root, path) from the scan before
    previous: Contents = field(default_factory=dict)
    current: Contents = field(default_factory=dict)  # the same from this scan
    start_ns: int = field(default_factory=time.time_ns)  # when this scan began

    def recall(self, root: str, path: str, state: Mark | None) -> tuple[str, float, str | None] | None:
        """Facts of a file that is as it was; None where it must be read."""
        entry = self.previous.get((root, path))
        if entry is None or entry[0] != state:
            return None
        self.current[root, path] = entry
        return entry[1:]

    def remember(self, root: str, path: str, before: Mark | None, facts: audio.Facts) -> None:
        """Keep what was found in a file whose mark was taken before it was read."""
        if before is not None and max(before[1:3]) + SETTLED_NS < self.start_ns:
            self.current[root, path] = (before, facts.sha256, facts.seconds, facts.samples)

    def mark(self, root: str, path: str) -> Mark | None:
        """Mark of a file of this scan; None where it is unsure."""
        return self.current[root, path][0] if (root, path) in self.current else None

    def save(self, path: Path) -> None:
        """Write this scan's contents for the next."""
        rows = [[*key, *state, *content] for key, (state, *content) in self.current.items()]
        files.write_text(path, json.dumps({"format": FORMAT, "decoders": _versions(), "files": rows}))


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


def _row(row: Sequence) -> tuple[tuple[str, str], tuple[Mark, str, float, str | None]]:
    root, path, *state, sha256, seconds, samples = row
    if len(state) != 4 or not isinstance(seconds, float) or len(sha256) != 64 or not isinstance(samples, str | None):
        raise ValueError(f"a row of {len(row)} values")
    return (root, path), (tuple(state), sha256, seconds, samples)


def _versions() -> list[str | None]:
    return [decoders.version("sound.wav"), decoders.version("sound.m4a")]
