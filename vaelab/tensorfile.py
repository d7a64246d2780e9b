"""The sha256 in the header of our safetensors files, over the whole file, so that any flipped byte is found.

The header holds "sha256" among its metadata. The digest is taken with its own 64 characters as zeros.
"""

import hashlib
import json
import mmap
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors import numpy as st

BLANK = "0" * 64
BLOCK = 1 << 20  # read at a time
HEADER_BYTES = 100_000_000  # at most, as the format has it

Body = bytes | bytearray | mmap.mmap


def header(body: Body) -> tuple[dict[str, Any], int]:
    """The JSON of a safetensors file, and where its tensors begin.

    Raises:
        ValueError: There is none.
    """
    length = int.from_bytes(body[:8], "little")
    if not 2 <= length <= min(HEADER_BYTES, len(body) - 8):
        raise ValueError(f"a header of {length} bytes")
    return json.loads(body[8 : 8 + length]), 8 + length


def write(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    """Write arrays, with "vaelab" metadata as JSON, and seal the file in its place; large ones are not held twice."""
    st.save_file(dict(arrays), path, {"vaelab": json.dumps(meta), "sha256": BLANK})
    with open(path, "r+b") as file:  # not mapped: writing to a map is what some file systems lack
        start = file.read(8)
        top = bytearray(start + file.read(int.from_bytes(start, "little")))
        _sort_header(top)
        hasher = hashlib.sha256(top)
        while block := file.read(BLOCK):
            hasher.update(block)
        file.seek(0)
        file.write(_with_digest(top, hasher.hexdigest()))


def seal(body: bytearray) -> str:
    """Sort the header of a file whose "sha256" is `BLANK`, and put the digest in its place; returns it.

    safetensors writes metadata in an order that differs from process to process: equal files would have other digests.
    """
    _sort_header(body)
    digest = hashlib.sha256(body).hexdigest()
    _with_digest(body, digest)
    return digest


def verify(body: Body, digest: str) -> None:
    """Make sure that a file is what was sealed.

    Raises:
        ValueError: It is not.
    """
    start = _place(body, digest)
    hasher = hashlib.sha256(memoryview(body)[:start])
    hasher.update(BLANK.encode())
    hasher.update(memoryview(body)[start + len(BLANK) :])
    if hasher.hexdigest() != digest:
        raise ValueError("damaged: its content does not match the sha256 in its header")


def _with_digest(body: bytearray, digest: str) -> bytearray:
    """The body, or its header alone, with the digest in its place."""
    start = _place(body, BLANK)
    body[start : start + len(BLANK)] = digest.encode()
    return body


def _sort_header(body: bytearray) -> None:
    """Write the header again with sorted keys, in its place: no tensor moves, spaces fill it up as before."""
    content, end = header(body)
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode().ljust(end - 8)
    if len(text) != end - 8:  # else the tensors would no longer be where it says
        raise ValueError(f"expected a header of {end - 8} bytes, found {len(text)} when it is sorted")
    body[8:end] = text


def _place(body: Body, digest: str) -> int:
    key = '"sha256":"'
    start = body.find(f'{key}{digest}"'.encode())
    if start < 0:
        raise ValueError("its header has no sha256")
    return start + len(key)
