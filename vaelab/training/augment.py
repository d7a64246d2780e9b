"""Augmentation: sounds that might as well have been recorded, made from a batch of features at random.

One-shots differ from kit to kit in when they begin in their file, how they are tuned and how they were equalised:
these three are varied. A knob at zero is off, costs nothing and draws nothing.
"""

import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from vaelab.config import Config
from vaelab.spectral import BATCH, map_stored

# Bounds of the variants that components are fitted to.
VARIED_BINS, VARIED_TIME, VARIED_TILT = 4, 1.3, 0.4


def augment(key: jax.Array, features: jax.Array, config: Config) -> jax.Array:
    """Change each sound of a batch (batch, frames, mels) in [0, 1] at random, as the knobs of `TrainConfig` say."""
    when, pitch, colour = jax.random.split(key, 3)
    train, sounds = config.train, (features.shape[0],)
    if train.vary:
        chance_key, variant_key = jax.random.split(jax.random.fold_in(key, 3))
        chosen = jax.random.bernoulli(chance_key, train.vary, sounds)
        features = jnp.where(chosen[:, None, None], variant(variant_key, features), features)
    if train.shift_frames:
        features = shifted(features, jax.random.randint(when, sounds, 0, train.shift_frames + 1), axis=1)
    if train.shift_bins:
        steps = jax.random.randint(pitch, sounds, -train.shift_bins, train.shift_bins + 1)
        features = shifted(features, steps, axis=2)
    if train.tilt_db:
        widest = train.tilt_db / config.audio.top_db
        features = tilted(features, jax.random.uniform(colour, sounds, minval=-widest, maxval=widest))
    return features


def variant(key: jax.Array, features: jax.Array) -> jax.Array:
    """Sounds (batch, frames, mels) tuned, stretched and tilted at random, each by its own amount."""
    pitch, time, colour = jax.random.split(key, 3)
    sounds = (features.shape[0],)
    features = shifted(features, jax.random.randint(pitch, sounds, -VARIED_BINS, VARIED_BINS + 1), axis=2)
    features = stretched(
        features, jnp.exp(jax.random.uniform(time, sounds, minval=-1, maxval=1) * jnp.log(VARIED_TIME))
    )
    return tilted(features, jax.random.uniform(colour, sounds, minval=-VARIED_TILT, maxval=VARIED_TILT))


def varying(key: jax.Array) -> Callable[[np.ndarray], np.ndarray]:
    """Make a function from features to variants of them, other ones at each call."""
    vary, calls = jax.jit(variant), itertools.count()

    def varied(features: np.ndarray) -> np.ndarray:
        call_key, numbers = jax.random.fold_in(key, next(calls)), itertools.count(step=BATCH)
        return map_stored(lambda batch: vary(jax.random.fold_in(call_key, next(numbers)), batch), features)

    return varied


def stretched(features: jax.Array, factors: jax.Array) -> jax.Array:
    """Make each sound (batch, frames, mels) longer by a factor (batch,), or below 1 shorter, interpolating frames."""
    frames = features.shape[1]
    at = jnp.arange(frames)[None, :] / factors[:, None]
    before = jnp.clip(at.astype(int), 0, frames - 2)
    share = jnp.clip(at - before, 0, 1)[:, :, None]
    first, second = (jnp.take_along_axis(features, index[:, :, None], axis=1) for index in (before, before + 1))
    return jnp.where((at <= frames - 1)[:, :, None], (1 - share) * first + share * second, 0)


def shifted(features: jax.Array, steps: jax.Array, axis: int) -> jax.Array:
    """Move each sound (batch, frames, mels) by whole steps (batch,) along an axis, filling in silence.

    Positive steps are later (axis 1, frames) or up (axis 2, mel bands).
    """
    size = features.shape[axis]
    sources = jnp.arange(size)[None, :] - steps[:, None]
    inside = (sources >= 0) & (sources < size)
    places = jnp.clip(sources, 0, size - 1)
    expand = (slice(None), slice(None), None) if axis == 1 else (slice(None), None, slice(None))
    return jnp.where(inside[expand], jnp.take_along_axis(features, places[expand], axis=axis), 0)


def tilted(features: jax.Array, slope: jax.Array) -> jax.Array:
    """Raise each sound's level in proportion to the band, and keep its maximum; silence stays silent.

    The slope (batch,) is in shares of the dynamic range from the lowest band to the highest.
    """
    ramp = slope[:, None, None] * jnp.linspace(-0.5, 0.5, features.shape[2])[None, None, :]
    raised = features + ramp
    old = features.max(axis=(1, 2), keepdims=True)
    new = raised.max(axis=(1, 2), keepdims=True, where=features > 0, initial=0)
    return jnp.where(features > 0, jnp.clip(raised + (old - new), 0, 1), 0)
