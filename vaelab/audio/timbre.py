"""Timbre features for classification and search: statistics of the cepstrum over time, and decay times of band groups.

The cepstrum of a frame is the cosine transform of its mel bands in dB; its first numbers are the level and the rough
shape of the spectrum. Taken are their mean and deviation over the clip, those of their differences from frame to frame,
and their means over stretches that double in length: attack, body, decay. Beside them stands, for each of some groups
of neighbouring bands, the logarithm of how many frames are within 1/8, 1/4 and 1/2 of the dynamic range of the group's
maximum: 10, 20 and 40 dB of 80.

Source: Davis and Mermelstein 1980, "Comparison of parametric representations for monosyllabic word recognition".
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy

from vaelab.spectral import dequantise, evenly_spaced, map_stored

MOST_SOUNDS = 2048  # from which the scale is measured
LEAST_SPREAD = 1e-4
CEPSTRA = 16  # by which sounds are compared: 256 statistics of a clip of the default front end
GROUPS = 16
FALLS = (1 / 8, 1 / 4, 1 / 2)  # shares of the dynamic range


class Scale(NamedTuple):
    """Mean and standard deviation of each statistic over the training sounds, float32 (statistics,) both."""

    centre: np.ndarray
    spread: np.ndarray


def statistics(features: jax.Array, cepstra: int) -> jax.Array:
    """Statistics of the first numbers of the cepstrum: (batch, frames, mels) in [0, 1] -> (batch, statistics)."""
    basis = jnp.asarray(scipy.fft.dct(np.eye(features.shape[2]), axis=1, norm="ortho")[:, :cepstra], features.dtype)
    cepstrum = features @ basis
    changes = cepstrum[:, 1:] - cepstrum[:, :-1]
    parts = [part for over in (cepstrum, changes) for part in (over.mean(axis=1), over.std(axis=1))]
    parts += [cepstrum[:, start:end].mean(axis=1) for start, end in _stretches(features.shape[1])]
    return jnp.concatenate([*parts, lasting(features)], axis=1)


def lasting(features: jax.Array) -> jax.Array:
    """log(1 + frames) that each group of bands is near its maximum: (batch, frames, mels) -> (batch, any)."""
    groups = np.array_split(np.eye(features.shape[2]), min(GROUPS, features.shape[2]))
    means = np.stack([group.mean(axis=0) for group in groups], axis=1)
    levels = features @ jnp.asarray(means, features.dtype)
    near = (levels > levels.max(axis=1, keepdims=True) - fall for fall in FALLS)
    return jnp.concatenate([jnp.log1p(frames.sum(axis=1).astype(features.dtype)) for frames in near], axis=1)


def fit(levels: np.ndarray, cepstra: int) -> Scale:
    """The scale of stored features, uint8 (sounds, frames, mels); at most `MOST_SOUNDS` of them are read."""
    measured = stored_statistics(levels, cepstra, evenly_spaced(len(levels), MOST_SOUNDS))
    return Scale(measured.mean(axis=0), np.maximum(measured.std(axis=0), LEAST_SPREAD))


def stored_statistics(levels: np.ndarray, cepstra: int, chosen: np.ndarray | None = None) -> np.ndarray:
    """The statistics of stored features, uint8 (sounds, frames, mels), or of the chosen: float32 (any, statistics)."""
    return map_stored(lambda batch: _stored_statistics(batch, cepstra), levels, chosen)


# Last digits decide which frames are near the maximum: dequantised elsewhere, timbres would differ from stored ones.
@partial(jax.jit, static_argnames="cepstra")
def _stored_statistics(levels: jax.Array, cepstra: int) -> jax.Array:
    return statistics(dequantise(levels), cepstra)


def _stretches(frames: int) -> list[tuple[int, int]]:
    """First and last frame of stretches that double in length: 0 to 1, 1 to 2, 2 to 4, ..."""
    ends = [1 << power for power in range(frames.bit_length()) if 1 << power < frames]
    return list(zip([0, *ends], [*ends, frames], strict=True))
