"""Random latents: near a model's training sounds, or from the standard normal prior.

All posteriors together never fill the standard normal prior: between them are wide places that no decoder has met, and
a draw from it mostly falls there. The density of what a model was trained on is better told by a Gaussian about each
training sound z_i, with the covariance of its k nearest ones z_j:

    z = z_i + temperature * sum_j e_j (z_j - z_i) / sqrt(k),       i uniform,   e ~ N(0, I)

A random sound varies one training sound in the ways in which its neighbours differ from it. `vaelab.models.familiarity`
measures its novelty, `python -m experiments.quality.prior` its quality.

Source: Vincent and Bengio 2003, "Manifold Parzen windows".
"""

from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from vaelab.library.search import nearest, squared
from vaelab.models.familiarity import Reference
from vaelab.play.checks import ToolError, unfinished

PRIORS = ("sounds", "normal")
# Chosen, with a temperature of 1, by `python -m experiments.quality.texture --widths`: nearest to real sounds with at
# most 15 % copies.
NEIGHBOURS = 30


def checked(prior: str | None, of_files: bool, reference: Reference | None, path: Path) -> str | None:
    """The prior of random sounds: "sounds" where a model remembers its training, unless told otherwise; None of files.

    Raises:
        ToolError: No such prior, one for a mix of files, or a model that does not remember its training.
    """
    if of_files:
        if prior is not None:
            raise ToolError(f"prior: expected none with audio_files, found {prior!r}")
        return None
    if prior is None:
        return "normal" if reference is None else "sounds"
    if prior not in PRIORS:
        raise ToolError(f"prior: expected one of {', '.join(PRIORS)}, found {prior!r}")
    if prior == "sounds" and reference is None:
        raise ToolError(f"prior 'sounds': {unfinished(path)}")
    return prior


def check_label(
    label: str | None, prior: str | None, reference: Reference | None, classes: Sequence[str], path: Path
) -> None:
    """Refuse a label unless random sounds are made about training sounds of such a class.

    Raises:
        ToolError: No such class, another prior, or no training sounds of the class that are remembered.
    """
    if label is None:
        return
    if label not in classes:
        expected = f"one of {', '.join(classes)}" if classes else "none, as the model has no classes"
        raise ToolError(f"label: expected {expected}, found {label!r}")
    if prior != "sounds":
        other = "audio_files" if prior is None else f"prior {prior!r}"
        raise ToolError(f"label: expected none with {other}, found {label!r}")
    if not len(remembered(reference, classes, label)):
        raise ToolError(
            f"label {label!r}: {path}: expected training sounds of this class to be remembered, found none; "
            "run `vaelab train --logdir` on the model again"
        )


def remembered(reference: Reference, classes: Sequence[str], label: str | None) -> np.ndarray:
    """Embeddings of the training sounds, or of those of a class: (sounds, latent)."""
    return reference.embeddings if label is None else reference.embeddings[reference.labels == classes.index(label)]


def around(
    embeddings: np.ndarray, key: jax.Array, count: int, temperature: float = 1.0, neighbours: int = NEIGHBOURS
) -> np.ndarray:
    """Random points about training sounds.

    Args:
        embeddings: Of the training sounds (sounds, latent).
        key: Of the draw.
        count: How many.
        temperature: Scale of the distance from a training sound; 0 is the sounds themselves.
        neighbours: k.

    Returns:
        float32 (count, latent).
    """
    which_key, noise_key = jax.random.split(key)
    points = np.asarray(embeddings, np.float32)
    kernels = min(neighbours, len(points) - 1)
    chosen = points[np.asarray(jax.random.randint(which_key, (count,), 0, len(points)))]
    if not kernels:
        return chosen
    near, _ = nearest(points, chosen, kernels + 1, squares=squared(points))  # the first is the sound itself
    eps = np.asarray(jax.random.normal(noise_key, (count, kernels)))
    steps = points[near[:, 1:]] - chosen[:, None, :]
    return chosen + temperature * kernels**-0.5 * np.einsum("nk,nkl->nl", eps, steps)


def normal(latent_dim: int, key: jax.Array, count: int, temperature: float = 1.0) -> np.ndarray:
    """Random points of the standard normal prior, scaled by the temperature: float32 (count, latent)."""
    return temperature * np.asarray(jax.random.normal(key, (count, latent_dim)))
