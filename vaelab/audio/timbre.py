"""Timbre features for classification and search: statistics of the cepstrum over time, and decay times of band groups.

The cepstrum of a frame is the cosine transform of its mel bands in dB; its first numbers are the level and the rough
shape of the spectrum. Taken are their mean and deviation over the clip, those of their differences from frame to frame,
and their means over stretches that double in length: attack, body, decay. Beside them stands, for each of some groups
of neighbouring bands, the logarithm of how many frames are within 1/8, 1/4 and 1/2 of the dynamic range of the group's
maximum: 10, 20 and 40 dB of 80.

Detailed statistics add the envelope of the power, the loudest low band and its course (a tom holds its pitch, that of a
kick falls), and how far single bands stand out from their neighbours (a ride rings, a hat hisses).

Source: Davis and Mermelstein 1980, "Comparison of parametric representations for monosyllabic word recognition".
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy

from vaelab.spectral import AUDIBLE, dequantise, evenly_spaced, map_stored

MOST_SOUNDS = 2048  # from which the scale is measured
LEAST_SPREAD = 1e-4
CEPSTRA = 16  # by which sounds are compared: 256 statistics of a clip of the default front end
GROUPS = 16
FALLS = (1 / 8, 1 / 4, 1 / 2)  # shares of the dynamic range
RANGE_DB = 80  # that features are taken to span in what is "detailed"
ENVELOPE_DB = (3, 6, 12, 20, 30, 45)  # below the maximum of the power
LOW_DB = (6, 15, 30)  # below the maximum of the low bands
LOW = 5 / 16  # of the bands: those below 1.1 kHz, of the default front end
PITCH_STRETCHES = 6  # up to 32 frames, 0.4 s
SMOOTH = 4.0  # bands, the deviation of the Gaussian that a band is compared with
DETAIL_GROUPS = 8
SILENT = 1e-12  # of the maximal power


class Scale(NamedTuple):
    """Mean and standard deviation of each statistic over the training sounds, float32 (statistics,) both."""

    centre: np.ndarray
    spread: np.ndarray


def statistics(features: jax.Array, cepstra: int, detailed: bool = False) -> jax.Array:
    """Statistics of the first numbers of the cepstrum: (batch, frames, mels) in [0, 1] -> (batch, statistics).

    Args:
        features: Of a batch.
        cepstra: How many numbers.
        detailed: Add `envelope`, `low_pitch` and `tonality`.
    """
    basis = jnp.asarray(scipy.fft.dct(np.eye(features.shape[2]), axis=1, norm="ortho")[:, :cepstra], features.dtype)
    cepstrum = features @ basis
    changes = cepstrum[:, 1:] - cepstrum[:, :-1] if features.shape[1] > 1 else jnp.zeros_like(cepstrum)
    parts = [part for over in (cepstrum, changes) for part in (over.mean(axis=1), over.std(axis=1))]
    parts += [cepstrum[:, start:end].mean(axis=1) for start, end in _stretches(features.shape[1])]
    parts += [lasting(features)]
    if detailed:
        parts += [envelope(features), low_pitch(features), tonality(features)]
    return jnp.concatenate(parts, axis=1)


def count(frames: int, mels: int, cepstra: int, detailed: bool = False) -> int:
    """Number of statistics of clips of this size: the columns that `statistics` has, which takes long to trace."""
    stretches = len(_stretches(frames))
    plain = (4 + stretches) * min(cepstra, mels) + len(FALLS) * min(GROUPS, mels)
    if not detailed:
        return plain
    low = 2 * min(PITCH_STRETCHES, stretches) + len(LOW_DB)
    return plain + len(ENVELOPE_DB) + 2 + low + stretches + min(DETAIL_GROUPS, mels)


def envelope(features: jax.Array) -> jax.Array:
    """log(1 + frames) near the maximal power, before it, and to its centre: (batch, frames, mels) -> (batch, 8)."""
    cells = jnp.where(features > 0, 10 ** (RANGE_DB / 10 * (features - 1)), 0)
    power = cells.sum(axis=2)
    power = power / jnp.maximum(power.max(axis=1, keepdims=True), SILENT)
    near = [(power > 10 ** (-fall / 10)).sum(axis=1) for fall in ENVELOPE_DB]
    times = jnp.arange(power.shape[1], dtype=features.dtype)
    centre = power @ times / jnp.maximum(power.sum(axis=1), SILENT)
    columns = [*near, power.argmax(axis=1), centre]
    return jnp.log1p(jnp.stack([column.astype(features.dtype) for column in columns], axis=1))


def low_pitch(features: jax.Array) -> jax.Array:
    """Loudest low band of the first stretches, its level, and decay times: (batch, frames, mels) -> (batch, any)."""
    mels = features.shape[2]
    low = features[:, :, : max(1, round(LOW * mels))]
    means = [low[:, start:end].mean(axis=1) for start, end in _stretches(features.shape[1])[:PITCH_STRETCHES]]
    bands = [mean.argmax(axis=1).astype(features.dtype) / mels for mean in means]
    loudest = low.max(axis=2)
    top = loudest.max(axis=1, keepdims=True)
    near = [jnp.log1p((loudest > top - fall / RANGE_DB).sum(axis=1).astype(features.dtype)) for fall in LOW_DB]
    return jnp.stack([*bands, *(mean.max(axis=1) for mean in means), *near], axis=1)


def tonality(features: jax.Array) -> jax.Array:
    """Mean distance of audible cells from the smoothed spectrum, over stretches of time and groups of bands.

    (batch, frames, mels) -> (batch, any).
    """
    mels = features.shape[2]
    smoothing = scipy.ndimage.gaussian_filter1d(np.eye(mels), SMOOTH, axis=0)
    audible = (features > AUDIBLE).astype(features.dtype)
    detail = jnp.abs(features - features @ jnp.asarray(smoothing.T, features.dtype)) * audible

    def mean(part: tuple) -> jax.Array:
        return detail[part].sum(axis=(1, 2)) / jnp.maximum(audible[part].sum(axis=(1, 2)), 1)

    times = [np.s_[:, start:end] for start, end in _stretches(features.shape[1])]
    bands = [np.s_[:, :, group] for group in np.array_split(np.arange(mels), min(DETAIL_GROUPS, mels))]
    return jnp.stack([mean(part) for part in (*times, *bands)], axis=1)


def lasting(features: jax.Array) -> jax.Array:
    """log(1 + frames) that each group of bands is near its maximum: (batch, frames, mels) -> (batch, any)."""
    groups = np.array_split(np.eye(features.shape[2]), min(GROUPS, features.shape[2]))
    means = np.stack([group.mean(axis=0) for group in groups], axis=1)
    levels = features @ jnp.asarray(means, features.dtype)
    near = (levels > levels.max(axis=1, keepdims=True) - fall for fall in FALLS)
    return jnp.concatenate([jnp.log1p(frames.sum(axis=1).astype(features.dtype)) for frames in near], axis=1)


def fit(levels: np.ndarray, cepstra: int, detailed: bool = False) -> Scale:
    """The scale of stored features, uint8 (sounds, frames, mels); at most `MOST_SOUNDS` of them are read."""
    return scale_of(stored_statistics(levels, cepstra, evenly_spaced(len(levels), MOST_SOUNDS), detailed))


def scale_of(measured: np.ndarray) -> Scale:
    """The scale of measured statistics (sounds, statistics)."""
    return Scale(measured.mean(axis=0), np.maximum(measured.std(axis=0), LEAST_SPREAD))


def stored_statistics(
    levels: np.ndarray, cepstra: int, chosen: np.ndarray | None = None, detailed: bool = False
) -> np.ndarray:
    """The statistics of stored features, uint8 (sounds, frames, mels), or of the chosen: float32 (any, statistics)."""
    return map_stored(lambda batch: _stored_statistics(batch, cepstra, detailed), levels, chosen)


# Last digits decide which frames are near the maximum: dequantised elsewhere, timbres would differ from stored ones.
@partial(jax.jit, static_argnames=("cepstra", "detailed"))
def _stored_statistics(levels: jax.Array, cepstra: int, detailed: bool) -> jax.Array:
    return statistics(dequantise(levels), cepstra, detailed)


def _stretches(frames: int) -> list[tuple[int, int]]:
    """First and last frame of stretches that double in length: 0 to 1, 1 to 2, 2 to 4, ..."""
    ends = [1 << power for power in range(frames.bit_length()) if 1 << power < frames]
    return list(zip([0, *ends], [*ends, frames], strict=True))
