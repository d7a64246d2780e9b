"""A linear probe of timbre: the directions of latent space in which sounds of a kind agree.

Most latents spell when things happen and how loud each frame is, and a distance over all of them alike hides what
sounds have in common (`python -m experiments.quality.retrieval`). The probe is ridge regression from latents z_i to
standardised statistics of timbre t_i (`vaelab.audio.timbre`), over training sounds and variants of them, tuned,
stretched and tilted:

    minimise   sum_i |(z_i - mean z) B - (t_i - mean t)|^2  +  PENALTY n tr(B^T B)

With `TrainConfig.label_weight` the classes of labelled sounds are targets too, as columns of zeros and ones, so that
sounds of a class come together (`python -m experiments.quality.labelled`). Sounds are compared at z B, of which the
first `DIMENSIONS` principal axes over the sounds are kept. The map is linear: a mix of latents lies between its
sources, by its weights.

Source: Alain and Bengio 2016, "Understanding intermediate layers using linear classifier probes",
https://arxiv.org/abs/1610.01644.
"""

import jax
import numpy as np

from vaelab import model as models
from vaelab.audio import timbre
from vaelab.spectral import dequantise, evenly_spaced, map_stored, quantise
from vaelab.training.augment import varying

PENALTY = 0.03
DIMENSIONS = 64
VARIANTS, KEY = 4, 0  # of each sound; of their noise
MOST_SOUNDS = 2048  # evenly spaced ones stand for more


def fit(
    model: models.Model, levels: np.ndarray, labels: np.ndarray | None = None, label_weight: float = 0.0
) -> np.ndarray:
    """The probe of a model.

    Args:
        model: Trained.
        levels: Stored features of its training sounds, uint8 (sounds, frames, mels).
        labels: Classes of these sounds, (sounds,), -1 where unknown.
        label_weight: Variance of the classes among the targets, as a multiple of that of all statistics; 0 is without.

    Returns:
        float16 (latent, dimensions), fewer dimensions than `DIMENSIONS` where a model has fewer latents.
    """
    chosen = evenly_spaced(len(levels), MOST_SOUNDS)
    sounds = np.asarray(levels[chosen])
    vary = varying(jax.random.key(KEY))
    rows = [sounds, *(np.asarray(quantise(vary(dequantise(sounds)))) for _ in range(VARIANTS))]  # the sounds first
    latents = np.concatenate([map_stored(lambda part: model.encode(dequantise(part)), part) for part in rows])
    measured = np.concatenate([timbre.stored_statistics(part, timbre.CEPSTRA) for part in rows])
    scale = timbre.scale_of(measured[: len(sounds)])
    statistics = ((measured - scale.centre[None]) / scale.spread[None]).astype(float)
    if not label_weight:
        return solve(latents.astype(float), statistics)
    return solve(latents.astype(float), statistics, np.tile(labels[chosen], len(rows)), label_weight)


def solve(
    latents: np.ndarray, statistics: np.ndarray, labels: np.ndarray | None = None, label_weight: float = 0.0
) -> np.ndarray:
    """The probe from latents (n, latent) and standardised statistics (n, statistics): (latent, dimensions).

    With classes, (n,), -1 where unknown, and a weight: also to these, from the labelled latents alone.
    """
    latents = latents - latents.mean(axis=0)[None]
    kernel = _ridge(latents, statistics)
    if label_weight:
        classes = _classes(labels[labels >= 0])
        weight = np.sqrt(label_weight * statistics.var(axis=0).sum() / classes.var(axis=0).sum())
        kernel = np.hstack([kernel, weight * _ridge(latents[labels >= 0], classes)])
    axes = np.linalg.svd(latents @ kernel, full_matrices=False)[2]
    return (kernel @ axes[: min(DIMENSIONS, len(kernel))].T).astype(np.float16)


def _ridge(latents: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Coefficients (latent, targets) of a ridge regression."""
    latents = latents - latents.mean(axis=0)[None]
    penalty = PENALTY * len(latents) * np.eye(latents.shape[1])
    return np.linalg.solve(latents.T @ latents + penalty, latents.T @ (targets - targets.mean(axis=0)[None]))


def _classes(labels: np.ndarray) -> np.ndarray:
    """A column of zeros and ones for each class: (n,) -> (n, classes)."""
    return (labels[:, None] == np.unique(labels)[None, :]).astype(float)
