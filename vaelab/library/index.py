"""The file of a library: embeddings and what they are of, mapped into memory, verified when it is opened.

One safetensors file. Its tensors, one row a sound, sorted by path and onset:

    embeddings  float32 (sounds, latent)
    timbres     float16 (sounds, statistics)   of `vaelab.audio.timbre`, as they are
    onsets, seconds  float32 (sounds,)   where in its file a sound starts, and how long it is
    hashes      uint8 (sounds, 32)       sha256 of the file
    marks       int64 (sounds, 4)        the file's state when it was read (`datasets.scan_cache`); zeros where unsure
    labels      int32 (sounds,)          into the header's names; -1 where unknown
    rows        uint8                    the relative paths as JSON texts, one after the other
    offsets     int64 (sounds + 1,)      where in `rows` each begins

The header holds the folder, the model's sha256, the names of labels, and a sha256 over the whole file
(`vaelab.tensorfile`). Paths are decoded one by one, for hits only, and none can lead out of the folder.
"""

import json
import mmap
import os
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from vaelab import VaelabError, files, tensorfile
from vaelab.audio.timbre import LEAST_SPREAD, Scale
from vaelab.library import search

FORMAT = 2
AT_ONCE = 1 << 14  # rows in double precision
COLUMNS = {
    "embeddings": ("F32", np.float32, 2),
    "timbres": ("F16", np.float16, 2),
    "onsets": ("F32", np.float32, 1),
    "seconds": ("F32", np.float32, 1),
    "hashes": ("U8", np.uint8, 2),
    "marks": ("I64", np.int64, 2),
    "labels": ("I32", np.int32, 1),
    "rows": ("U8", np.uint8, 1),
    "offsets": ("I64", np.int64, 1),
}


class LibraryError(VaelabError):
    """A library that cannot be built, or whose file is damaged; the message says what was looked for, and where."""


class Row(NamedTuple):
    """One sound: path relative to the folder, onset and length in seconds, content hash, mark, label."""

    path: str
    onset: float
    seconds: float
    sha256: str
    mark: tuple[int, int, int, int] | None
    label: str | None


@dataclass(frozen=True)
class Index:
    """The sounds of a folder as one model embeds them."""

    root: str  # the folder, absolute
    model: str  # the sha256 of the model's file
    how: dict[str, Any]  # what else decides the rows, such as slicing; JSON
    names: tuple[str, ...]  # of labels
    columns: dict[str, np.ndarray]  # the tensors above by name, memory maps

    def __len__(self) -> int:
        return len(self.columns["onsets"])

    @property
    def embeddings(self) -> np.ndarray:
        """float32 (sounds, latent)."""
        return self.columns["embeddings"]

    @cached_property
    def scale(self) -> Scale:
        """Of the timbres, over all sounds; a statistic that is the same for all counts as it is.

        Raises:
            LibraryError: The timbres are not finite.
        """
        raw = self.columns["timbres"]
        centre = raw.mean(axis=0, dtype=np.float64)
        parts = (raw[start : start + AT_ONCE] - centre[None] for start in range(0, len(raw), AT_ONCE))
        with np.errstate(invalid="ignore"):  # what is not finite is refused below
            spread = np.sqrt(sum(np.square(part).sum(axis=0) for part in parts) / len(raw))
        if not np.isfinite(spread).all():
            raise LibraryError(f"{self.root}: expected timbres that are finite, found others")
        return Scale(centre.astype(np.float32), np.where(spread > LEAST_SPREAD, spread, 1).astype(np.float32))

    @cached_property
    def timbres(self) -> np.ndarray:
        """In units of the sounds' deviations, float32 (sounds, statistics); in memory once it was asked for."""
        return self.scaled(self.columns["timbres"])

    @cached_property
    def timbre_squares(self) -> np.ndarray:
        """Squared lengths of the scaled timbres (sounds,)."""
        return search.squared(self.timbres)

    def scaled(self, timbres: np.ndarray) -> np.ndarray:
        """Timbres (n, statistics) in units of the sounds' deviations, float32."""
        scaled = timbres - self.scale.centre[None]
        scaled /= self.scale.spread[None]
        return scaled

    def equals(self, other: "Index") -> bool:
        """True if another index has the same content."""
        mine, others = ((index.root, index.model, index.how, index.names) for index in (self, other))
        same = (np.array_equal(column, other.columns[name]) for name, column in self.columns.items())
        return mine == others and all(same)

    def path(self, number: int) -> str:
        """A sound's path relative to the folder; a LibraryError if it is none, or leads out of the folder."""
        start, end = self.columns["offsets"][number : number + 2]
        try:
            path = json.loads(self.columns["rows"][start:end].tobytes())
        except (ValueError, RecursionError) as error:
            raise LibraryError(f"{self.root}: expected the path of sound {number}, found damaged text") from error
        parts = PurePosixPath(path).parts if isinstance(path, str) else ()
        if not parts or "\0" in path or path.startswith("/") or ".." in parts or os.path.isabs(path):
            raise LibraryError(f"{self.root}: expected a path inside the folder, found {path!a}")
        return path

    def row(self, number: int) -> Row:
        """One sound."""
        columns = self.columns
        label, mark = int(columns["labels"][number]), tuple(map(int, columns["marks"][number]))
        return Row(
            self.path(number),
            float(columns["onsets"][number]),
            float(columns["seconds"][number]),
            columns["hashes"][number].tobytes().hex(),
            mark if any(mark) else None,
            self.names[label] if label >= 0 else None,
        )

    def below(self, folder: str) -> slice:
        """The sounds in a folder, relative to the library's own, and its sub-folders."""
        folder = folder.replace(os.sep, "/").strip("/")
        if not folder or folder == ".":
            return slice(0, len(self))
        first = bisect_left(range(len(self)), f"{folder}/", key=self.path)
        last = bisect_left(range(len(self)), f"{folder}0", key=self.path)  # "0" is the character after "/"
        return slice(first, last)


def make(
    root: str, model: str, how: dict[str, Any], rows: Sequence[Row], embeddings: np.ndarray, timbres: np.ndarray
) -> Index:
    """An index of rows, which must be sorted by path and onset, their embeddings and timbres."""
    names = tuple(sorted({row.label for row in rows if row.label is not None}))
    number = {name: position for position, name in enumerate(names)} | {None: -1}
    texts = [json.dumps(row.path).encode("ascii") for row in rows]
    columns = {
        "embeddings": np.ascontiguousarray(embeddings, np.float32),
        "timbres": np.ascontiguousarray(timbres, np.float16),
        "onsets": np.array([row.onset for row in rows], np.float32),
        "seconds": np.array([row.seconds for row in rows], np.float32),
        "hashes": np.frombuffer(bytes.fromhex("".join(row.sha256 for row in rows)), np.uint8).reshape(-1, 32),
        "marks": np.array([row.mark or (0, 0, 0, 0) for row in rows], np.int64).reshape(-1, 4),
        "labels": np.array([number[row.label] for row in rows], np.int32),
        "rows": np.frombuffer(b"".join(texts), np.uint8),
        "offsets": np.cumsum([0, *map(len, texts)], dtype=np.int64),
    }
    return Index(root, model, how, names, columns)


def save(path: str | os.PathLike, index: Index) -> None:
    """Write an index, whole or not at all."""
    meta = {"format": FORMAT, "root": index.root, "model": index.model, "how": index.how, "names": index.names}
    with files.replacing(path) as temporary:
        tensorfile.write(temporary, index.columns, meta)


def load(path: str | os.PathLike) -> Index:
    """Open and verify an index; its arrays stay in the file until they are needed.

    Raises:
        FileNotFoundError: There is none.
        LibraryError: It is damaged, hostile or of another version.
    """
    try:
        body = files.mapped(path)
    except ValueError as error:
        raise LibraryError(f"{path}: expected the index of a library, found an empty file") from error
    try:
        header, data = tensorfile.header(body)
        described = header.pop("__metadata__")
        meta = json.loads(described["vaelab"])
        tensorfile.verify(body, described["sha256"])
        if meta["format"] != FORMAT:
            raise ValueError(f"format {meta['format']} instead of {FORMAT}")
        columns = {name: _column(name, header[name], body, data) for name in COLUMNS}
        index = Index(str(meta["root"]), str(meta["model"]), dict(meta["how"]), tuple(meta["names"]), columns)
        _check(index)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise LibraryError(f"{path}: expected the index of a library, found something else: {error}") from error
    return index


def _column(name: str, described: dict, body: mmap.mmap, data: int) -> np.ndarray:
    (kind, dtype, dimensions), shape = COLUMNS[name], tuple(described["shape"])
    start, end = described["data_offsets"]
    if described["dtype"] != kind or len(shape) != dimensions or not 0 <= start <= end <= len(body) - data:
        raise ValueError(f"{name} of type {described['dtype']} and shape {shape}")
    return np.frombuffer(memoryview(body)[data + start : data + end], dtype).reshape(shape)


def _check(index: Index) -> None:
    columns, count = index.columns, len(index)
    sizes = {name: len(column) for name, column in columns.items() if name not in ("rows", "offsets")}
    if set(sizes.values()) != {count} or count == 0:
        raise ValueError(f"columns of {sizes} rows")
    if columns["hashes"].shape[1] != 32 or columns["marks"].shape[1] != 4:
        raise ValueError("hashes or marks of another size")
    offsets = columns["offsets"]
    whole = len(offsets) == count + 1 and offsets[0] == 0 and offsets[-1] == len(columns["rows"])
    if not whole or (np.diff(offsets) < 2).any():
        raise ValueError("paths that do not fill their place")
    if not all(isinstance(name, str) for name in index.names):
        raise ValueError("labels that are no names")
    if not (columns["labels"].min() >= -1 and columns["labels"].max() < len(index.names)):
        raise ValueError("labels without a name")
    for name in ("onsets", "seconds"):
        if not (np.isfinite(columns[name]).all() and columns[name].min() >= 0):
            raise ValueError(f"{name} that are no times")
    if not np.isfinite(search.squared(index.embeddings)).all():
        raise ValueError("embeddings that are not finite")
