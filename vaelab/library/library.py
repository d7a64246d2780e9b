"""A library: the sounds of a folder as a model embeds them, and exact search in it.

Files in a search result are checked again, so that no result is out of date.
"""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from vaelab import files
from vaelab.datasets import scan_cache
from vaelab.library import search
from vaelab.library.index import Index, LibraryError, Row
from vaelab.library.search import nearest
from vaelab.text import printable

SPACES = ("timbre", "embedding")


@dataclass(frozen=True)
class Library:
    """The sounds of a folder and where they lie in latent space, sorted by path and onset."""

    index: Index  # the file that holds them
    place: Path  # where that file is; what else is kept of these sounds lies beside it
    skipped: tuple[dict[str, str], ...]  # {"path", "reason"} of each file that is no sound
    embedded: int  # how many sounds were decoded and embedded on opening; the others were known
    gone: int  # how many that were known before are no longer there
    probe: np.ndarray | None = None  # of the model, (latent, dimensions): see `points`

    def __len__(self) -> int:
        return len(self.index)

    @property
    def root(self) -> Path:
        """The folder."""
        return Path(self.index.root)

    @property
    def embeddings(self) -> np.ndarray:
        """float32 (sounds, latent)."""
        return self.index.embeddings

    @cached_property
    def points(self) -> np.ndarray:
        """Positions by which embeddings are compared, float32 (sounds, dimensions).

        Those of the model's probe of timbre; a model without one compares the embeddings themselves.
        """
        return self.probed(self.embeddings)

    @cached_property
    def _squares(self) -> np.ndarray:
        return search.squared(self.points)

    def probed(self, embeddings: np.ndarray) -> np.ndarray:
        """Latents (..., latent) in the space of `points`."""
        return embeddings if self.probe is None else embeddings @ self.probe.astype(np.float32)

    @property
    def onsets(self) -> np.ndarray:
        """Onset of each sound in its file, seconds (sounds,)."""
        return self.index.columns["onsets"]

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The path of each sound."""
        return tuple(self.root / self.index.path(number) for number in range(len(self)))

    def report(self) -> str:
        """Summary in a few lines."""
        lines = [
            f"library {printable(self.root)}: {len(self)} sounds, {self.embedded} embedded now, "
            f"{len(self) - self.embedded} known, {self.gone} gone, {len(self.skipped)} files skipped"
        ]
        examples = {skip["reason"]: skip["path"] for skip in reversed(self.skipped)}
        for reason, count in sorted(Counter(skip["reason"] for skip in self.skipped).items()):
            lines.append(f"  skipped {count}: {reason} (such as {printable(examples[reason])})")
        return "\n".join(lines)

    def within(
        self,
        folder: str | os.PathLike | None = None,
        label: str | None = None,
        shortest: float = 0.0,
        longest: float = np.inf,
    ) -> np.ndarray | None:
        """Mask of the sounds that match all conditions, bool (sounds,); None for all of them.

        The folder is relative to the library's own, or absolute; a label is the name of a folder directly below that.
        A LibraryError says that no sound is left, or that there is no such label.
        """
        if folder is None and label is None and shortest <= 0 and longest == np.inf:
            return None
        seconds = self.index.columns["seconds"]
        asked = (seconds >= shortest) & (seconds <= longest)
        if label is not None:
            if label not in self.index.names:
                names = ", ".join(map(printable, self.index.names)) or "none"
                raise LibraryError(f"label: expected one of {names}, found {label!r}")
            asked &= self.index.columns["labels"] == self.index.names.index(label)
        if folder is not None:
            inside = np.zeros(len(self), bool)
            inside[self.index.below(os.path.relpath(self.root / folder, self.root))] = True
            asked &= inside
        if not asked.any():
            conditions = f"folder {folder!r}, label {label!r}, {shortest:g} to {longest:g} s"
            raise LibraryError(f"{printable(self.root)}: expected sounds with {conditions}, found none")
        return asked

    def search(
        self,
        query: np.ndarray,
        count: int,
        metric: str = "euclidean",
        within: np.ndarray | None = None,
        by: str = "embedding",
    ) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and distances of the `count` nearest sounds, or of all there are; see `search.nearest`.

        The query is an embedding (latent,), or by "timbre" its statistics, compared in units of their deviations here.
        """
        available = len(self) if within is None else int(np.count_nonzero(within))
        if by == "embedding":
            points, squares, query = self.points, self._squares, self.probed(query)
        elif by == "timbre":
            points, squares = self.index.timbres, self.index.timbre_squares
            query = self.index.scaled(query[None])[0]
        else:
            raise ValueError(f"by: expected one of {', '.join(SPACES)}, found {by!r}")
        return nearest(points, query, min(count, available), metric, within, squares)

    def named(self, numbers: Sequence[int]) -> tuple[list[Path], np.ndarray]:
        """The paths and onsets in seconds of sounds."""
        return [self.root / self.index.path(number) for number in numbers], self.onsets[numbers]

    def find(self, path: str | os.PathLike, onset: float | None = None) -> int | None:
        """The number of a sound by its content, wherever the file is now; None if it is not in the library.

        Args:
            path: Its file.
            onset: Where in it the sound starts, seconds; None is where a clip of the file does.
        """
        try:
            content = bytes.fromhex(files.content_hash(path))
        except OSError:  # whoever reads it next says what is wrong with it
            return None
        same = self._of_content(content)
        if onset is not None or self.index.how["slicing"]:
            same &= self.onsets == np.float32(onset or 0.0)
        return int(np.argmax(same)) if same.any() else None

    def having(self, sha256: str) -> Path | None:
        """The first file of a content, where it was when the library was opened; None if there is none."""
        same = self._of_content(bytes.fromhex(sha256))
        return self.files[int(np.argmax(same))] if same.any() else None

    def changed(self, numbers: Iterable[int]) -> list[str]:
        """The paths of those sounds whose files are no longer what was embedded."""
        rows = {row.path: row for row in map(self.index.row, numbers)}
        return [path for path, row in rows.items() if not _is_as_it_was(self.root / path, row)]

    def _of_content(self, content: bytes) -> np.ndarray:
        """Mask of the sounds with a content hash of 32 bytes, bool (sounds,)."""
        return (self.index.columns["hashes"] == np.frombuffer(content, np.uint8)[None]).all(axis=1)

    def duplicates(self, distance: float) -> list[list[Path]]:
        """Groups of files that sound alike, largest first: chains of neighbours at most `distance` apart."""
        groups = (sorted(set(self.named(group)[0])) for group in search.groups(self.embeddings, distance))
        return [group for group in groups if len(group) > 1]


def _is_as_it_was(path: Path, row: Row) -> bool:
    mark = scan_cache.mark(path)
    if mark is None or mark == row.mark:
        return mark is not None
    try:
        return files.content_hash(path) == row.sha256
    except OSError:
        return False
