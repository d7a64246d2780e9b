"""A linear probe of timbre: the directions of latent space in which sounds of a kind agree.

Most latents spell when things happen and how loud each frame is, and a distance over all of them alike hides what
sounds have in common (`python -m experiments.quality.retrieval`). The probe is ridge regression from latents z_i to
standardised statistics of timbre t_i (`vaelab.audio.timbre`), over training sounds and variants of them, tuned,
stretched and tilted:

    minimise   sum_i |(z_i - mean z) B - (t_i - mean t)|^2  +  PENALTY n tr(B^T B)

Sounds are compared at z B, of which the first `DIMENSIONS` principal axes over the sounds are kept. The map is linear:
a mix of latents lies between its sources, by its weights.

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


def fit(model: models.Model, levels: np.ndarray) -> np.ndarray:
    """The probe of a model.

    Args:
        model: Trained.
        levels: Stored features of its training sounds, uint8 (sounds, frames, mels).

    Returns:
        float16 (latent, dimensions), fewer dimensions than `DIMENSIONS` where a model has fewer latents.
    """
    sounds = np.asarray(levels[evenly_spaced(len(levels), MOST_SOUNDS)])
    vary = varying(jax.random.key(KEY))
    rows = [sounds, *(np.asarray(quantise(vary(dequantise(sounds)))) for _ in range(VARIANTS))]  # the sounds first
    latents = np.concatenate([map_stored(lambda part: model.encode(dequantise(part)), part) for part in rows])
    measured = np.concatenate([timbre.stored_statistics(part, timbre.CEPSTRA) for part in rows])
    scale = timbre.scale_of(measured[: len(sounds)])
    return solve(latents.astype(float), ((measured - scale.centre[None]) / scale.spread[None]).astype(float))


def solve(latents: np.ndarray, statistics: np.ndarray) -> np.ndarray:
    """The probe from latents (n, latent) and standardised statistics (n, statistics): (latent, dimensions)."""
    latents = latents - latents.mean(axis=0)[None]
    penalty = PENALTY * len(latents) * np.eye(latents.shape[1])
    kernel = np.linalg.solve(latents.T @ latents + penalty, latents.T @ (statistics - statistics.mean(axis=0)[None]))
    axes = np.linalg.svd(latents @ kernel, full_matrices=False)[2]
    return (kernel @ axes[: min(DIMENSIONS, len(kernel))].T).astype(np.float16)
