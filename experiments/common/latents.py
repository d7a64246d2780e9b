"""Use of the latents by a trained model: active units, and the gap between the aggregate posterior and the prior."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vaelab.model import IAFVAE, Model
from vaelab.models.evaluate import Sounds
from vaelab.spectral import dequantise

ACTIVE_VARIANCE = 0.01  # Burda et al. 2016, "Importance weighted autoencoders", appendix C
DRAWS = 8


@jax.jit
def _draw(model: Model, features: jax.Array, eps: jax.Array) -> tuple[jax.Array, jax.Array]:
    def shares(module: IAFVAE, features: jax.Array, eps: jax.Array) -> tuple[jax.Array, jax.Array]:
        return module.kl_of_entries(module.posterior(features), eps)

    return model.module.apply({"params": model.params}, features, eps, method=shares)


def draws(model: Model, sounds: Sounds, key: jax.Array) -> tuple[np.ndarray, np.ndarray]:
    """Draws of zK and what each entry adds to the KL, nats: both (draws, sounds, latent)."""
    draws_of_batches = []
    for number in range(DRAWS):
        rows = []
        for start in range(0, len(sounds.features), 64):
            features = dequantise(jnp.asarray(sounds.features[start : start + 64]))
            batch_key = jax.random.fold_in(jax.random.fold_in(key, number), start)
            rows.append(_draw(model, features, jax.random.normal(batch_key, (len(features), model.config.latent_dim))))
        draws_of_batches.append([np.concatenate(parts) for parts in zip(*jax.device_get(rows), strict=True)])
    values, shares = zip(*draws_of_batches, strict=True)
    return np.stack(values), np.stack(shares)


def describe(model: Model, sounds: Sounds, seed: int = 0) -> dict[str, Any]:
    """Active units, KL per latent, and the gap between the aggregate posterior and the prior.

    Returns:
        active: Latents whose embedding varies by more than `ACTIVE_VARIANCE` between sounds.
        kl_per_latent: Mean nats of each entry of zK in log q(zK|x) - log p(zK), falling.
        gap_nats: KL(aggregate || prior) if the aggregate were a Gaussian of its mean and covariance; 0 is no gap.
        scale: Root mean square of the aggregate; a prior drawn at this temperature is as wide as the posterior.
    """
    values, shares = draws(model, sounds, jax.random.key(seed))
    embeddings = np.asarray(model.encode(dequantise(jnp.asarray(sounds.features))))
    flat = values.reshape(-1, values.shape[-1]).astype(float)
    covariance = np.atleast_2d(np.cov(flat.T, bias=True))
    mean = flat.mean(axis=0)
    gap = 0.5 * (np.trace(covariance) + mean @ mean - len(mean) - np.linalg.slogdet(covariance)[1])
    return {
        "active": int((embeddings.var(axis=0) > ACTIVE_VARIANCE).sum()),
        "of": int(values.shape[-1]),
        "kl_per_latent": [round(float(nats), 3) for nats in np.sort(shares.mean(axis=(0, 1)))[::-1]],
        "gap_nats": round(float(gap), 2),
        "scale": round(float(np.sqrt((flat**2).mean())), 3),
    }
