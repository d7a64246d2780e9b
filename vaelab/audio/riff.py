"""Chunks of a RIFF file (wav): append one, find one. Lengths are checked against the file, never believed."""

import os
import struct
from pathlib import Path

UNKNOWN = 0xFFFFF000  # lengths from here on stand for "not known yet"


def append_chunk(path: Path, name: bytes, body: bytes) -> None:
    """Append a chunk to a wav and correct the length in its header; `name` is four bytes."""
    with open(path, "r+b") as file:
        end = file.seek(0, os.SEEK_END)
        file.write(b"\0" * (end % 2) + name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2))
        length = file.tell() - 8
        file.seek(4)
        file.write(struct.pack("<I", length))


def find_chunk(path: Path, name: bytes) -> bytes | None:
    """The body of the first chunk called `name` in a wav, or None."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        if file.read(4) != b"RIFF" or len(file.read(8)) < 8:
            return None
        while len(header := file.read(8)) == 8:
            length = struct.unpack("<I", header[4:])[0]
            if header[:4] == name:
                return file.read(length) if file.tell() + length <= size else None
            file.seek(length + length % 2, os.SEEK_CUR)
    return None


def stated_size(path: Path) -> int:
    """Bytes that a wav says it has; 0 for other files, and for one whose writer did not know."""
    with open(path, "rb") as file:
        head = file.read(8)
    if len(head) < 8 or head[:4] != b"RIFF":
        return 0
    length = struct.unpack("<I", head[4:])[0]
    return 0 if length >= UNKNOWN else length + 8
