"""Opening the library of a folder: what is new or changed since it was last open is embedded, the rest is known.

Opening looks at every file again; only those that are new or changed are decoded, a file that moved keeps its
embedding, and with another model everything is embedded anew.
"""

import hashlib
import json
import os
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vaelab import audio, files
from vaelab.audio import decoders, timbre, workers
from vaelab.config import AudioConfig
from vaelab.datasets import feature_rows, feature_store, scan, scan_cache
from vaelab.library import index
from vaelab.library.index import Index, LibraryError, Row
from vaelab.library.library import Library
from vaelab.progress import progress_bar
from vaelab.text import printable

FOLDER = ".libraries"  # below where datasets are
DECODED_TOGETHER = 8  # clips per message to a worker
EMBEDDED_TOGETHER = 256
NOT_KEPT = "the library is not kept and will be embedded anew next time"

Slicer = Callable[[Path], Sequence[tuple[float, float]]]


@dataclass(frozen=True)
class Listener:
    """A model's encoder as a library uses it."""

    embed: Callable[[np.ndarray], np.ndarray]  # uint8 features (n, frames, mels) -> float32 (n, latent)
    audio: AudioConfig  # the front end of these features
    sha256: str  # names the model; embeddings by another are never used
    probe: np.ndarray | None = None  # of `training.probe`: (latent, dimensions); None compares embeddings as they are


class Embedded(NamedTuple):
    """One sound of a file: where it starts and how long it is, in seconds, its embedding and the statistics of it."""

    onset: float
    seconds: float
    embedding: np.ndarray
    timbre: np.ndarray


def build(
    folder: str | os.PathLike,
    listener: Listener,
    home: str | os.PathLike,
    *,
    slicer: Slicer | None = None,
    slicer_name: str | None = None,
    name: str = "model",
    progress: bool = True,
) -> Library:
    """Open the library of a folder: embed what is new or changed since it was last open.

    Args:
        folder: Searched with its sub-folders, of which those directly below it name the classes.
        listener: Embeds.
        home: Where libraries are kept.
        slicer: Gives the segments of a file, (start, end) in seconds, each a sound of its own; None: a file is one.
        slicer_name: Tells slicers apart; a folder has one library for each.
        name: Of the model; a folder has one library for each.
        progress: Show bars.

    Raises:
        LibraryError: No such folder, or no readable sound in it.
    """
    root = Path(folder).resolve()
    if not root.is_dir():
        raise LibraryError(f"{printable(folder)}: expected a folder of sounds as library, found none")
    versions = [decoders.version("a.wav"), decoders.version("a.m4a")]
    how = {"slicing": slicer_name or slicer is not None, "decoders": versions, "reader": feature_store.READER}
    place = Path(home) / f"{_key(root, name, how['slicing'])}.safetensors"
    old = _load_index(place, str(root), how)
    before = [] if old is None else [old.row(number) for number in range(len(old))]
    cache = scan_cache.Seen(
        {(str(root), row.path): (row.mark, row.sha256, row.seconds, None) for row in before if row.mark is not None}
    )
    scanned = list(scan.scan([root], "folder", cache, progress))
    skipped = [{"path": item.path, "reason": item.reason} for item in scanned if isinstance(item, scan.Skipped)]
    sounds = sorted((item for item in scanned if isinstance(item, scan.ScannedSound)), key=lambda sound: sound.path)
    if old is not None and old.model != listener.sha256:
        print(f"library {printable(root)}: the model has changed; its sounds are embedded anew")
        before = []
    indexed = _indexed(old, before)
    fresh = {sound.facts.sha256: sound for sound in reversed(sounds) if sound.facts.sha256 not in indexed}
    computed, failed = _computed(root, fresh, slicer, listener, progress)
    contents = indexed | computed
    rows, parts = [], []
    for sound in sounds:
        sha256, mark = sound.facts.sha256, cache.mark(os.fsdecode(root), sound.path)
        parts += contents[sha256]
        rows += [Row(sound.path, part.onset, part.seconds, sha256, mark, sound.label) for part in contents[sha256]]
        if sha256 in failed:
            skipped.append({"path": sound.path, "reason": failed[sha256]})
    if not rows:
        count = len(scanned)
        raise LibraryError(f"{printable(root)}: expected at least one readable sound, found none in {count} files")
    embeddings = np.array([part.embedding for part in parts], np.float32)
    timbres = np.array([part.timbre for part in parts], np.float16)
    new = index.make(str(root), listener.sha256, how, rows, embeddings, timbres)
    gone = len({row.path for row in before} - {row.path for row in rows})
    opened = old if old is not None and old.equals(new) else _saved(place, new)
    return Library(opened, place, tuple(skipped), sum(map(len, computed.values())), gone, listener.probe)


def _key(root: Path, name: str, slicing: bool | str) -> str:
    return hashlib.sha256(json.dumps([os.fsdecode(root), name, slicing]).encode("ascii")).hexdigest()[:24]


def _load_index(place: Path, root: str, how: dict) -> Index | None:
    """Load the index kept of this folder by the same decoders; None if there is no usable one."""
    try:
        old = index.load(place)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except files.NoMapError:  # nor could the index that is written now be opened
        raise
    except (LibraryError, OSError) as error:
        warnings.warn(f"{error}; its sounds are embedded anew", stacklevel=3)
        return None
    return old if (old.root, old.how) == (root, how) else None


def _saved(place: Path, new: Index) -> Index:
    """Save an index, and open it from its file; where that fails it stays in memory, with a warning."""
    try:
        index.save(place, new)
        return index.load(place)
    except OSError as error:
        warnings.warn(f"{printable(place)}: {error}; {NOT_KEPT}", stacklevel=3)
        return new


def _indexed(old: Index | None, rows: Sequence[Row]) -> dict[str, list[Embedded]]:
    """The sounds of each content as an index has them; of copies, those of the first file."""
    contents: dict[str, list[Embedded]] = defaultdict(list)
    first: dict[str, str] = {}
    for number, row in enumerate(rows):
        if first.setdefault(row.sha256, row.path) == row.path:
            embedding, statistics = old.embeddings[number], old.columns["timbres"][number]
            contents[row.sha256].append(Embedded(row.onset, row.seconds, embedding, statistics))
    return dict(contents)


def _computed(
    root: Path, fresh: Mapping[str, scan.ScannedSound], slicer: Slicer | None, listener: Listener, progress: bool
) -> tuple[dict[str, list[Embedded]], dict[str, str]]:
    """Decoded and embedded sounds of each content, and the reasons for contents of which some sound failed."""
    segments, failed = _segments(root, fresh, slicer)
    config = listener.audio
    rate, longest = config.sample_rate, config.clip_seconds
    items = [
        # Hashing a tape for each of its segments would take too long.
        (root / fresh[sha256].path, rate, onset, min(seconds, longest), None if slicer else sha256)
        for sha256, onset, seconds in segments
    ]
    outcomes = workers.outcomes(audio.read_clip, items, audio.AudioError, DECODED_TOGETHER)

    starts: dict[int, float] = {}

    def decoded() -> Iterator[tuple[int, np.ndarray]]:
        bar = progress_bar(outcomes, show=progress, desc="embedding", unit="sound", total=len(segments))
        for number, (clip, reason) in enumerate(bar):
            if reason is None:
                starts[number], samples = clip
                yield number, samples
            else:
                failed[segments[number][0]] = reason

    contents: dict[str, list[Embedded]] = {sha256: [] for sha256 in fresh}
    for numbers, embeddings, timbres in _embedded(decoded(), listener):
        for number, embedding, statistics in zip(numbers, embeddings, timbres, strict=True):
            sha256, _, seconds = segments[number]
            contents[sha256].append(Embedded(starts[number], seconds, embedding, statistics))
    return {sha256: sorted(parts, key=lambda part: part.onset) for sha256, parts in contents.items()}, failed


def _segments(
    root: Path, fresh: Mapping[str, scan.ScannedSound], slicer: Slicer | None
) -> tuple[list[tuple[str, float | None, float]], dict[str, str]]:
    """Content, onset and length of each sound to decode; and the reason for each content that has none.

    Without a slicer the onset is None: the first sound.
    """
    if slicer is None:
        return [(sha256, None, sound.facts.seconds) for sha256, sound in fresh.items()], {}
    segments, failed = [], {}
    paths = [(slicer, root / sound.path) for sound in fresh.values()]
    sliced = workers.on_a_cluster(_sliced, paths, audio.AudioError)
    for sha256, (outcome, reason) in zip(fresh, sliced, strict=True):
        if reason is not None:
            failed[sha256] = reason
            continue
        cuts, remarks = outcome
        for remark in remarks:
            warnings.warn(remark, stacklevel=5)
        if not cuts:
            failed[sha256] = "expected sounds in it, found nothing that stands out from its noise"
        segments += [(sha256, start, end - start) for start, end in cuts]
    return segments, failed


def _sliced(slicer: Slicer, path: Path) -> tuple[list[tuple[float, float]], list[str]]:
    """The cuts of a file, and what the slicer has to remark, which a worker of a cluster would say to nobody."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cuts = list(slicer(path))
    return cuts, [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]


def _embedded(
    decoded: Iterator[tuple[int, np.ndarray]], listener: Listener
) -> Iterator[tuple[list[int], np.ndarray, np.ndarray]]:
    """Numbers, embeddings and timbres of numbered samples, in large batches."""
    numbers, rows = [], []

    def embedded() -> tuple[list[int], np.ndarray, np.ndarray]:
        levels = np.concatenate(rows)
        return numbers, listener.embed(levels), timbre.stored_statistics(levels, timbre.CEPSTRA)

    for keys, values in feature_rows.computed(decoded, listener.audio):
        numbers += keys
        rows.append(values)
        if len(numbers) >= EMBEDDED_TOGETHER:
            yield embedded()
            numbers, rows = [], []
    if numbers:
        yield embedded()
