"""Other posteriors than a flow's of z0, each around the same encoder, decoder and ELBO: to find what a flow's gain is.

    full covariance       z = mean + exp(log_std) * (eps + lower @ eps)       lower: strictly triangular, by the context
    flow of the context   as IAF, but its networks see no z: a Gaussian without correlations, with a flow's weights
    flow of the noise     z = mean + exp(log_std) * IAF(eps, context)         the flow sees a cloud of unit size

With their densities in log q, as in `vaelab.model`. Source of the first: Kingma and Welling 2019, "An introduction to
variational autoencoders", section 2.5.1, https://arxiv.org/abs/1906.02691.
"""

from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.scipy.stats import norm
from jaxtyping import Array, Float

from vaelab import model as models
from vaelab.config import AudioConfig, ModelConfig
from vaelab.flows import IAF, Contexts, IAFStep, Latents, precompensating_kernel
from vaelab.model import IAFVAE, Model
from vaelab.models import flow_diagnostics
from vaelab.models.evaluate import Sounds
from vaelab.networks import Encoder, Posterior
from vaelab.pca import Principal
from vaelab.spectral import dequantise, evenly_spaced

SOUNDS, DRAWS = 12, 10_000  # that shapes are measured on: D latents are overrated by D^2 / 4 DRAWS nats


class FullCovariance(IAFVAE):
    """A Gaussian with all correlations, those of each sound its own; it starts without any."""

    def setup(self):
        """Make the parts, and the layer that gives the triangular factor's entries."""
        super().setup()
        size = self.config.latent_dim
        self.factor = nn.Dense(size * (size - 1) // 2, kernel_init=nn.initializers.zeros_init())

    def kl_of_entries(self, posterior: Posterior, eps: Latents) -> tuple[Latents, Latents]:
        """As `IAFVAE.kl_of_entries`: the factor has ones on its diagonal, so its log-det is 0."""
        rows, columns = np.tril_indices(self.config.latent_dim, -1)
        lower = jnp.zeros((*posterior.mean.shape, posterior.mean.shape[-1]))
        lower = lower.at[:, rows, columns].set(self.factor(posterior.context))
        noise = eps + (lower @ eps[..., None])[..., 0]
        z = posterior.mean + jnp.exp(posterior.log_std) * noise
        return z, norm.logpdf(eps) - posterior.log_std - norm.logpdf(z)


class ContextStep(IAFStep):
    """A step whose masked network sees the context alone."""

    def conditioner(self, z: Latents, context: Contexts) -> tuple[Latents, Latents]:
        """As `IAFStep.conditioner`, of no z."""
        return super().conditioner(jnp.zeros_like(z), context)


class ContextIAF(IAF):
    """Such steps in a stack."""

    def setup(self):
        """Make the steps."""
        sizes = (self.latent_dim, self.context_dim, self.hidden, self.offset)
        self.steps = [ContextStep(*sizes, name=f"flow_{k}") for k in range(self.num_steps)]


class FlowOfContext(IAFVAE):
    """A Gaussian without correlations that has a flow's layers, weights and start."""

    def make_flow(self) -> IAF:
        """Make the steps that see no z."""
        config = self.config
        return ContextIAF(config.latent_dim, config.hidden, config.flow_steps, config.flow_hidden, config.flow_offset)


class PlainEncoder(Encoder):
    """An encoder whose means no flow changes, so that nothing is cancelled in advance."""

    def _linear_kernel(self, _key: jax.Array, shape: tuple[int, int], dtype: jnp.dtype) -> jax.Array:
        return precompensating_kernel(shape, 0, self.config.flow_offset, dtype)


class FlowOfNoise(IAFVAE):
    """A flow of the noise, which mean and scale then place."""

    def make_encoder(self) -> nn.Module:
        """The plain encoder."""
        return PlainEncoder(self.config)

    def kl_of_entries(self, posterior: Posterior, eps: Latents) -> tuple[Latents, Latents]:
        """As `IAFVAE.kl_of_entries`."""
        noise, log_gates = self.flow.forward_and_log_gates(eps, posterior.context)
        z = posterior.mean + jnp.exp(posterior.log_std) * noise
        return z, self.flow.in_final_order(norm.logpdf(eps)) - log_gates - posterior.log_std - norm.logpdf(z)


POSTERIORS = {
    "full covariance": FullCovariance,
    "flow of the context": FlowOfContext,
    "flow of the noise": FlowOfNoise,
}


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OtherModel(Model):
    """A `Model` with one of `POSTERIORS`."""

    posterior: str = field(default="", metadata={"static": True})

    @property
    def module(self) -> IAFVAE:
        """The Linen module that `params` belong to."""
        return POSTERIORS[self.posterior](self.config, self.audio.frames, self.audio.n_mels)


@partial(jax.jit, static_argnames=("posterior", "config", "audio"))
def create(
    posterior: str, config: ModelConfig, audio: AudioConfig, key: jax.Array, principal: Principal | None = None
) -> OtherModel:
    """A model with fresh weights; as `vaelab.model.create`, with the same start of encoder and decoder."""
    plain = models.create(config, audio, key, principal)
    empty = OtherModel({}, config, audio, posterior)
    features, eps = jnp.zeros((1, audio.frames, audio.n_mels)), jnp.zeros((1, config.latent_dim))
    fresh = empty.module.init(key, features, eps, jnp.zeros(1, jnp.int32))["params"]
    of_sounds = {name: part for name, part in plain.params.items() if name in ("components", "log_scale")}
    return OtherModel({**fresh, **of_sounds}, config, audio, posterior)


MAKERS = {name: partial(create, name) for name in POSTERIORS}


def shape(model: Model, sounds: Sounds, key: jax.Array, draws: int = DRAWS) -> dict[str, float]:
    """Mean total correlation and negentropy of posteriors, nats, over sounds evenly taken from all."""
    rows = evenly_spaced(len(sounds.features), SOUNDS)
    eps = jax.random.normal(key, (draws, model.config.latent_dim))
    shapes = [flow_diagnostics.shape(_draw(model, dequantise(sounds.features[row][None]), eps)) for row in rows]
    return {
        name: round(float(np.mean([getattr(measured, name) for measured in shapes])), 2) for name in shapes[0]._fields
    }


def _draw(model: Model, features: jax.Array, eps: jax.Array) -> flow_diagnostics.Draws:
    z, log_q = map(np.asarray, _draws(model, jnp.asarray(features), eps))
    return flow_diagnostics.Draws(z[None], log_q)


@jax.jit
def _draws(
    model: Model, features: Float[Array, "1 frames mels"], eps: Latents
) -> tuple[Latents, Float[Array, " batch"]]:
    def walk(module: IAFVAE) -> tuple[jax.Array, jax.Array]:
        z, kl = module.sample(module.posterior(features), eps)
        return z, kl + norm.logpdf(z).sum(axis=-1)

    return model.module.apply({"params": model.params}, method=walk)
