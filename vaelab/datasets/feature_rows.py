"""Decoded sounds to rows of features as the store keeps them, in batches, while others are being decoded.

Most sounds are short: one goes through the front end of the whole clip, of half of it or of a quarter, whichever is
the shortest that holds it. A front end always gets batches of one size, padded, so that a row's bytes do not depend
on its neighbours.
"""

import contextlib
import dataclasses
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache

import numpy as np

from vaelab import spectral
from vaelab.config import AudioConfig, ConfigError

BATCH = 8  # clips in one pass, at most
WINDOWS_BYTES = 3 << 20  # of their windows, to stay in the processor's cache: 8 clips of 2 s take 1.3 times longer each
THREADS = 2  # that compute: XLA runs a Fourier transform on one processor only

Keyed = tuple[str, np.ndarray]


def computed(sounds: Iterable[Keyed], config: AudioConfig) -> Iterator[tuple[list[str], np.ndarray]]:
    """Keys and features, uint8 (n, frames, mels), of sounds, in batches, each in the order of its sounds.

    Args:
        sounds: Key and samples (samples,) of each, at the config's rate; what is longer than a clip is cropped.
        config: The front end.
    """
    waiting: deque[tuple[list[str], Future]] = deque()
    with ThreadPoolExecutor(THREADS) as threads:
        for front_end, batch in _batches(sounds, config):
            keys, clips = zip(*batch, strict=True)
            waiting.append((list(keys), threads.submit(_rows, clips, front_end, config)))
            if len(waiting) > 2 * THREADS:
                keys, rows = waiting.popleft()
                yield keys, rows.result()
        for keys, rows in waiting:
            yield keys, rows.result()


def _batches(sounds: Iterable[Keyed], config: AudioConfig) -> Iterator[tuple[AudioConfig, list[Keyed]]]:
    """Sounds in batches of like length, each with the shortest front end that holds them."""
    waiting: dict[AudioConfig, list[Keyed]] = defaultdict(list)
    for key, samples in sounds:
        *shorter, whole = front_ends(config)
        front_end = next((part for part in shorter if holds(part, len(samples))), whole)
        waiting[front_end].append((key, samples))
        if len(waiting[front_end]) == batch_size(front_end):
            yield front_end, waiting.pop(front_end)
    yield from waiting.items()


def _rows(clips: Sequence[np.ndarray], front_end: AudioConfig, config: AudioConfig) -> np.ndarray:
    """Features of up to one batch of clips.

    Frames beyond the front end are silence, whose value follows from the level as in `spectral.mel`.
    """
    padded = np.zeros((batch_size(front_end), front_end.samples), np.float32)
    for row, samples in zip(padded, clips, strict=False):
        row[: len(samples)] = samples[: len(row)]
    values, level_db = (np.asarray(part)[: len(clips)] for part in spectral.stored_mel(padded, front_end))
    silence_db = 10 * np.log10(spectral.POWER_FLOOR) - level_db
    silence = np.round(np.clip(1 + silence_db / config.top_db, 0, 1) * spectral.LEVELS)
    silence = np.where(values.any(axis=(1, 2)), silence, 0)
    features = np.empty((len(clips), config.frames, config.n_mels), np.uint8)
    features[:, : front_end.frames] = values
    features[:, front_end.frames :] = silence[:, None, None]
    return features


@lru_cache
def front_ends(config: AudioConfig) -> tuple[AudioConfig, ...]:
    """A config and its like for a quarter and a half of the clip, shortest first."""
    shorter = []
    for parts in (4, 2):
        with contextlib.suppress(ConfigError):  # shorter than a window
            shorter.append(dataclasses.replace(config, clip_seconds=config.clip_seconds / parts))
    return (*shorter, config)


def batch_size(front_end: AudioConfig) -> int:
    """Clips in one pass of a front end."""
    return min(BATCH, max(1, WINDOWS_BYTES // (4 * front_end.frames * front_end.n_fft)))


def holds(front_end: AudioConfig, samples: int) -> bool:
    """True if every window that overlaps a sound lies within a front end's frames."""
    return front_end.frames * front_end.hop_length - front_end.n_fft // 2 >= samples
