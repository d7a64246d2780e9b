"""The most that a better posterior could gain: `python -m experiments.quality.posterior_gap`.

The decoders of trained models are held fixed, and Gaussians are fitted to single held-out sounds by their ELBO: without
correlations, then with all of them. log p(x) comes from importance samples of the latter. So the gap between encoder
and truth falls into three parts:

    log p(x) - ELBO(encoder)  =  encoder (ELBO(uncorrelated) - ELBO(encoder))
                              +  correlations (ELBO(full) - ELBO(uncorrelated))
                              +  the rest (log p(x) - ELBO(full)), which no Gaussian can gain

Source: Cremer, Li and Duvenaud 2018, "Inference suboptimality in variational autoencoders",
https://arxiv.org/abs/1801.03558.
"""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.special import logsumexp
from jax.scipy.stats import norm

from experiments.common import commands, measures, real_sounds
from experiments.common.trained import TINY_STEPS, shrink
from experiments.quality import run
from vaelab.model import IAFVAE, Model
from vaelab.models.evaluate import Sounds
from vaelab.spectral import dequantise
from vaelab.training import fit as train

COMMAND = "python -m experiments.quality.posterior_gap"
QUESTION, RUNS = "flow", ("no flow", "5 steps")
SOUNDS, DRAWS, UPDATES, RATE = 12, 4, 400, 0.02
JUDGED, CHUNK = 2048, 128  # draws of a sound that figures come from, and how many of them at a time
COLUMNS = ["model", "-ELBO of the encoder", "encoder", "correlations", "no Gaussian", "effective draws"]
TITLE = "What a better posterior could gain"
NOTE = (
    "nats of a sound, means of {sounds} held-out sounds. encoder: gained by a Gaussian without correlations, fitted to "
    "each sound by {updates} updates; correlations: gained further by as many updates with all correlations, so it is "
    "overrated where the first fit had not ended; no Gaussian: how far log p(x) is above that at least, by {draws} "
    "importance samples, of which the last column says how many count: too few of them to say more"
)


class Gaussian(NamedTuple):
    """A Gaussian for each sound, z = mean + scale * (exp(log_std) * eps + lower @ eps), relative to the encoder's.

    Attributes:
        shift: Of the mean, in the encoder's deviations (sounds, latent).
        log_std: Relative to the encoder's (sounds, latent).
        lower: Of which the part below the diagonal counts (sounds, latent, latent).
    """

    shift: jax.Array
    log_std: jax.Array
    lower: jax.Array


class Start(NamedTuple):
    """Mean and deviations of the encoder's posteriors, (sounds, latent) each."""

    mean: jax.Array
    std: jax.Array


def measure(model: Model, features: np.ndarray, key: jax.Array, updates: int = UPDATES) -> list[float]:
    """The figures of one model, those of `COLUMNS`, on features (sounds, frames, mels)."""
    keys = jax.random.split(key, 5)
    encoder, start = judge_encoder(model, features, keys[0])
    size = model.config.latent_dim
    q = Gaussian(jnp.zeros_like(start.mean), jnp.zeros_like(start.std), jnp.zeros((len(features), size, size)))
    diagonal = improve(model, features, start, q, keys[1], updates, correlated=False)
    full = improve(model, features, start, diagonal, keys[2], updates, correlated=True)
    uncorrelated, _, _ = judge(model, features, start, diagonal, keys[3])
    correlated, evidence, effective = judge(model, features, start, full, keys[4])
    parts = (-encoder, uncorrelated - encoder, correlated - uncorrelated, evidence - correlated, effective)
    return [float(np.mean(part)) for part in parts]


def log_joint(model: Model, features: jax.Array, z: jax.Array) -> jax.Array:
    """log p(x, z): features (n, frames, mels), z (n, latent) -> (n,)."""

    def recon(module: IAFVAE) -> jax.Array:
        return module.recon(features, module.output(z))

    return norm.logpdf(z).sum(axis=-1) - model.module.apply({"params": model.params}, method=recon)


def place(start: Start, q: Gaussian, eps: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Noise (draws, sounds, latent) -> z of the same shape, log q (draws, sounds)."""
    noise = jnp.exp(q.log_std)[None] * eps + jnp.einsum("sij,dsj->dsi", jnp.tril(q.lower, -1), eps)
    z = start.mean[None] + start.std[None] * (q.shift[None] + noise)
    return z, (norm.logpdf(eps) - (q.log_std + jnp.log(start.std))[None]).sum(axis=-1)


def log_weights(model: Model, features: jax.Array, start: Start, q: Gaussian, eps: jax.Array) -> jax.Array:
    """log p(x, z) - log q(z) of noise (draws, sounds, latent): (draws, sounds)."""
    z, log_q = place(start, q, eps)
    repeated = jnp.tile(features, (len(eps), 1, 1))
    return log_joint(model, repeated, z.reshape(-1, z.shape[-1])).reshape(log_q.shape) - log_q


@partial(jax.jit, static_argnames=("updates", "correlated"))
def improve(
    model: Model, features: jax.Array, start: Start, q: Gaussian, key: jax.Array, updates: int, correlated: bool
) -> Gaussian:
    """Raise each sound's ELBO by Adam, with noise in pairs of opposite sign; `lower` moves only where correlated."""
    adam = optax.adam(optax.cosine_decay_schedule(RATE, updates))
    features = jnp.asarray(features)

    def loss(q: Gaussian, key: jax.Array) -> jax.Array:
        half = jax.random.normal(key, (DRAWS // 2, *start.mean.shape))
        return -log_weights(model, features, start, q, jnp.concatenate([half, -half])).mean(axis=0).sum()

    def update(number: jax.Array, carry: tuple[Gaussian, optax.OptState]) -> tuple[Gaussian, optax.OptState]:
        q, state = carry
        slope = jax.grad(loss)(q, jax.random.fold_in(key, number))
        slope = slope if correlated else slope._replace(lower=jnp.zeros_like(slope.lower))
        change, state = adam.update(slope, state, q)
        return optax.apply_updates(q, change), state

    return jax.lax.fori_loop(0, updates, update, (q, adam.init(q)))[0]


def judge(
    model: Model, features: np.ndarray, start: Start, q: Gaussian, key: jax.Array
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ELBO, log p(x) by importance sampling, and its effective number of draws, of each sound."""
    weigh, parts = jax.jit(log_weights), []
    for number in range(-(-JUDGED // CHUNK)):
        eps = jax.random.normal(jax.random.fold_in(key, number), (CHUNK, *start.mean.shape))
        parts += [weigh(model, features, start, q, some) for some in np.split(np.asarray(eps), CHUNK // DRAWS)]
    weights = np.concatenate(parts).astype(float)
    evidence = np.asarray(logsumexp(weights, axis=0)) - np.log(len(weights))
    effective = np.exp(2 * np.asarray(logsumexp(weights, axis=0)) - np.asarray(logsumexp(2 * weights, axis=0)))
    return weights.mean(axis=0), evidence, effective


def judge_encoder(model: Model, features: np.ndarray, key: jax.Array) -> tuple[np.ndarray, Start]:
    """The ELBO of the encoder's own posterior, of each sound, and the posterior's mean and deviations."""

    @jax.jit
    def draw(features: jax.Array, eps: jax.Array) -> tuple[jax.Array, jax.Array]:
        def walk(module: IAFVAE) -> tuple[jax.Array, jax.Array]:
            z, kl = module.sample(module.posterior(features), eps)
            return z, -module.recon(features, module.output(z)) - kl

        return model.module.apply({"params": model.params}, method=walk)

    size = (len(features), model.config.latent_dim)
    draws = [draw(features, jax.random.normal(jax.random.fold_in(key, number), size)) for number in range(JUDGED // 8)]
    z, elbo = (np.stack(part) for part in zip(*draws, strict=True))
    return elbo.mean(axis=0, dtype=float), Start(jnp.asarray(z.mean(axis=0)), jnp.asarray(z.std(axis=0)))


def trained(name: str, sides: tuple[Sounds, Sounds], tiny: bool) -> Model:
    """The model of a run of the question `flow`, seed 0."""
    asked = run.read(QUESTION)
    wanted = next(entry for entry in asked["runs"] if entry["name"] == name)
    config, steps = run.config_of(asked, wanted), wanted.get("steps", asked.get("steps"))
    with tempfile.TemporaryDirectory() as logdir:
        return train(*sides, shrink(config) if tiny else config, logdir, num_steps=TINY_STEPS if tiny else steps)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, fit, print, keep."""
    tiny = commands.parser(COMMAND, __doc__).parse_args(arguments).tiny
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        dataset = real_sounds.built_in(home) if tiny else real_sounds.dataset(home)
        config = run.config_of(run.read(QUESTION), {})
        sides = real_sounds.sides(dataset, home, (shrink(config) if tiny else config).audio)
        models = {name: trained(name, sides, tiny) for name in RUNS}
    report(models, sides[1], tiny)


def report(models: dict[str, Model], sounds: Sounds, tiny: bool) -> None:
    """Measure models on some held-out sounds, evenly taken from all; print and keep the table."""
    rows = np.linspace(0, len(sounds.features) - 1, 2 if tiny else SOUNDS).astype(int)
    features = dequantise(sounds.features[rows])
    updates = TINY_STEPS if tiny else UPDATES
    table = [[name, *measure(model, features, jax.random.key(0), updates)] for name, model in models.items()]
    note = NOTE.format(sounds=len(rows), updates=updates, draws=JUDGED)
    measures.report(None if tiny else "posterior_gap", COMMAND, COLUMNS, table, note, TITLE)


if __name__ == "__main__":
    main()
