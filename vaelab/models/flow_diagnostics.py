"""A posterior before, between and after the steps of its flow, and by how much it is no plain Gaussian any more."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

from vaelab.model import IAFVAE, Model


class Draws(NamedTuple):
    """Draws from the posterior of one sound.

    Attributes:
        stages: z0 and the latent after each step, all in the order of zK: (steps + 1, draws, latent).
        log_q: log q(zK|x), nats (draws,).
    """

    stages: np.ndarray
    log_q: np.ndarray


class Shape(NamedTuple):
    """Divergence of a posterior from the nearest Gaussian without correlations, as two summands in nats.

    Attributes:
        total_correlation: The part that a Gaussian with correlations would describe.
        negentropy: The rest, which no Gaussian can describe.
    """

    total_correlation: float
    negentropy: float


def draw(model: Model, features: np.ndarray, key: jax.Array, count: int = 4000) -> Draws:
    """Draw from the posterior of one sound's features (1, frames, mels), and keep every stage of the flow."""
    eps = jax.random.normal(key, (count, model.config.latent_dim))
    stages, log_q = _draw(model, jnp.asarray(features, jnp.float32), eps)
    return Draws(np.asarray(stages), np.asarray(log_q))


def shape(draws: Draws) -> Shape:
    """Total correlation and negentropy, from draws.

    With C the covariance of zK: total correlation = (sum log C_ii - log det C) / 2, and negentropy = E[log q] +
    log det(2 pi e C) / 2, the divergence of q from the Gaussian of its own mean and covariance. n draws of D latents
    overrate the first, and underrate the second, by about D^2 / 4n nats.
    """
    covariance = np.cov(draws.stages[-1], rowvar=False)
    size = len(covariance)
    _, volume = np.linalg.slogdet(covariance)
    total_correlation = (np.log(np.diag(covariance)).sum() - volume) / 2
    negentropy = draws.log_q.mean() + (size * np.log(2 * np.pi * np.e) + volume) / 2
    return Shape(float(total_correlation), float(negentropy))


def shape_of_flow(draws: Draws) -> Shape:
    """Compute the shape that the flow alone brings, nats, from draws.

    It is that of `shape` less the correlations that as many draws show before the flow, where latents have none.
    """
    after, chance = shape(draws), shape(draws._replace(stages=draws.stages[:1])).total_correlation
    return Shape(after.total_correlation - chance, after.negentropy + chance)


def kl(draws: Draws) -> float:
    """Estimate the KL divergence of the posterior from the standard normal prior, nats, from draws."""
    return float(np.mean(draws.log_q - norm.logpdf(draws.stages[-1]).sum(axis=-1)))


def most_correlated_pair(draws: Draws) -> tuple[int, int]:
    """The two latents whose correlation the flow makes strongest."""
    correlation = np.abs(np.corrcoef(draws.stages[-1], rowvar=False))
    first, second = np.unravel_index(np.triu(correlation, 1).argmax(), correlation.shape)
    return int(first), int(second)


@jax.jit
def _draw(model: Model, features: jax.Array, eps: jax.Array) -> tuple[jax.Array, jax.Array]:
    def walk(module: IAFVAE) -> tuple[jax.Array, jax.Array]:
        posterior = jax.tree.map(lambda part: jnp.repeat(part, len(eps), axis=0), module.posterior(features))
        stages = module.flow.stages(posterior.mean + jnp.exp(posterior.log_std) * eps, posterior.context)
        z, kl = module.sample(posterior, eps)
        return stages, kl + norm.logpdf(z).sum(axis=-1)

    return model.module.apply({"params": model.params}, method=walk)
