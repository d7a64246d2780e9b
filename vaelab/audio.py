"""Sound files to arrays and back: typed-error reading, atomic writing, the recipe inside a WAV.

Samples are mono float32 in [-1, 1]. Reading is bounded by what the caller asks for, never by a header's
claim. This room knows nothing of JAX, so that decoding processes stay small.
"""

import json
import os
import stat
import struct
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from vaelab import files

EXTENSIONS = (".wav", ".aiff", ".aif", ".aifc", ".flac", ".ogg", ".opus", ".mp3")
MAX_SECONDS = 600.0
MAX_CHANNELS = 64
BLOCK_FRAMES = 1 << 16
RECIPE_CHUNK = b"vlab"


class AudioError(Exception):
    """A sound that cannot be read or written; the message names the file, what was found and what to do."""

    def __init__(self, path: str | os.PathLike, reason: str):
        super().__init__(f"{printable(path)}: {reason}")
        self.path = path
        self.reason = reason


@dataclass(frozen=True)
class Sound:
    """A sound and how it was made.

    Attributes:
        samples: float32 (samples,) in [-1, 1].
        sample_rate: Hz.
        recipe: What made it, as plain JSON values; empty if unknown.
    """

    samples: np.ndarray
    sample_rate: int
    recipe: dict[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.samples) / self.sample_rate

    def save(self, path: str | os.PathLike) -> Path:
        """Write the sound with its recipe; see `write`."""
        return write(path, self.samples, self.sample_rate, self.recipe)

    def _repr_html_(self) -> str:
        """A player, where the sound is the last value of a notebook cell."""
        from IPython.display import Audio

        return Audio(np.clip(self.samples, -1, 1), rate=self.sample_rate, normalize=False)._repr_html_()


def printable(path: str | os.PathLike) -> str:
    """A path as one line of printable text, whatever bytes its name holds."""
    text = os.fsdecode(path)
    return text if text.isprintable() else ascii(text)


def read(path: str | os.PathLike, sample_rate: int, offset: float = 0.0, seconds: float | None = None) -> np.ndarray:
    """Read a stretch of a sound file, mixed down to mono and resampled.

    Args:
        path: A regular file that libsndfile decodes.
        sample_rate: Wanted rate, Hz.
        offset: Start, seconds.
        seconds: Longest stretch to read; None reads to the end, at most `MAX_SECONDS`.

    Returns:
        float32 (samples,): at most `seconds * sample_rate` samples; shorter where the file ends.

    Raises:
        AudioError: The file is missing, is not a regular file, cannot be decoded, ends before `offset`,
            or holds samples that are not finite.
    """
    if offset < 0:
        raise ValueError(f"offset: expected at least 0 seconds, found {offset}")
    seconds = MAX_SECONDS if seconds is None else min(seconds, MAX_SECONDS)
    _require_regular_file(path)
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            native_rate = file.samplerate
            if file.channels > MAX_CHANNELS:
                raise AudioError(path, f"expected at most {MAX_CHANNELS} channels, found {file.channels}")
            samples = _read_mono(file, round(offset * native_rate), int(np.ceil(seconds * native_rate)))
    except soundfile.LibsndfileError as error:
        raise AudioError(path, f"expected a sound file; libsndfile says: {error.error_string}") from error
    if not len(samples):
        raise AudioError(path, f"expected sound at {offset:g} s, found none: the file is empty or ends before")
    if not np.isfinite(samples).all():
        raise AudioError(path, "expected finite samples, found NaN or infinity; export the sound again")
    if native_rate != sample_rate:
        samples = soxr.resample(samples, native_rate, sample_rate)
    return samples[: round(seconds * sample_rate)]


def duration(path: str | os.PathLike) -> float:
    """Seconds of sound that a file's header claims.

    Raises:
        AudioError: As `read`.
    """
    _require_regular_file(path)
    try:
        return soundfile.info(os.fsencode(path)).duration
    except soundfile.LibsndfileError as error:
        raise AudioError(path, f"expected a sound file; libsndfile says: {error.error_string}") from error


def write(path: str | os.PathLike, samples: np.ndarray, sample_rate: int, recipe: dict[str, Any] | None = None) -> Path:
    """Write mono samples as 16-bit wav, flac or aiff (by suffix): the whole file or none of it.

    A recipe rides inside a wav as a RIFF chunk, which players skip, and beside the others as
    `NAME.recipe.json`. Samples beyond full scale are clipped, with a warning that counts them.

    Args:
        path: Where to; missing folders are made.
        samples: (samples,) in [-1, 1].
        sample_rate: Hz.
        recipe: Plain JSON values.

    Returns:
        The path written.

    Raises:
        AudioError: Unknown suffix, nothing to write, or samples that are not finite.
    """
    path = Path(path)
    samples = np.asarray(samples, np.float32)
    if path.suffix.lower() not in (".wav", ".flac", ".aiff", ".aif"):
        raise AudioError(path, f"expected a name ending in .wav, .flac or .aiff, found {path.suffix or 'none'}")
    if samples.ndim != 1 or not len(samples):
        raise AudioError(path, f"expected mono samples of shape (samples,), found shape {samples.shape}")
    if not np.isfinite(samples).all():
        raise AudioError(path, "expected finite samples, found NaN or infinity; nothing was written")
    if clipped := int(np.sum(np.abs(samples) > 1)):
        warnings.warn(f"{printable(path)}: clipped {clipped} samples beyond full scale", stacklevel=2)
    with files.replacing(path) as temporary:
        soundfile.write(os.fsencode(temporary), np.clip(samples, -1, 1), sample_rate, subtype="PCM_16")
        if recipe and path.suffix.lower() == ".wav":
            _append_chunk(temporary, RECIPE_CHUNK, json.dumps(recipe).encode("ascii"))
    if recipe and path.suffix.lower() != ".wav":
        with files.replacing(_sidecar(path)) as temporary:
            temporary.write_text(json.dumps(recipe, indent=1), encoding="ascii")
    return path


def read_recipe(path: str | os.PathLike) -> dict[str, Any]:
    """The recipe that `write` kept in or beside a sound file.

    Raises:
        AudioError: There is none.
    """
    path = Path(path)
    _require_regular_file(path)
    if path.suffix.lower() == ".wav":
        text = _find_chunk(path, RECIPE_CHUNK)
    else:
        text = _sidecar(path).read_bytes() if _sidecar(path).is_file() else None
    if text is None:
        raise AudioError(path, "expected a recipe, found none: vaelab did not write this file, or it was edited")
    try:
        return json.loads(text)
    except ValueError as error:
        raise AudioError(path, f"expected a recipe in JSON, found damaged text: {error}") from error


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".recipe.json")


def _require_regular_file(path: str | os.PathLike) -> None:
    """Refuse what is missing or would hang (a FIFO, a device) before anything opens it."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        raise AudioError(path, f"expected a sound file, found none: {error}") from error
    if not stat.S_ISREG(mode):
        raise AudioError(path, "expected a regular file, found a folder or a special file")


def _read_mono(file: soundfile.SoundFile, start: int, frames: int) -> np.ndarray:
    """Up to `frames` frames from `start`, block by block, so that memory follows what is really there."""
    if start >= file.frames > 0:
        return np.zeros(0, np.float32)
    if start:
        file.seek(start)
    blocks = []
    while frames > 0:
        block = file.read(min(frames, BLOCK_FRAMES), dtype="float32", always_2d=True)
        if not len(block):
            break
        blocks.append(block.mean(axis=1))
        frames -= len(block)
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def _append_chunk(path: Path, name: bytes, body: bytes) -> None:
    """Append a RIFF chunk to a wav and correct the length in its header."""
    with open(path, "r+b") as file:
        end = file.seek(0, os.SEEK_END)
        file.write(b"\0" * (end % 2) + name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2))
        length = file.tell() - 8
        file.seek(4)
        file.write(struct.pack("<I", length))


def _find_chunk(path: Path, name: bytes) -> bytes | None:
    """The body of the first chunk called `name` in a wav, or None; lengths are checked against the file."""
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
