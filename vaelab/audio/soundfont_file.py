"""The file of a sound font: RIFF chunks, texts, and the tables of its samples, instruments and presets.

Format: "SoundFont technical specification", version 2.04. All lengths are compared with the file's, never believed.
"""

import os
import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import BinaryIO

import numpy as np

from vaelab.audio.reading import AudioError

MOST_CHUNKS = 256  # in a list
MOST_RECORDS = 65_537  # in a table: they are numbered by 16 bits, and the last marks the end
MOST_TEXT = 4096  # bytes
TEXTS = {b"INAM": "name", b"IENG": "engineers", b"ICOP": "copyright", b"ICMT": "comment"}

GENERATORS = np.dtype([("kind", "<u2"), ("amount", "<i2")])
BAGS = np.dtype([("generator", "<u2"), ("modulator", "<u2")])
TABLES = {
    b"phdr": np.dtype([("name", "S20"), ("program", "<u2"), ("bank", "<u2"), ("bag", "<u2"), ("rest", "V12")]),
    b"inst": np.dtype([("name", "S20"), ("bag", "<u2")]),
    b"pbag": BAGS,
    b"ibag": BAGS,
    b"pgen": GENERATORS,
    b"igen": GENERATORS,
    b"shdr": np.dtype(
        {
            "names": ["name", "start", "end", "loop_start", "loop_end", "rate", "pitch", "correction", "link", "kind"],
            "formats": ["S20", "<u4", "<u4", "<u4", "<u4", "<u4", "u1", "i1", "<u2", "<u2"],
        }
    ),
}


class SoundFontError(AudioError):
    """A sound font, or a sample of it, that cannot be used; the message says what was expected and found."""


class FontFile:
    """An open file.

    Attributes:
        path: Its path.
        info: Texts about it: "name", "engineers", "copyright", "comment"; those that it has.
        pool: Start and length of the samples, bytes.
        tables: Records by the name of their chunk, as in `TABLES`; a last one marks the end.
    """

    def __init__(self, path: str | os.PathLike, file: BinaryIO):
        """Read all but the samples.

        Raises:
            SoundFontError: It is no sound font, or is damaged.
        """
        self.path, self._file = path, file
        lists = self._lists()
        self.pool = lists[b"sdta"][b"smpl"]
        places = lists.get(b"INFO", {})
        texts = {key: self._text(*places[name]) for name, key in TEXTS.items() if name in places}
        self.info = {key: content for key, content in texts.items() if content}
        self.tables = {name: self._table(name, *lists[b"pdta"].get(name, (0, 0))) for name in TABLES}

    def zones(self, owners: bytes, bags: bytes, generators: bytes) -> list[list[dict[int, int]]]:
        """The zones of each record of a table: the amounts of their generators, by kind."""
        pairs = self.tables[generators].tolist()
        spans = self._spans(bags, self.tables[bags]["generator"], len(pairs))
        zones = [dict(pairs[start:end]) for start, end in spans]
        return [zones[start:end] for start, end in self._spans(owners, self.tables[owners]["bag"], len(zones))]

    def read(self, start: int, length: int) -> bytes:
        """So many bytes.

        Raises:
            SoundFontError: The file ends before.
        """
        if len(content := self._peek(start, length)) < length:
            raise self.error(f"expected {length} bytes at {start}, found {len(content)}; get the file again")
        return content

    def error(self, reason: str) -> SoundFontError:
        """An error that names the file."""
        return SoundFontError(self.path, reason)

    def _lists(self) -> dict[bytes, dict[bytes, tuple[int, int]]]:
        """Start and length of each chunk, by the lists that they are in."""
        size = self._file.seek(0, os.SEEK_END)
        head = self._peek(0, 12)
        if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"sfbk":
            raise self.error(f"expected a sound font, found a file that begins with {head!r}")
        end = min(size, 8 + struct.unpack("<I", head[4:8])[0])
        lists = {}
        for name, (start, length) in self._chunks(12, end):
            if name == b"LIST" and length >= 4:
                lists[self.read(start, 4)] = dict(self._chunks(start + 4, start + length))
        if not (b"smpl" in lists.get(b"sdta", {}) and b"pdta" in lists):
            raise self.error(
                f"expected samples (sdta, smpl) and presets (pdta), found only {sorted(lists)}; get the file again"
            )
        return lists

    def _chunks(self, start: int, end: int) -> Iterator[tuple[bytes, tuple[int, int]]]:
        """Name, start and length of each chunk of a stretch. Some writers leave out the byte after an odd length."""
        for _ in range(MOST_CHUNKS):
            if end - start < 8:
                return
            name, length = struct.unpack("<4sI", self.read(start, 8))
            start += 8
            if length > end - start:
                expected = f"a chunk {name.decode('latin-1')!a} of {length} bytes"
                raise self.error(f"expected {expected}, found {end - start} to the end; get the file again")
            yield name, (start, length)
            start += length
            if length % 2 and self._peek(start, 1) == b"\0":
                start += 1
        raise self.error(f"expected at most {MOST_CHUNKS} chunks in a list, found more")

    def _text(self, start: int, length: int) -> str:
        return text(self.read(start, min(length, MOST_TEXT)))

    def _table(self, name: bytes, start: int, length: int) -> np.ndarray:
        size = TABLES[name].itemsize
        if length % size or not size <= length <= MOST_RECORDS * size:
            expected = f"1 to {MOST_RECORDS} whole records of {size} bytes in {name.decode()}"
            raise self.error(f"expected {expected}, found {length} bytes; get the file again")
        return np.frombuffer(self.read(start, length), TABLES[name])

    def _spans(self, name: bytes, starts: np.ndarray, most: int) -> Iterator[tuple[int, int]]:
        """Stretches that begin at each start and end at the next one."""
        if (np.diff(starts.astype(int)) < 0).any() or starts[-1] > most:
            raise self.error(f"expected rising numbers up to {most} in {name.decode()}, found others")
        return pairwise(starts.tolist())

    def _peek(self, start: int, length: int) -> bytes:
        self._file.seek(start)
        return self._file.read(length)


def text(content: bytes) -> str:
    """A text up to its zero byte: UTF-8, or else Latin-1."""
    content = content.split(b"\0")[0]
    try:
        return content.decode("utf-8").strip()
    except UnicodeDecodeError:
        return content.decode("latin-1").strip()
