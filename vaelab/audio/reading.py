"""Sound files to arrays: bounded, with typed errors, mixed down to mono unless asked otherwise, and resampled.

Reading is bounded by what the caller asks for, never by a header's claim: libsndfile first, PyAV for the suffixes it
does not know. Samples are float32 in [-1, 1]. This room knows nothing of JAX, so that decoding processes stay small.
"""

import hashlib
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from vaelab import VaelabError, files
from vaelab.audio import decoders, riff, silence
from vaelab.audio.downmix import Downmix
from vaelab.text import printable

CHANNELS = ("mono", "source")  # as `read` gives them
MAX_SECONDS = 600.0
MIN_SECONDS = 0.001
PROBE_SECONDS = 10.0
EXACT = 1 << 23  # steps in full scale by which samples are compared: those of 24 bits
MAX_LEVEL = 65536.0  # some tools write 16-bit numbers as floats; what is beyond is no sound
BLOCK_VALUES, LEAST_BLOCK = 1 << 20, 1 << 10  # samples
MAX_FRAMES, STREAMED_VALUES = 1 << 40, 1 << 16  # of a stream in all, and at once: what a broken block holds is lost
MAX_BYTES = 16 << 30  # a sparse file of terabytes takes no room on a disk, but hours to hash


class AudioError(VaelabError):
    """A sound that cannot be read or written; the message names the file, what was found and what to do."""

    def __init__(self, path: str | os.PathLike, reason: str):
        super().__init__(f"{printable(path)}: {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple:
        """Let it cross processes, as the exceptions of other work do."""
        return type(self), (self.path, self.reason)


@dataclass(frozen=True, slots=True)
class Facts:
    """Properties of a sound file that has been examined."""

    sha256: str  # hash of the file's bytes
    # duration: measured where the file ends within `PROBE_SECONDS`, else the header's claim if the end can be reached,
    # else as far as it decodes, at most `MAX_SECONDS`
    seconds: float
    # hash of what decodes of the first `PROBE_SECONDS` in mono, with rate and duration: the same for a sound in another
    # format without loss, or with other tags; None where that is not known or silence
    samples: str | None = None


def read(
    path: str | os.PathLike,
    sample_rate: int,
    offset: float = 0.0,
    seconds: float | None = None,
    sha256: str | None = None,
    channels: str = "mono",
) -> np.ndarray:
    """Read a stretch of a sound file, mixed down to mono and resampled: float32 (samples,).

    Args:
        path: A regular file that libsndfile decodes, or PyAV for the suffixes in `decoders.VIDEO`.
        sample_rate: Wanted rate, Hz.
        offset: Start, seconds.
        seconds: Longest stretch to read, shorter where the file ends; None reads to the end, at most `MAX_SECONDS`.
        sha256: Refuse the file if its content is another.
        channels: "mono"; or "source", which keeps both channels of a file that has two: (samples, 2), left first.
            Any other file is mixed down as for "mono".

    Raises:
        ValueError: No rate, a negative offset, or other channels.
        AudioError: The file is missing, is not a regular file, cannot be decoded, has an impossible rate or too
            many channels, ends before `offset`, holds samples that are not sound (NaN, infinite, absurdly
            loud), or changed.
    """
    if not sample_rate > 0:
        raise ValueError(f"sample rate: expected above 0 Hz, found {sample_rate}")
    if offset < 0:
        raise ValueError(f"offset: expected at least 0 seconds, found {offset}")
    if channels not in CHANNELS:
        raise ValueError(f"channels: expected {' or '.join(CHANNELS)}, found {channels!r}")
    path = files.from_home(path)
    seconds = MAX_SECONDS if seconds is None else min(seconds, MAX_SECONDS)
    with _steady(path) as handle:
        if sha256 is not None and _hash(handle) != sha256:
            raise AudioError(path, "expected the content of the dataset, found another; run make-dataset again")
        with _decoder(path, handle) as source:
            native_rate, both = source.samplerate, channels == "source" and source.channels == 2
            first, frames = round(offset * native_rate), int(np.ceil(seconds * native_rate))
            blocks = _blocks(path, source, first, frames, both=both)
            samples = np.concatenate([np.zeros((0, 2) if both else 0, np.float32), *blocks])
    samples = resampled(samples, native_rate, sample_rate)
    if not len(samples):
        raise AudioError(path, f"expected sound at {offset:g} s, found none: the file is empty or ends before")
    return samples[: round(seconds * sample_rate)]


def read_clip(
    path: str | os.PathLike,
    sample_rate: int,
    offset: float | None,
    seconds: float,
    sha256: str | None = None,
) -> tuple[float, np.ndarray]:
    """Read a clip: where it starts, seconds, and its samples (samples,).

    Without an `offset` it starts at the first sound (`silence.clip_start`). The other arguments and errors are those
    of `read`.
    """
    samples = read(path, sample_rate, offset or 0.0, seconds, sha256)
    if offset is not None or silence.sounds_early(samples, sample_rate):
        return offset or 0.0, samples
    start = _clip_start(files.from_home(path))
    return start, read(path, sample_rate, start, seconds, sha256) if start else samples


def _clip_start(path: str | os.PathLike) -> float:
    """The second at which a file's clip begins, by all that is decoded until its first sound."""
    with _steady(path) as handle, _decoder(path, handle) as source:
        frames = math.ceil(MAX_SECONDS * source.samplerate)
        blocks = _blocks(path, source, 0, frames, STREAMED_VALUES)
        return silence.clip_start(blocks, source.samplerate)


def resampled(samples: np.ndarray, native_rate: int, sample_rate: int) -> np.ndarray:
    """Samples (samples,) or (samples, channels) at another rate, Hz."""
    if not len(samples) or native_rate == sample_rate:
        return samples
    converted = soxr.resample(samples, native_rate, sample_rate)
    return converted if len(converted) else samples[:1]  # shorter than half a sample is still a sound


@contextmanager
def stream(path: str | os.PathLike) -> Iterator[tuple[int, int, Iterator[np.ndarray]]]:
    """A whole sound file, however long: its rate (Hz), the samples it claims, and mono blocks (samples,) to read once.

    Raises:
        AudioError: As `read`. Where a decoder gives up in the middle, its error (`decoders.ERRORS`) first reaches who
            reads the blocks.
    """
    path = files.from_home(path)
    with _steady(path) as handle, _decoder(path, handle) as source:
        yield source.samplerate, source.frames, _blocks(path, source, 0, MAX_FRAMES, STREAMED_VALUES)


def claimed_seconds(path: str | os.PathLike, frames: int, rate: int) -> float:
    """Length in seconds that a file claims: the decoder's frame count, or a WAV's own header."""
    size, stated = os.path.getsize(path), riff.stated_size(Path(path))
    return frames / rate * max(1.0, stated / size)


def examine(path: str | os.PathLike) -> Facts:
    """Hash a file and make sure that it is a sound of at least `MIN_SECONDS`, whose first `PROBE_SECONDS` decode.

    Raises:
        AudioError: It is none, or nothing but silence in its first `MAX_SECONDS`.
    """
    path = files.from_home(path)
    with _steady(path) as handle:
        seconds, samples = _measure(path, handle)  # first, as what is no sound need not be hashed
        if (size := os.fstat(handle).st_size) > MAX_BYTES:
            raise AudioError(
                path,
                f"expected a file of at most {MAX_BYTES >> 30} GiB, found {size / 2**30:.1f} GiB; cut it into parts",
            )
        return Facts(_hash(handle), seconds, samples)


@contextmanager
def regular(path: str | os.PathLike) -> Iterator[int]:
    """As `files.regular`, with an AudioError for what the system says."""
    try:
        with files.regular(path) as handle:
            yield handle
    except OSError as error:
        raise AudioError(path, f"expected a sound file, found none that can be opened: {error.strerror}") from error


@contextmanager
def _steady(path: str | os.PathLike) -> Iterator[int]:
    """As `regular`, and refuse the file if it changed while it was in use."""
    with regular(path) as handle:
        before = _signature(handle)
        yield handle
        if _signature(handle) != before:
            raise AudioError(path, "expected a file at rest, found one that changed while it was read; try again")


def _signature(handle: int) -> tuple[int, int]:
    state = os.fstat(handle)
    return state.st_size, state.st_mtime_ns


def _hash(handle: int) -> str:
    with open(handle, "rb", buffering=0, closefd=False) as file:
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
    return digest


@contextmanager
def _decoder(path: str | os.PathLike, handle: int) -> Iterator[decoders.Source]:
    """An open decoder; whatever it says on the way becomes an AudioError."""
    try:
        with decoders.open_sound(path, handle) as source:
            yield source
    except decoders.ERRORS as error:
        raise AudioError(path, decoders.error_text(error)) from error


def _blocks(
    path: str | os.PathLike,
    source: decoders.Source,
    start: int,
    frames: int,
    values: int | None = None,
    both: bool = False,
) -> Iterator[np.ndarray]:
    """Up to `frames` frames from `start` in blocks, so that memory follows what is really there.

    Blocks are mono (samples,), or with `both`, of a source of two channels, (samples, 2).
    """
    if start >= source.frames > 0:
        return
    if start:
        source.seek(start)
    to_mono = Downmix(source.channels)
    longest = max(1, (values or BLOCK_VALUES) // source.channels)
    left = source.frames - start
    while frames > 0:
        # libsndfile fills what it cannot read with zeros, so that asking for far more than is claimed takes time.
        wanted = min(frames, longest, max(left, LEAST_BLOCK))
        block = source.read(wanted, dtype="float32", always_2d=True)
        if not len(block):
            return
        frames, left = frames - len(block), left - len(block)
        peak = np.maximum(block.max(), -block.min())
        if not np.isfinite(peak):
            raise AudioError(path, "expected finite samples, found NaN or infinity; export the sound again")
        if peak > MAX_LEVEL:
            raise AudioError(path, f"expected samples near full scale (1), found {peak:.3g}; export the sound again")
        yield block if both else to_mono(block)


def _measure(path: str | os.PathLike, handle: int) -> tuple[float, str | None]:
    """Seconds and samples, as in `Facts`, of the sound behind a descriptor at its start."""
    with _decoder(path, handle) as source:
        rate, claimed = source.samplerate, source.frames
        wanted = math.ceil(PROBE_SECONDS * rate)
        frames, silent, digest = 0, True, hashlib.sha256(str(rate).encode())
        for block in _blocks(path, source, 0, wanted):
            frames, silent = frames + len(block), silent and silence.is_silent(block)
            digest.update(np.round(block * EXACT).astype("<i8").tobytes())
        reached = frames < wanted or _reaches(source, claimed - rate // 10)
    if frames == 0:
        raise AudioError(path, "expected sound, found an empty file")
    if frames < MIN_SECONDS * rate:
        raise AudioError(path, f"expected at least {1000 * MIN_SECONDS:g} ms of sound, found fewer")
    if silent and (frames < wanted or _is_silent(path, handle)):
        beyond = f" in its first {MAX_SECONDS:g} s" if claimed > MAX_SECONDS * rate else ""
        raise AudioError(path, f"expected sound, found silence{beyond}")
    if not reached:
        os.lseek(handle, 0, os.SEEK_SET)
        seconds = max(frames, _count(path, handle)) / rate
    else:
        seconds = (frames if frames < wanted else claimed) / rate
    digest.update(f"{seconds:.6f}".encode())
    return seconds, None if silent else digest.hexdigest()


def _reaches(source: decoders.Source, frame: int) -> bool:
    """True if a frame that the header claims can be read; a few bytes can claim years."""
    try:
        source.seek(max(0, frame))
        return len(source.read(1, dtype="float32", always_2d=True)) == 1
    except decoders.ERRORS:
        return False


def _is_silent(path: str | os.PathLike, handle: int) -> bool:
    """True if what decodes of a sound, up to `MAX_SECONDS`, is silence."""
    os.lseek(handle, 0, os.SEEK_SET)
    with decoders.open_sound(path, handle) as source, suppress(*decoders.ERRORS):
        blocks = _blocks(path, source, 0, math.ceil(MAX_SECONDS * source.samplerate))
        return all(map(silence.is_silent, blocks))
    return True


def _count(path: str | os.PathLike, handle: int) -> int:
    """Frames of a sound whose end cannot be reached, as far as it decodes, up to `MAX_SECONDS`."""
    frames = 0
    with decoders.open_sound(path, handle) as source, suppress(*decoders.ERRORS):  # it ends where its decoder gives up
        for block in _blocks(path, source, 0, math.ceil(MAX_SECONDS * source.samplerate)):
            frames += len(block)
    return frames
