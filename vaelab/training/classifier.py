"""The classifier in closed form: regularised least squares with a Gaussian kernel, solved before the first step.

With k_i the kernel between the timbres of sound i and of the landmarks (`vaelab.networks.LandmarkKernel`), K the same
among the landmarks, y_i the sound's class as a one-hot vector, s_i its share of all weights, and b the mean of y under
these shares,

    minimise   sum_i s_i |k_i A + b - y_i|^2  +  PENALTY tr(A^T K A)

which, with K = U diag(e) U^T, is ridge regression on k_i U diag(e)^(-1/2). Its one solution depends on the sounds
alone, not on a rate, a schedule or the VAE beside it. Scores k A + b estimate the probabilities of classes, but may be
negative; the head's probabilities are softmax(sharpness * scores). The sharpness maximises the likelihood of the
training sounds' classes, each scored by a solution that leaves it out. This needs no other solutions: with r_i = y_i -
k_i A - b and u_i the derivative of sound i's score by y_i, the residual of a sound left out is r_i / (1 - u_i).

Sources: Rifkin, Yeo and Poggio 2003, "Regularized least-squares classification"; Williams and Seeger 2001, "Using the
Nystroem method to speed up kernel machines"; Guo et al. 2017, https://arxiv.org/abs/1706.04599.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from scipy.special import log_softmax

from vaelab import model as models
from vaelab.models.evaluate import Sounds
from vaelab.networks import LANDMARKS
from vaelab.spectral import dequantise, evenly_spaced, map_stored

PENALTY = 1e-3
LEAST_POWER = 1e-5  # of an axis, relative to the largest: with fewer sounds than `LANDMARKS` some are landmarks twice
MOST_SOUNDS = 8192  # evenly spaced ones stand for more
SHARPNESS = (1.0, 100.0)  # from hardly any difference to next to certainty


def fitted(model: models.Model, training: Sounds) -> models.Model:
    """Fit landmarks and head to training sounds.

    Args:
        model: Already with the timbre scale of these sounds.
        training: Sounds and their labels.

    Returns:
        Another model; without any labelled sound it gives all classes the same probability.
    """
    labelled = np.flatnonzero(training.labels >= 0)
    if not len(labelled):
        labelled = np.arange(len(training.labels))
    chosen = labelled[evenly_spaced(len(labelled), MOST_SOUNDS)]
    timbres = map_stored(lambda levels: _timbre(model, levels), training.features, chosen)
    landmarks = evenly_spaced(len(timbres), LANDMARKS)
    ear = {"known": np.resize(timbres[landmarks], (LANDMARKS, timbres.shape[1]))}
    model = dataclasses.replace(model, params={**model.params, "ear": ear})
    kernels = np.asarray(_kernel(model, timbres), float)
    axes = whitening(np.resize(kernels[landmarks], (LANDMARKS, LANDMARKS)))
    inputs = kernels @ axes
    ((name, classes),) = model.config.labels
    kernel, bias = solve(inputs, training.labels[chosen], training.weights[chosen], len(classes))
    head = {"kernel": jnp.asarray(axes @ kernel, jnp.float32), "bias": jnp.asarray(bias, jnp.float32)}
    return dataclasses.replace(model, params={**model.params, models.HEAD + name: head})


def whitening(kernel: np.ndarray) -> np.ndarray:
    """U diag(e)^(-1/2) of the kernel matrix of the landmarks (landmarks, landmarks): (landmarks, rank)."""
    power, axes = np.linalg.eigh((kernel + kernel.T) / 2)
    significant = power > LEAST_POWER * power[-1]
    return axes[:, significant] / np.sqrt(power[significant])


def solve(inputs: np.ndarray, labels: np.ndarray, weights: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Solve the head.

    Args:
        inputs: (sounds, any).
        labels: Classes (sounds,), -1 where unknown.
        weights: Of each sound (sounds,), in any unit.
        classes: Number of classes.

    Returns:
        Kernel (any, classes) and bias (classes,); zeros without any label.
    """
    usable = (labels >= 0) & (weights > 0)
    if not usable.any():
        return np.zeros((inputs.shape[1], classes)), np.zeros(classes)
    truth, shares = np.eye(classes)[labels[usable]], weights[usable].astype(float) / weights[usable].sum()
    rate = shares @ truth
    kernel, left_out = ridge(inputs[usable].astype(float), truth - rate, shares)
    factor = sharpness(left_out + rate, truth, shares)
    return factor * kernel, factor * rate


def ridge(inputs: np.ndarray, aims: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Solve the ridge regression, and score each sound by the solution that leaves it out.

    Args:
        inputs: (sounds, any).
        aims: (sounds, classes).
        shares: Weights (sounds,).

    Returns:
        Kernel (any, classes), and scores (sounds, classes).
    """
    pulled = inputs.T * shares
    gram = pulled @ inputs + PENALTY * np.eye(inputs.shape[1])
    solved = scipy.linalg.solve(gram, np.concatenate([pulled @ aims, pulled], axis=1), assume_a="pos")
    kernel, reach = solved[:, : aims.shape[1]], solved[:, aims.shape[1] :]
    own = (inputs.T * reach).sum(axis=0)
    return kernel, aims - (aims - inputs @ kernel) / (1 - own)[:, None]


def sharpness(scores: np.ndarray, truth: np.ndarray, shares: np.ndarray) -> float:
    """The factor of scores (sounds, classes) under which their softmax makes the truth most probable."""

    def nats(log_factor: float) -> float:
        return -shares @ (truth * log_softmax(np.exp(log_factor) * scores, axis=1)).sum(axis=1)

    return float(np.exp(scipy.optimize.minimize_scalar(nats, bounds=np.log(SHARPNESS), method="bounded").x))


@jax.jit
def _timbre(model: models.Model, levels: jax.Array) -> jax.Array:
    features = dequantise(levels)
    return model.module.apply({"params": model.params}, features, method=lambda module, batch: module.timbre(batch))


@jax.jit
def _kernel(model: models.Model, timbres: jax.Array) -> jax.Array:
    return model.module.apply({"params": model.params}, timbres, method=lambda module, batch: module.landmarks(batch))
