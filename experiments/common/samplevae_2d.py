"""A two-dimensional IAF-VAE with the layer shapes of SampleVAE (2019), as a bound for the tables; slow on processors.

Convolutions of 3x3 with 32, 64, 32, 32 channels, each followed by a max-pool (4x4, 2x2, 2x4, 2x2, all with stride 2), a
dense layer of 512, five flow steps, and a mirrored decoder with bilinear upsampling. Cross-entropy on features in
[0, 1], Adam at 1e-3 on batches of 64. Written from this description, around the same flow and ELBO as `vaelab.model`.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn

from vaelab.config import AudioConfig, ModelConfig
from vaelab.model import IAFVAE, Model
from vaelab.networks import FIRST_LOG_STD, LOG_STD_RANGE, Posterior

CHANNELS = (32, 64, 32, 32)
POOLS = ((4, 4), (2, 2), (2, 4), (2, 2))


class Encoder2D(nn.Module):
    """Features (batch, frames, mels) -> `Posterior`."""

    config: ModelConfig

    @nn.compact
    def __call__(self, features: jax.Array, _coordinates: jax.Array, _deterministic: bool = True) -> Posterior:
        """Encode a batch."""
        x = features[..., None]
        for channels, pool in zip(CHANNELS, POOLS, strict=True):
            x = nn.elu(nn.Conv(channels, (3, 3))(x))
            x = nn.max_pool(x, pool, strides=(2, 2), padding="SAME")
        hidden = nn.elu(nn.Dense(self.config.hidden)(x.reshape(x.shape[0], -1)))
        mean = nn.Dense(self.config.latent_dim)(hidden)
        zeros, first = nn.initializers.zeros_init(), nn.initializers.constant(FIRST_LOG_STD)
        log_std = nn.Dense(self.config.latent_dim, kernel_init=zeros, bias_init=first)(hidden)
        context = nn.elu(nn.Dense(self.config.hidden)(hidden))
        return Posterior(mean, jnp.clip(log_std, *LOG_STD_RANGE), context)


class Decoder2D(nn.Module):
    """Latent (batch, latent) -> no coordinates, and logits of features (batch, frames, mels)."""

    config: ModelConfig
    frames: int
    mels: int

    @nn.compact
    def __call__(self, z: jax.Array, _deterministic: bool = True) -> tuple[jax.Array, jax.Array]:
        """Decode a batch."""
        sizes = [(self.frames, self.mels)]
        for _ in CHANNELS:
            sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
        x = nn.elu(nn.Dense(self.config.hidden)(z))
        x = nn.elu(nn.Dense(sizes[-1][0] * sizes[-1][1] * CHANNELS[-1])(x))
        x = x.reshape(x.shape[0], *sizes[-1], CHANNELS[-1])
        for size, channels in zip(sizes[-2::-1], (*CHANNELS[-2::-1], 1), strict=True):
            x = jax.image.resize(x, (x.shape[0], *size, x.shape[3]), "bilinear")
            x = nn.Conv(channels, (3, 3))(x)
            x = nn.elu(x) if channels > 1 else x
        return jnp.zeros((x.shape[0], 0), x.dtype), x[..., 0]


class SampleVAE2D(IAFVAE):
    """`IAFVAE` with the two-dimensional encoder and decoder."""

    def make_encoder(self) -> nn.Module:
        """The two-dimensional encoder."""
        return Encoder2D(self.config)

    def make_decoder(self) -> nn.Module:
        """The two-dimensional decoder."""
        return Decoder2D(self.config, self.frames, self.mels)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Model2D(Model):
    """A `Model` whose module is two-dimensional."""

    @property
    def module(self) -> SampleVAE2D:
        """The Linen module that `params` belong to."""
        return SampleVAE2D(self.config, self.audio.frames, self.audio.n_mels)


@partial(jax.jit, static_argnames=("config", "audio"))
def create(config: ModelConfig, audio: AudioConfig, key: jax.Array, principal: None = None) -> Model2D:
    """A model with fresh weights; as `vaelab.model.create`, without components."""
    if principal is not None:
        raise ValueError("the two-dimensional model: expected components 0, found some")
    features, labels = jnp.zeros((1, audio.frames, audio.n_mels)), jnp.zeros(1, jnp.int32)
    empty = Model2D({}, config, audio)
    return Model2D(empty.module.init(key, features, jnp.zeros((1, config.latent_dim)), labels)["params"], config, audio)
