"""The classifier in closed form: regularised least squares with a Gaussian kernel, solved before the first step.

With k_i the kernel between the timbres of sound i and of the landmarks (`vaelab.networks.LandmarkKernel`), K the same
among the landmarks, y_i the sound's class as a one-hot vector, s_i its share of all weights, and b the mean of y under
these shares,

    minimise   sum_i s_i |k_i A + b - y_i|^2  +  PENALTY tr(A^T K A)

which, with K = U diag(e) U^T, is ridge regression on k_i U diag(e)^(-1/2). Its one solution depends on the sounds
alone, not on a rate, a schedule or the VAE beside it. Scores k A + b estimate the probabilities of classes, but may be
negative; the head's probabilities are softmax(sharpness * scores). The sharpness maximises the likelihood of the
training sounds' classes, each scored by a solution that leaves out its block: a stretch of its class in the order of
the dataset, which is that of folders. One that leaves out the sound alone has met others of its folder, and would be
too sure of sounds of other makers. This needs no other solutions: with r = y - k A - b of a block, and H the derivative
of its scores by its y, the residuals of a block left out are (1 - H)^(-1) r.

Detailed timbres (`ModelConfig.timbre`) are weighted first, in proportion to the share of a statistic's variance that
lies between the classes' means: what tells classes apart decides which sounds are close.

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

PENALTY = 3e-4
WIDTH = 0.5  # of the kernel where statistics are weighted, in deviations of a weighted statistic
BLOCKS = 10  # of each class
LEAST_POWER = 1e-5  # of an axis, relative to the largest: with fewer sounds than `LANDMARKS` some are landmarks twice
MOST_SOUNDS = 8192  # evenly spaced ones stand for more
LEAST_VARIANCE = 1e-12  # of a statistic that is the same for all
SHARPNESS = (1.0, 100.0)  # from hardly any difference to next to certainty


def fitted(model: models.Model, training: Sounds) -> models.Model:
    """Fit landmarks and head to training sounds.

    Args:
        model: Already with the timbre scale of these sounds.
        training: Sounds and their labels.

    Returns:
        Another model; without any labelled sound it gives all classes the same probability.
    """
    ((name, classes),) = model.config.labels
    labelled = np.flatnonzero(training.labels >= 0)
    if not len(labelled):
        labelled = np.arange(len(training.labels))
    chosen = labelled[evenly_spaced(len(labelled), MOST_SOUNDS)]
    labels, weights = training.labels[chosen], training.weights[chosen]
    timbres = map_stored(lambda levels: _timbre(model, levels), training.features, chosen)
    if "weight" in model.params["timbre"]:
        weight = relevance(timbres, labels, weights)
        timbres = timbres * weight[None]
        scale = {**model.params["timbre"], "weight": jnp.asarray(weight)}
        model = dataclasses.replace(model, params={**model.params, "timbre": scale})
    landmarks = evenly_spaced(len(timbres), LANDMARKS)
    ear = {"known": np.resize(timbres[landmarks], (LANDMARKS, timbres.shape[1]))}
    model = dataclasses.replace(model, params={**model.params, "ear": ear})
    kernels = np.asarray(_kernel(model, timbres), float)
    axes = whitening(np.resize(kernels[landmarks], (LANDMARKS, LANDMARKS)))
    inputs = kernels @ axes
    kernel, bias = solve(inputs, labels, weights, len(classes))
    head = {"kernel": jnp.asarray(axes @ kernel, jnp.float32), "bias": jnp.asarray(bias, jnp.float32)}
    return dataclasses.replace(model, params={**model.params, models.HEAD + name: head})


def relevance(timbres: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weights of statistics by how well each tells the classes apart, of mean square 1 / WIDTH^2.

    Args:
        timbres: Unweighted (sounds, statistics).
        labels: Classes (sounds,), -1 where unknown.
        weights: Of each sound (sounds,), in any unit.

    Returns:
        float32 (statistics,), all the same where no two classes differ.
    """
    usable = (labels >= 0) & (weights > 0)
    shares = np.zeros(timbres.shape[1])
    if usable.any():
        timbres, weights = timbres[usable].astype(float), weights[usable].astype(float)
        one_hot = np.eye(labels.max() + 1)[labels[usable]] * weights[:, None]
        present = one_hot.sum(axis=0) > 0
        means = (one_hot.T @ timbres)[present] / one_hot.sum(axis=0)[present, None]
        within = weights @ (timbres - means[np.cumsum(present)[labels[usable]] - 1]) ** 2 / weights.sum()
        between = means.var(axis=0)
        shares = between / np.maximum(between + within, LEAST_VARIANCE)
    if not shares.any():
        shares = np.ones(len(shares))
    return (shares / np.sqrt((shares**2).mean()) / WIDTH).astype(np.float32)


def whitening(kernel: np.ndarray) -> np.ndarray:
    """U diag(e)^(-1/2) of the kernel matrix of the landmarks (landmarks, landmarks): (landmarks, rank)."""
    power, axes = np.linalg.eigh((kernel + kernel.T) / 2)
    significant = power > LEAST_POWER * power[-1]
    return axes[:, significant] / np.sqrt(power[significant])


def solve(
    inputs: np.ndarray, labels: np.ndarray, weights: np.ndarray, classes: int, penalty: float = PENALTY
) -> tuple[np.ndarray, np.ndarray]:
    """Solve the head.

    Args:
        inputs: (sounds, any).
        labels: Classes (sounds,), -1 where unknown.
        weights: Of each sound (sounds,), in any unit.
        classes: Number of classes.
        penalty: Of the ridge regression.

    Returns:
        Kernel (any, classes) and bias (classes,); zeros without any label.
    """
    usable = (labels >= 0) & (weights > 0)
    if not usable.any():
        return np.zeros((inputs.shape[1], classes)), np.zeros(classes)
    truth, shares = np.eye(classes)[labels[usable]], weights[usable].astype(float) / weights[usable].sum()
    rate = shares @ truth
    kernel, left_out = ridge(inputs[usable].astype(float), truth - rate, shares, blocks(labels[usable]), penalty)
    factor = sharpness(left_out + rate, truth, shares)
    return factor * kernel, factor * rate


def blocks(labels: np.ndarray) -> np.ndarray:
    """Numbers of `BLOCKS` blocks, each a stretch of every class: labels (sounds,) -> (sounds,)."""
    numbers = np.zeros(len(labels), int)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        numbers[members] = np.arange(len(members)) * BLOCKS // len(members)
    return numbers


def ridge(
    inputs: np.ndarray, aims: np.ndarray, shares: np.ndarray, numbers: np.ndarray, penalty: float = PENALTY
) -> tuple[np.ndarray, np.ndarray]:
    """Solve the ridge regression, and score each sound by the solution that leaves out its block.

    Args:
        inputs: (sounds, any).
        aims: (sounds, classes).
        shares: Weights (sounds,).
        numbers: Of blocks (sounds,).
        penalty: Weight of the kernel's square.

    Returns:
        Kernel (any, classes), and scores (sounds, classes).
    """
    pulled = inputs.T * shares
    gram = pulled @ inputs + penalty * np.eye(inputs.shape[1])
    solved = scipy.linalg.solve(gram, np.concatenate([pulled @ aims, pulled], axis=1), assume_a="pos")
    kernel, reach = solved[:, : aims.shape[1]], solved[:, aims.shape[1] :]
    residuals = aims - inputs @ kernel
    left_out = np.empty_like(residuals)
    for number in np.unique(numbers):
        inside = numbers == number
        own = inputs[inside] @ reach[:, inside]
        left_out[inside] = aims[inside] - np.linalg.solve(np.eye(inside.sum()) - own, residuals[inside])
    return kernel, left_out


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
