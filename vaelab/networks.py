"""The networks around the flow: components, convolutions over time, encoder and decoder.

What each of them is for, and how they stand together, is told in `vaelab.model`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from vaelab.audio import timbre
from vaelab.config import ModelConfig
from vaelab.pca import LEAST_FEATURE

EAR = 1024  # known sounds that others are compared with
KERNEL_WIDTH = 1.0  # deviations of a statistic
LOG_STD_RANGE = (-7.0, 3.0)
FIRST_LOG_STD = -2.0  # little noise at first, so that the decoder has something to learn from


class Posterior(NamedTuple):
    """Posterior parameters of a batch: mean, log_std (batch, latent) and context (batch, hidden)."""

    mean: jax.Array
    log_std: jax.Array
    context: jax.Array


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

    def project(self, features: jax.Array) -> jax.Array:
        """Features (batch, frames, mels) -> coordinates of unit variance (batch, count)."""
        if self.logits:
            inside = jnp.clip(features, LEAST_FEATURE, 1 - LEAST_FEATURE)
            features = jnp.log(inside) - jnp.log1p(-inside)
        flat = (features - self.centre[None]).reshape(features.shape[0], -1)
        return flat @ self._flat_axes(flat.dtype).T / self.spread[None].astype(flat.dtype)

    def rebuild(self, coordinates: jax.Array) -> jax.Array:
        """Coordinates (batch, count) -> linked features (batch, frames, mels)."""
        flat = (coordinates * self.spread[None].astype(coordinates.dtype)) @ self._flat_axes(coordinates.dtype)
        return self.centre[None].astype(flat.dtype) + flat.reshape(-1, self.frames, self.mels)

    def _flat_axes(self, dtype: jnp.dtype) -> jax.Array:
        return self.axes.reshape(self.count, -1).astype(dtype)


class ResidualBlock(nn.Module):
    """x + conv(elu(conv(norm(x)))), convolutions of three frames: (batch, frames, width) -> the same."""

    width: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Apply the block."""
        y = nn.LayerNorm()(x)
        y = nn.elu(nn.Conv(self.width, (3,))(y))
        return x + nn.Conv(self.width, (3,), kernel_init=nn.initializers.zeros_init())(y)


def patches(features: jax.Array, size: int) -> jax.Array:
    """Neighbouring frames side by side: (batch, frames, mels) -> (batch, ceil(frames / size), size * mels).

    The last patch is filled up with silence.
    """
    batch, frames, mels = features.shape
    count = -(-frames // size)
    padded = jnp.pad(features, ((0, 0), (0, count * size - frames), (0, 0)))
    return padded.reshape(batch, count, size * mels)


class Analysis(nn.Module):
    """Convolutions over time, halving it: features (batch, frames, mels) -> (batch, any)."""

    config: ModelConfig

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        """Read a batch."""
        config = self.config
        x = nn.Dense(config.width)(2 * patches(features, config.patch) - 1)
        for _ in range(config.downsamples):
            for _ in range(config.blocks):
                x = ResidualBlock(config.width)(x)
            x = nn.Conv(config.width, (4,), strides=(2,))(x)
        return nn.LayerNorm()(x).reshape(x.shape[0], x.shape[1] * x.shape[2])


class Synthesis(nn.Module):
    """The way back: (batch, hidden) -> what is added to linked features (batch, frames, mels), zero at first."""

    config: ModelConfig
    frames: int
    mels: int

    @nn.compact
    def __call__(self, hidden: jax.Array) -> jax.Array:
        """Write a batch."""
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
    """`depth` dense layers with elu and dropout: (batch, any) -> (batch, hidden)."""

    config: ModelConfig

    @nn.compact
    def __call__(self, x: jax.Array, deterministic: bool) -> jax.Array:
        """Apply the layers."""
        for _ in range(self.config.depth):
            x = nn.elu(nn.Dense(self.config.hidden)(x))
            x = nn.Dropout(self.config.dropout)(x, deterministic=deterministic)
        return x


class Encoder(nn.Module):
    """Features (batch, frames, mels) and their coordinates (batch, components) -> `Posterior`."""

    config: ModelConfig

    @nn.compact
    def __call__(self, features: jax.Array, coordinates: jax.Array, deterministic: bool = True) -> Posterior:
        """Encode a batch."""
        config = self.config
        seen = [coordinates, *([Analysis(config)(features)] if config.width else [])]
        hidden = Layers(config)(jnp.concatenate(seen, axis=1), deterministic)
        zeros, first = nn.initializers.zeros_init(), nn.initializers.constant(FIRST_LOG_STD)
        mean = nn.Dense(config.latent_dim, kernel_init=zeros if config.components else nn.initializers.lecun_normal())
        log_std = nn.Dense(config.latent_dim, kernel_init=zeros, bias_init=first)(hidden)
        context = nn.elu(nn.Dense(config.hidden)(hidden))
        linear = 0.0
        if config.components:
            linear = nn.Dense(config.latent_dim, use_bias=False, kernel_init=self._through_the_flow)(coordinates)
        return Posterior(mean(hidden) + linear, jnp.clip(log_std, *LOG_STD_RANGE), context)

    def _through_the_flow(self, _key: jax.Array, shape: tuple[int, int], dtype: jnp.dtype) -> jax.Array:
        """The first coordinates, so scaled and turned that a fresh flow gives them back as they were."""
        shrinks = (1 + np.exp(-self.config.flow_offset)) ** self.config.flow_steps
        kernel = shrinks * np.eye(*shape)
        return jnp.asarray(kernel[:, ::-1] if self.config.flow_steps % 2 else kernel, dtype)


class Decoder(nn.Module):
    """Latent (batch, latent) -> coordinates (batch, components), and what convolutions add (batch, frames, mels)."""

    config: ModelConfig
    frames: int
    mels: int

    @nn.compact
    def __call__(self, z: jax.Array, deterministic: bool = True) -> tuple[jax.Array, jax.Array | float]:
        """Decode a batch."""
        config = self.config
        hidden = Layers(config)(z, deterministic)
        added = Synthesis(config, self.frames, self.mels)(hidden) if config.width else 0.0
        if not config.components:
            return jnp.zeros((z.shape[0], 0), z.dtype), added
        learnt = nn.Dense(config.components, kernel_init=nn.initializers.zeros_init())(hidden)
        return nn.Dense(config.components, use_bias=False, kernel_init=_identity)(z) + learnt, added


class Timbre(nn.Module):
    """A sound's timbre in units of the training sounds' deviations. Not trained; see `trainable`.

    Attributes:
        cepstra: See `vaelab.audio.timbre`.
    """

    cepstra: int

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        """Features (batch, frames, mels) -> (batch, statistics)."""
        found = timbre.statistics(features, self.cepstra)
        centre = self.param("centre", nn.initializers.zeros_init(), found.shape[1:])
        spread = self.param("spread", nn.initializers.ones_init(), found.shape[1:])
        return (found - centre[None]) / spread[None]


class Ear(nn.Module):
    """RBF similarity of a timbre to landmark timbres: (batch, statistics) -> (batch, EAR). Not trained.

    exp(-d^2 / (2 KERNEL_WIDTH^2)) for each known sound, with d^2 the mean square distance of the statistics: a linear
    classifier of these draws smooth boundaries of any shape.
    """

    @nn.compact
    def __call__(self, timbre: jax.Array) -> jax.Array:
        """Listen to a batch."""
        size = timbre.shape[1]
        known = self.param("known", nn.initializers.normal(1.0), (EAR, size))
        squares = (timbre**2).sum(axis=1)[:, None] + (known**2).sum(axis=1)[None] - 2 * timbre @ known.T
        return jnp.exp(-jnp.maximum(squares, 0) / (2 * KERNEL_WIDTH**2 * size))


def _identity(_key: jax.Array, shape: tuple[int, int], dtype: jnp.dtype) -> jax.Array:
    return jnp.eye(*shape, dtype=dtype)
