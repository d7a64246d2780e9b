"""Random latents: near a model's training sounds, or from the standard normal prior.

All posteriors together never fill the standard normal prior: between them are wide places that no decoder has met, and
a draw from it mostly falls there. The density of what a model was trained on is better told by a Gaussian about each
training sound z_i, with the covariance of its k nearest ones z_j:

    z = z_i + temperature * WIDTH * sum_j e_j (z_j - z_i) / sqrt(k),       i uniform,   e ~ N(0, I)

A random sound varies one training sound in the ways in which its neighbours differ from it. `vaelab.models.familiarity`
measures its novelty, `python -m experiments.quality.prior` its quality.

Source: Vincent and Bengio 2003, "Manifold Parzen windows".
"""

import jax
import numpy as np

from vaelab.library.search import nearest, squared

PRIORS = ("sounds", "normal")
NEIGHBOURS = 10
WIDTH = 0.75


def around(embeddings: np.ndarray, key: jax.Array, count: int, temperature: float = 1.0) -> np.ndarray:
    """Random points about training sounds.

    Args:
        embeddings: Of the training sounds (sounds, latent).
        key: Of the draw.
        count: How many.
        temperature: Scale of the distance from a training sound; 0 is the sounds themselves.

    Returns:
        float32 (count, latent).
    """
    which_key, noise_key = jax.random.split(key)
    points = np.asarray(embeddings, np.float32)
    kernels = min(NEIGHBOURS, len(points) - 1)
    chosen = points[np.asarray(jax.random.randint(which_key, (count,), 0, len(points)))]
    if not kernels:
        return chosen
    near, _ = nearest(points, chosen, kernels + 1, squares=squared(points))  # the first is the sound itself
    eps = np.asarray(jax.random.normal(noise_key, (count, kernels)))
    steps = points[near[:, 1:]] - chosen[:, None, :]
    return chosen + temperature * WIDTH * kernels**-0.5 * np.einsum("nk,nkl->nl", eps, steps)


def normal(latent_dim: int, key: jax.Array, count: int, temperature: float = 1.0) -> np.ndarray:
    """Random points of the standard normal prior, scaled by the temperature: float32 (count, latent)."""
    return temperature * np.asarray(jax.random.normal(key, (count, latent_dim)))
