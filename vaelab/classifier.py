"""Classifier heads in closed form: multinomial logistic regression, solved once, before the first step.

With h_i what a model hears of a sound (`vaelab.timbre`, through random features), y_i its class and w_i its weight,

    minimise   -sum_i w_i log softmax(h_i A + b)[y_i] / sum_i w_i  +  PENALTY / 2 |A|^2

The problem is convex: its one solution depends on the sounds alone, not on a rate, a schedule or the VAE beside it.
Each label set is solved by itself, on the sounds whose label is known; beside each sound stand some changed at random,
as the knobs of `TrainConfig` for augmentation say.

Source: Hastie, Tibshirani and Friedman 2009, "The elements of statistical learning", sections 4.4 and 18.3.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from vaelab import model as models
from vaelab.augment import augment
from vaelab.config import Config
from vaelab.evaluate import Sounds

PENALTY = 1e-3
COPIES = 2  # of each sound, changed at random
MOST_SOUNDS = 8192  # evenly spaced ones stand for more
BATCH = 64
STEPS = 500


def fitted(model: models.Model, training: Sounds, config: Config, key: jax.Array) -> models.Model:
    """The model with the heads that its training sounds call for.

    Args:
        model: Whose scale of timbre is that of the sounds already.
        training: Sounds, with a label set for each head.
        config: Knobs of augmentation.
        key: Of it.

    Returns:
        Another model; a head none of whose labels is known says nothing.
    """
    known = np.flatnonzero((training.labels >= 0).any(axis=1))
    chosen = known[np.linspace(0, len(known) - 1, min(len(known), MOST_SOUNDS)).round().astype(int)]
    heard = hear(model, training.features, chosen, config, key)
    heads = {}
    for column, (name, names) in enumerate(model.config.labels):
        labels, weights = (np.resize(part[chosen, column], len(heard)) for part in (training.labels, training.weights))
        kernel, bias = solve(heard, labels, weights, len(names))
        heads[models.HEAD + name] = {"kernel": jnp.asarray(kernel), "bias": jnp.asarray(bias)}
    return dataclasses.replace(model, params={**model.params, **heads})


def hear(model: models.Model, levels: np.ndarray, chosen: np.ndarray, config: Config, key: jax.Array) -> np.ndarray:
    """What a model hears of sounds, and then of `COPIES` of each if augmentation is on.

    Args:
        model: Hears.
        levels: Stored features, uint8 (sounds, frames, mels); read in parts.
        chosen: Which of them (n,).
        config: Knobs of augmentation.
        key: Of it.

    Returns:
        float32 (n times copies, any), whole sets one after another.
    """
    train = config.train
    copies = 1 + COPIES * bool(train.shift_frames or train.shift_bins or train.tilt_db)
    found: list[list[np.ndarray]] = [[] for _ in range(copies)]
    for start in range(0, len(chosen), BATCH):
        rows = np.resize(chosen[start : start + BATCH], BATCH)
        batch = np.asarray(levels[rows])
        for copy, parts in enumerate(found):
            noise = jax.random.fold_in(jax.random.fold_in(key, copy), start)
            parts.append(np.asarray(_heard(model, batch, noise, config, copy > 0))[: len(chosen) - start])
    return np.concatenate([part for parts in found for part in parts]) if len(chosen) else np.zeros((0, models.EAR))


def solve(heard: np.ndarray, labels: np.ndarray, weights: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """The head of one label set.

    Args:
        heard: (sounds, any).
        labels: Classes (sounds,), -1 where unknown.
        weights: Of each sound (sounds,), in any unit.
        classes: How many.

    Returns:
        Kernel float32 (any, classes), and bias (classes,).
    """
    known = (labels >= 0) & (weights > 0)
    inputs = np.pad(heard[known].astype(float), ((0, 0), (0, 1)), constant_values=1.0)
    if not known.any():
        return np.zeros((heard.shape[1], classes), np.float32), np.zeros(classes, np.float32)
    shares = weights[known].astype(float) / weights[known].sum()
    objective = partial(loss, inputs=inputs, truth=np.eye(classes)[labels[known]], shares=shares)
    start = np.zeros(inputs.shape[1] * classes)
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS, "ftol": 1e-9})
    solved = found.x.reshape(-1, classes).astype(np.float32)
    return solved[:-1], solved[-1]


def loss(flat: np.ndarray, inputs: np.ndarray, truth: np.ndarray, shares: np.ndarray) -> tuple[float, np.ndarray]:
    """What `solve` minimises, in nats, and its gradient; the last input is 1, and its weights cost nothing.

    Args:
        flat: Kernel and bias, ((any + 1) * classes,).
        inputs: (sounds, any + 1).
        truth: One-hot classes (sounds, classes).
        shares: Of each sound, sum one (sounds,).
    """
    weights = flat.reshape(inputs.shape[1], -1)
    penalised = np.concatenate([weights[:-1], np.zeros_like(weights[-1:])])
    log_p = log_softmax(inputs @ weights, axis=1)
    value = PENALTY / 2 * (penalised**2).sum() - shares @ (truth * log_p).sum(axis=1)
    gradient = inputs.T @ (shares[:, None] * (np.exp(log_p) - truth)) + PENALTY * penalised
    return float(value), gradient.ravel()


@partial(jax.jit, static_argnames=("config", "changed"))
def _heard(model: models.Model, levels: jax.Array, key: jax.Array, config: Config, changed: bool) -> jax.Array:
    features = levels.astype(jnp.float32) / models.LEVELS
    features = augment(key, features, config) if changed else features
    return model.module.apply({"params": model.params}, features, method="heard")
