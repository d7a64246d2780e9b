"""Principal components of the training sounds, in closed form: where a model starts from.

With n sounds x_i as rows of X (n, frames * mels), after a link and minus their mean:

    X X^T = U diag(w) U^T          axes = diag(w)^(-1/2) U^T X          spread = sqrt(w / n)

`axes` are orthonormal, and the coordinates of the sounds along them have the standard deviations `spread`. The Gram
matrix X X^T is small, (n, n), however long the sounds are. Its single precision leaves a little of the first axes in
the late ones, which a QR decomposition takes out. Variants of the sounds, tuned, stretched and tilted, may stand among
the rows of X: axes that explain these too explain foreign sounds better (`python -m experiments.quality.variants`).

The link is what a decoder's output is measured in: features themselves for the Laplace likelihood, their logits for
cross-entropy. Source: Jolliffe 2002, "Principal component analysis", section 3.5.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy

from vaelab.spectral import LEVELS, dequantise, evenly_spaced

MOST_ROWS = 4608  # sounds and variants: some ten seconds
LEAST_FEATURE = 1 / LEVELS  # of the logit, one stored level from silence and from the maximum
LEAST_SPREAD = 1e-3


class Principal(NamedTuple):
    """The components of a set of sounds.

    Attributes:
        centre: Mean linked feature, float32 (frames, mels).
        axes: Orthonormal, float32 (components, frames, mels); zeros where the sounds have fewer.
        spread: Standard deviation of the sounds along each axis, falling, float32 (components,).
        error: Mean distance in each band between linked features and their first `leading` components, float32 (mels,).
    """

    centre: np.ndarray
    axes: np.ndarray
    spread: np.ndarray
    error: np.ndarray


def fit(
    levels: np.ndarray,
    count: int,
    leading: int,
    logits: bool,
    vary: Callable[[np.ndarray], np.ndarray] | None = None,
    variants: int = 0,
    most_rows: int = MOST_ROWS,
) -> Principal:
    """The components of stored features.

    Args:
        levels: uint8 (sounds, frames, mels); of more than `most_rows`, or half as many with variants, evenly spaced
            ones are read.
        count: How many components.
        leading: How many of the first components `error` is measured behind.
        logits: The link: logits of features instead of features.
        vary: Features (sounds, frames, mels) -> other ones that might be sounds too, another time others.
        variants: How often it is called, less often where rows would be more than `most_rows`.
        most_rows: Sounds and variants at most.
    """
    chosen = evenly_spaced(len(levels), max(1, most_rows // (2 if variants else 1)))
    features = dequantise(np.asarray(levels[chosen]))
    variants = min(variants, most_rows // len(features) - 1)
    rows = np.concatenate([features, *(vary(features) for _ in range(variants))])
    sounds, *shape = rows.shape
    linked = link(rows, logits).reshape(sounds, -1)
    centre = linked.mean(axis=0)
    linked -= centre[None, :]
    axes = np.zeros((count, linked.shape[1]), np.float32)
    spread = np.full(count, LEAST_SPREAD, np.float32)
    rank = min(count, sounds - 1)
    if rank:
        power, weights = scipy.linalg.eigh(linked @ linked.T, subset_by_index=(sounds - rank, sounds - 1))
        power, weights = power[::-1], weights[:, ::-1]
        differ = power > sounds * LEAST_SPREAD**2  # equal sounds leave nothing but rounding
        axes[:rank][differ] = _orthonormal(linked.T @ (weights[:, differ] / np.sqrt(power[differ])))
        spread[:rank][differ] = np.sqrt(power[differ] / sounds)
    leading_axes = axes[:leading]
    real = linked[: len(features)]
    error = np.abs(real - (real @ leading_axes.T) @ leading_axes).reshape(features.shape).mean(axis=(0, 1))
    return Principal(centre.reshape(shape), axes.reshape(count, *shape), spread, error)


def _orthonormal(columns: np.ndarray) -> np.ndarray:
    """Gram-Schmidt of nearly orthonormal columns (size, count), the first first, signs as they were: (count, size)."""
    orthonormal, triangle = np.linalg.qr(columns)
    return (orthonormal * np.sign(np.diag(triangle))[None, :]).T


def link(features: np.ndarray, logits: bool) -> np.ndarray:
    """Features in [0, 1], or their logits within one level of the ends: any shape."""
    if not logits:
        return features
    inside = features.clip(LEAST_FEATURE, 1 - LEAST_FEATURE)
    return np.log(inside / (1 - inside))
