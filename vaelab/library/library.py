"""A library: the sounds of a folder as a model embeds them, kept beside the datasets, and exact search in it.

Opening a library looks at every file again; only those that are new or changed are decoded, a file that moved keeps
its embedding, and with another model everything is embedded anew. What a search finds is looked at once more, so that
no answer names a file that has changed since.
"""

import hashlib
import json
import os
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path

import numpy as np

from vaelab import audio, files
from vaelab.audio import decoders, timbre, workers
from vaelab.config import AudioConfig
from vaelab.datasets import feature_rows, scan, scan_cache
from vaelab.library import index, search
from vaelab.library.index import Index, LibraryError, Row
from vaelab.library.search import nearest
from vaelab.progress import progress_bar
from vaelab.text import printable

__all__ = ["Library", "LibraryError", "Listener", "build", "nearest"]

FOLDER = ".libraries"  # below where datasets are
DECODED_TOGETHER = 8  # clips per message to a worker
EMBEDDED_TOGETHER = 256
CEPSTRA = 16  # of timbres: 256 statistics of a clip of the default front end
SPACES = ("timbre", "embedding")
COLUMNS = ("onsets", "seconds", "embeddings", "timbres")  # of a sound whose file is as it was
NOT_KEPT = "the library is not kept and will be embedded anew next time"

Slicer = Callable[[Path], Sequence[tuple[float, float]]]


@dataclass(frozen=True)
class Listener:
    """A model's encoder as a library uses it.

    Attributes:
        embed: uint8 features (n, frames, mels) -> float32 (n, latent).
        audio: The front end of these features.
        sha256: Names the model; embeddings by another are never used.
    """

    embed: Callable[[np.ndarray], np.ndarray]
    audio: AudioConfig
    sha256: str


@dataclass(frozen=True)
class Library:
    """The sounds of a folder and where they lie in latent space, sorted by path and onset.

    Attributes:
        index: The file that holds them.
        place: Where that file is; what else is kept of these sounds lies beside it.
        skipped: {"path", "reason"} of each file that is no sound.
        embedded: How many sounds were decoded and embedded on opening; the others were known.
        gone: How many that were known before are no longer there.
    """

    index: Index
    place: Path
    skipped: tuple[dict[str, str], ...]
    embedded: int
    gone: int

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
        reasons = sorted(self.skipped, key=lambda skip: skip["reason"])
        for reason, skips in groupby(reasons, key=lambda skip: skip["reason"]):
            paths = [skip["path"] for skip in skips]
            lines.append(f"  skipped {len(paths)}: {reason} (such as {printable(paths[0])})")
        return "\n".join(lines)

    def within(
        self,
        folder: str | os.PathLike | None = None,
        label: str | None = None,
        shortest: float = 0.0,
        longest: float = np.inf,
    ) -> np.ndarray | None:
        """Mask of the sounds that match all conditions, bool (sounds,); None for all of them.

        Args:
            folder: Relative to the library's own, or absolute.
            label: A class, as the folders directly below the library's are called.
            shortest: Seconds.
            longest: Seconds.

        Raises:
            LibraryError: No sound is left, or no such label.
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

        Args:
            query: An embedding (latent,), or the statistics of a timbre (statistics,).
            count: How many.
            metric: As the others, of `vaelab.library.search.nearest`.
            within: Where to search.
            by: "embedding", or "timbre": in units of the library's deviations.
        """
        available = len(self) if within is None else int(np.count_nonzero(within))
        if by == "embedding":
            points, squares = self.embeddings, self.index.squares
        elif by == "timbre":
            points, squares = self.index.timbres, self.index.timbre_squares
            query = self.index.scaled(query[None])[0]
        else:
            raise ValueError(f"by: expected one of {', '.join(SPACES)}, found {by!r}")
        return nearest(points, query, min(count, available), metric, within, squares)

    def named(self, numbers: Sequence[int]) -> tuple[list[Path], np.ndarray]:
        """The paths and onsets in seconds of sounds."""
        return [self.root / self.index.path(number) for number in numbers], self.onsets[numbers]

    def find(self, path: str | os.PathLike, onset: float = 0.0) -> int | None:
        """The number of a sound by its content, wherever the file is now; None if it is not in the library."""
        try:
            wanted = np.frombuffer(bytes.fromhex(files.content_hash(path)), np.uint8)
        except OSError:  # whoever reads it next says what is wrong with it
            return None
        same = (self.index.columns["hashes"] == wanted[None]).all(axis=1) & (self.onsets == np.float32(onset))
        return int(np.argmax(same)) if same.any() else None

    def changed(self, numbers: Iterable[int]) -> list[str]:
        """The paths of those sounds whose files are no longer what was embedded."""
        rows = {row.path: row for row in map(self.index.row, numbers)}
        return [path for path, row in rows.items() if not _is_as_it_was(self.root / path, row)]

    def duplicates(self, distance: float) -> list[list[Path]]:
        """Groups of files that sound alike, largest first: chains of neighbours at most `distance` apart."""
        groups = search.groups(self.embeddings, distance)
        named = (sorted({self.root / self.index.path(number) for number in group}) for group in groups)
        return [group for group in named if len(group) > 1]


def build(
    folder: str | os.PathLike,
    listener: Listener,
    home: str | os.PathLike,
    slicer: Slicer | None = None,
    name: str = "model",
    progress: bool = True,
) -> Library:
    """Open the library of a folder: embed what is new or changed since it was last open.

    Args:
        folder: Searched with its sub-folders, of which those directly below it name the classes.
        listener: Embeds.
        home: Where libraries are kept.
        slicer: Gives the segments of a file, (start, end) in seconds, each a sound of its own; None: a file is one.
        name: Of the model; a folder has one library for each.
        progress: Show bars.

    Raises:
        LibraryError: No such folder, or no readable sound in it.
    """
    root = Path(folder).resolve()
    if not root.is_dir():
        raise LibraryError(f"{printable(folder)}: expected a folder of sounds as library, found none")
    how = {"slicing": slicer is not None, "decoders": [decoders.version("a.wav"), decoders.version("a.m4a")]}
    place = Path(home) / f"{_key(root, name, how['slicing'])}.safetensors"
    old = _load_index(place, str(root), how)
    cache = scan_cache.Seen({} if old is None else _contents(old))
    scanned = list(scan.scan([root], "folder", progress, cache))
    skipped = [{"path": item.path, "reason": item.reason} for item in scanned if isinstance(item, scan.Skipped)]
    sounds = sorted((item for item in scanned if isinstance(item, scan.ScannedSound)), key=lambda item: item.path)
    if old is not None and old.model != listener.sha256:
        print(f"library {printable(root)}: the model has changed; its sounds are embedded anew")
    work = _Work(root, old if old is not None and old.model == listener.sha256 else None, cache, slicer)
    rows, embeddings, timbres = work.done(sounds, listener, skipped, progress)
    if not rows:
        raise LibraryError(
            f"{printable(root)}: expected at least one readable sound, found none in {len(scanned)} files"
        )
    new = index.make(str(root), listener.sha256, how, rows, embeddings, timbres)
    if old is not None and old.equals(new):
        new = old
    else:
        try:
            index.save(place, new)
            new = index.load(place)
        except OSError as error:
            warnings.warn(f"{printable(place)}: {error}; {NOT_KEPT}", stacklevel=2)
    return Library(new, place, tuple(skipped), work.embedded, work.gone(rows))


class _Work:
    """Rows and embeddings of a folder's sounds: those that are known, and those to be computed.

    Attributes:
        embedded: How many sounds were decoded and embedded.
    """

    def __init__(self, root: Path, old: Index | None, cache: scan_cache.Seen, slicer: Slicer | None):
        """Begin, with what an earlier index of the same model holds."""
        self.root, self.old, self.known, self.slicer = root, old, cache, slicer
        self.embedded = 0
        self._before: dict[str, list[int]] = defaultdict(list)
        for number in range(0 if old is None else len(old)):
            self._before[old.columns["hashes"][number].tobytes().hex()].append(number)

    def done(
        self, sounds: Sequence[scan.ScannedSound], listener: Listener, skipped: list[dict[str, str]], progress: bool
    ) -> tuple[list[Row], np.ndarray, np.ndarray]:
        """Rows, embeddings and timbres of all sounds; those that do not decode are added to the skipped ones."""
        new = {sound.facts.sha256: sound for sound in reversed(sounds) if sound.facts.sha256 not in self._before}
        failed: dict[str, str] = {}
        segments = {sha256: self._segments(sound, failed) for sha256, sound in new.items()}
        computed = self._computed(new, segments, listener, failed, progress)
        rows, embeddings, timbres = [], [], []
        for sound in sounds:
            sha256 = sound.facts.sha256
            columns = self._indexed(sha256) if sha256 in self._before else computed[sha256]
            for onset, seconds, embedding, statistics in columns:
                rows.append(Row(sound.path, onset, seconds, sha256, self._mark(sound.path), sound.label))
                embeddings.append(embedding)
                timbres.append(statistics)
            if sha256 in failed:
                skipped.append({"path": sound.path, "reason": failed[sha256]})
        return rows, np.array(embeddings, np.float32), np.array(timbres, np.float16)

    def gone(self, rows: Sequence[Row]) -> int:
        """Number of files of the earlier index that are not among rows."""
        before = {self.old.path(number) for numbers in self._before.values() for number in numbers}
        return len(before - {row.path for row in rows})

    def _indexed(self, sha256: str) -> list[tuple[float, float, np.ndarray, np.ndarray]]:
        columns, first = self.old.columns, self.old.path(self._before[sha256][0])
        numbers = [number for number in self._before[sha256] if self.old.path(number) == first]
        return [tuple(columns[name][number] for name in COLUMNS) for number in numbers]

    def _segments(self, sound: scan.ScannedSound, failed: dict[str, str]) -> list[tuple[float, float]]:
        """Onset and length of each sound in a file."""
        if self.slicer is None:
            return [(0.0, sound.facts.seconds)]
        try:
            cuts = self.slicer(self.root / sound.path)
        except audio.AudioError as error:
            failed[sound.facts.sha256] = error.reason
            return []
        if not cuts:
            failed[sound.facts.sha256] = "expected sounds in it, found nothing that stands out from its noise"
        return [(start, end - start) for start, end in cuts]

    def _mark(self, path: str) -> scan_cache.Mark | None:
        remembered = self.known.current.get((os.fsdecode(self.root), path))
        return None if remembered is None else remembered[0]

    def _computed(
        self,
        new: Mapping[str, scan.ScannedSound],
        segments: Mapping[str, Sequence[tuple[float, float]]],
        listener: Listener,
        failed: dict[str, str],
        progress: bool,
    ) -> dict[str, list[tuple]]:
        """The columns `COLUMNS` of each segment, by content hash; reasons of failures are added to `failed`."""
        config, computed = listener.audio, defaultdict(list)
        wanted = [(sha256, *segment) for sha256, parts in segments.items() for segment in parts]
        whole = self.slicer is None  # hashing a tape for each of its segments would take too long
        items = [
            (
                self.root / new[sha256].path,
                config.sample_rate,
                onset,
                min(length, config.clip_seconds),
                sha256 if whole else None,
            )
            for sha256, onset, length in wanted
        ]
        outcomes = workers.outcomes(
            audio.read, items, audio.AudioError, DECODED_TOGETHER, array_bytes=4 * (config.samples + 1)
        )

        def decoded() -> Iterator[tuple[int, np.ndarray]]:
            bar = progress_bar(outcomes, show=progress, desc="embedding", unit="sound", total=len(wanted))
            for number, (samples, reason) in enumerate(bar):
                if reason is None:
                    yield number, samples
                else:
                    failed[wanted[number][0]] = reason

        for numbers, embeddings, timbres in _embedded(decoded(), listener):
            for number, embedding, statistics in zip(numbers, embeddings, timbres, strict=True):
                sha256, onset, length = wanted[number]
                computed[sha256].append((onset, length, embedding, statistics))
                self.embedded += 1
        return {sha256: sorted(computed[sha256], key=lambda columns: columns[0]) for sha256 in new}


def _embedded(
    decoded: Iterator[tuple[int, np.ndarray]], listener: Listener
) -> Iterator[tuple[list[int], np.ndarray, np.ndarray]]:
    """Numbers, embeddings and timbres of numbered samples, in large batches."""
    numbers, rows = [], []

    def embedded() -> tuple[list[int], np.ndarray, np.ndarray]:
        levels = np.concatenate(rows)
        return numbers, listener.embed(levels), timbre.stored_statistics(levels, CEPSTRA)

    for keys, values in feature_rows.computed(decoded, listener.audio):
        numbers += keys
        rows.append(values)
        if len(numbers) >= EMBEDDED_TOGETHER:
            yield embedded()
            numbers, rows = [], []
    if numbers:
        yield embedded()


def _key(root: Path, name: str, slicing: bool) -> str:
    """File name of a library: one for each combination of folder, model and slicing."""
    return hashlib.sha256(json.dumps([os.fsdecode(root), name, slicing]).encode("ascii")).hexdigest()[:24]


def _load_index(place: Path, root: str, how: dict) -> Index | None:
    """Load the index kept of this folder by the same decoders; None if there is no usable one."""
    try:
        old = index.load(place)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (LibraryError, OSError) as error:
        warnings.warn(f"{error}; its sounds are embedded anew", stacklevel=3)
        return None
    return old if (old.root, old.how) == (root, how) else None


def _contents(old: Index) -> dict[tuple[str, str], tuple[scan_cache.Mark, str, float]]:
    """The index's files as entries of a scan cache."""
    rows = (old.row(number) for number in range(len(old)))
    return {(old.root, row.path): (row.mark, row.sha256, row.seconds) for row in rows if row.mark is not None}


def _is_as_it_was(path: Path, row: Row) -> bool:
    mark = scan_cache.mark(path)
    if mark is None or mark == row.mark:
        return mark is not None
    try:
        return files.content_hash(path) == row.sha256
    except OSError:
        return False
