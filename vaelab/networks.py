"""The networks around the flow: components, convolutions over time, encoder and decoder.

`vaelab.model` puts them together and explains why.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from vaelab.audio import timbre
from vaelab.config import ModelConfig
from vaelab.flows import Latents, precompensating_kernel
from vaelab.pca import LEAST_FEATURE
from vaelab.spectral import Features

LANDMARKS = 1024  # training sounds that others are compared with
KERNEL_WIDTH = 1.0  # deviations of a statistic
TIMBRE_LIMIT = 2.0  # deviations that a detailed statistic approaches: a foreign sound may be far off in one of them
LOG_STD_RANGE = (-7.0, 3.0)
FIRST_LOG_STD = -2.0  # little noise at first, so that the decoder has something to learn from

Coordinates = Float[Array, "batch components"]
Hidden = Float[Array, "batch hidden"]


class Posterior(NamedTuple):
    """Posterior parameters of a batch."""

    mean: Latents
    log_std: Latents
    context: Hidden


class Components(nn.Module):
    """Coordinates along the principal components of the training sounds, and back. Not trained; see `trainable`.

    Attributes:
        count: How many.
        frames: Of a clip.
        mels: Of a clip.
        logits: The link of `vaelab.pca`.
    """

    count: int
    frames: int
    mels: int
    logits: bool

    def setup(self):
        """Make what `create` fills: without sounds the axes are random, and orthogonal in the mean."""
        size = self.frames * self.mels
        shape = (self.count, self.frames, self.mels)
        self.centre = self.param("centre", nn.initializers.zeros_init(), shape[1:])
        self.axes = self.param("axes", nn.initializers.normal(size**-0.5), shape)
        self.spread = self.param("spread", nn.initializers.ones_init(), shape[:1])

    def project(self, features: Features) -> Coordinates:
        """Features -> coordinates of unit variance."""
        if self.logits:
            inside = jnp.clip(features, LEAST_FEATURE, 1 - LEAST_FEATURE)
            features = jnp.log(inside) - jnp.log1p(-inside)
        flat = (features - self.centre[None]).reshape(features.shape[0], -1)
        # Not `flat @ axes.T`: of one sound, XLA's transposed product takes twenty times as long on a processor.
        along = jnp.einsum("bd,cd->bc", flat, self._flat_axes(flat.dtype))
        return along / self.spread[None].astype(flat.dtype)

    def rebuild(self, coordinates: Coordinates) -> Features:
        """Coordinates -> linked features."""
        flat = (coordinates * self.spread[None].astype(coordinates.dtype)) @ self._flat_axes(coordinates.dtype)
        return self.centre[None].astype(flat.dtype) + flat.reshape(-1, self.frames, self.mels)

    def _flat_axes(self, dtype: DTypeLike) -> jax.Array:
        return self.axes.reshape(self.count, -1).astype(dtype)


class ResidualBlock(nn.Module):
    """x + conv(elu(conv(norm(x)))), convolutions of three frames."""

    width: int

    @nn.compact
    def __call__(self, x: Float[Array, "batch frames width"]) -> Float[Array, "batch frames width"]:
        """Apply the block."""
        y = nn.LayerNorm()(x)
        y = nn.elu(nn.Conv(self.width, (3,))(y))
        return x + nn.Conv(self.width, (3,), kernel_init=nn.initializers.zeros_init())(y)


def patches(features: Features, size: int) -> Float[Array, "batch patches {size}*mels"]:
    """Put every `size` neighbouring frames side by side; the last patch is filled up with silence."""
    batch, frames, mels = features.shape
    count = -(-frames // size)
    padded = jnp.pad(features, ((0, 0), (0, count * size - frames), (0, 0)))
    return padded.reshape(batch, count, size * mels)


class Analysis(nn.Module):
    """Convolutions over time, halving it several times."""

    config: ModelConfig

    @nn.compact
    def __call__(self, features: Features) -> Float[Array, "batch any"]:
        """Summarise a batch."""
        config = self.config
        x = nn.Dense(config.width)(2 * patches(features, config.patch) - 1)
        for _ in range(config.downsamples):
            for _ in range(config.blocks):
                x = ResidualBlock(config.width)(x)
            x = nn.Conv(config.width, (4,), strides=(2,))(x)
        return nn.LayerNorm()(x).reshape(x.shape[0], x.shape[1] * x.shape[2])


class Synthesis(nn.Module):
    """Convolutions over time, doubling it: a residual of the linked features, zero in a new model."""

    config: ModelConfig
    frames: int
    mels: int

    @nn.compact
    def __call__(self, hidden: Hidden) -> Features:
        """Compute the residuals of a batch."""
        config = self.config
        lengths = [-(-self.frames // config.patch)]
        for _ in range(config.downsamples):
            lengths.append(-(-lengths[-1] // 2))
        x = nn.Dense(lengths[-1] * config.width)(hidden).reshape(-1, lengths[-1], config.width)
        for length in lengths[-2::-1]:  # each frame becomes two; odd lengths drop the last
            x = nn.Dense(2 * config.width)(x).reshape(x.shape[0], 2 * x.shape[1], config.width)[:, :length]
            for _ in range(config.blocks):
                x = ResidualBlock(config.width)(x)
        start = nn.initializers.zeros_init() if config.components else nn.initializers.lecun_normal()
        x = nn.Conv(config.patch * self.mels, (3,), kernel_init=start)(nn.LayerNorm()(x))
        return x.reshape(x.shape[0], x.shape[1] * config.patch, self.mels)[:, : self.frames]


class Layers(nn.Module):
    """`depth` dense layers with elu and dropout."""

    config: ModelConfig

    @nn.compact
    def __call__(self, x: Float[Array, "batch any"], deterministic: bool) -> Float[Array, "batch output"]:
        """Apply the layers."""
        for _ in range(self.config.depth):
            x = nn.elu(nn.Dense(self.config.hidden)(x))
            x = nn.Dropout(self.config.dropout)(x, deterministic=deterministic)
        return x


class Encoder(nn.Module):
    """Features and their coordinates -> `Posterior`."""

    config: ModelConfig

    @nn.compact
    def __call__(self, features: Features, coordinates: Coordinates, deterministic: bool = True) -> Posterior:
        """Encode a batch."""
        config = self.config
        inputs = [coordinates, *([Analysis(config)(features)] if config.width else [])]
        hidden = Layers(config)(jnp.concatenate(inputs, axis=1), deterministic)
        zeros, first = nn.initializers.zeros_init(), nn.initializers.constant(FIRST_LOG_STD)
        mean = nn.Dense(config.latent_dim, kernel_init=zeros if config.components else nn.initializers.lecun_normal())
        log_std = nn.Dense(config.latent_dim, kernel_init=zeros, bias_init=first)(hidden)
        context = nn.elu(nn.Dense(config.hidden)(hidden))
        linear = 0.0
        if config.components:
            linear = nn.Dense(config.latent_dim, use_bias=False, kernel_init=self._linear_kernel)(coordinates)
        return Posterior(mean(hidden) + linear, jnp.clip(log_std, *LOG_STD_RANGE), context)

    def _linear_kernel(self, _key: jax.Array, shape: tuple[int, int], dtype: DTypeLike) -> jax.Array:
        return precompensating_kernel(shape, self.config.flow_steps, self.config.flow_offset, dtype)


class Decoder(nn.Module):
    """Latents -> coordinates, and the residual of linked features that convolutions add (0.0 without them)."""

    config: ModelConfig
    frames: int
    mels: int

    @nn.compact
    def __call__(self, z: Latents, deterministic: bool = True) -> tuple[Coordinates, Features | float]:
        """Decode a batch."""
        config = self.config
        hidden = Layers(config)(z, deterministic)
        added = Synthesis(config, self.frames, self.mels)(hidden) if config.width else 0.0
        if not config.components:
            return jnp.zeros((z.shape[0], 0), z.dtype), added
        learnt = nn.Dense(config.components, kernel_init=nn.initializers.zeros_init())(hidden)
        return nn.Dense(config.components, use_bias=False, kernel_init=_identity)(z) + learnt, added


class Timbre(nn.Module):
    """Timbre statistics, standardised over the training sounds. Not trained; see `trainable`.

    Detailed ones are bounded, weight * TIMBRE_LIMIT * tanh(x / TIMBRE_LIMIT).

    Attributes:
        cepstra: See `vaelab.audio.timbre`.
        detailed: See there.
    """

    cepstra: int
    detailed: bool

    @nn.compact
    def __call__(self, features: Features) -> Float[Array, "batch statistics"]:
        """Measure a batch."""
        statistics = timbre.statistics(features, self.cepstra, self.detailed)
        centre = self.param("centre", nn.initializers.zeros_init(), statistics.shape[1:])
        spread = self.param("spread", nn.initializers.ones_init(), statistics.shape[1:])
        standardised = (statistics - centre[None]) / spread[None]
        if not self.detailed:
            return standardised
        weight = self.param("weight", nn.initializers.ones_init(), statistics.shape[1:])
        return weight[None] * TIMBRE_LIMIT * jnp.tanh(standardised / TIMBRE_LIMIT)


class LandmarkKernel(nn.Module):
    """RBF kernel between timbres and those of landmark sounds. Not trained; see `trainable`.

    exp(-d^2 / (2 KERNEL_WIDTH^2)) for each landmark, with d^2 the mean square distance of the statistics: a linear
    classifier of these draws smooth boundaries of any shape.
    """

    @nn.compact
    def __call__(self, timbres: Float[Array, "batch statistics"]) -> Float[Array, "batch landmarks"]:
        """Compare a batch with the landmarks."""
        size = timbres.shape[1]
        landmarks = self.param("known", nn.initializers.normal(1.0), (LANDMARKS, size))  # the name in model files
        squares = (timbres**2).sum(axis=1)[:, None] + (landmarks**2).sum(axis=1)[None] - 2 * timbres @ landmarks.T
        return jnp.exp(-jnp.maximum(squares, 0) / (2 * KERNEL_WIDTH**2 * size))


def _identity(_key: jax.Array, shape: tuple[int, int], dtype: DTypeLike) -> jax.Array:
    return jnp.eye(*shape, dtype=dtype)
