"""Augmentation: sounds that might as well have been recorded, made from a batch of features at random.

One-shots differ from kit to kit in when they begin in their file, how they are tuned and how they were equalised:
these three are varied. All knobs are zero, off, by default; what is off costs nothing and draws nothing.
"""

import jax
import jax.numpy as jnp

from vaelab.config import Config


def augment(key: jax.Array, features: jax.Array, config: Config) -> jax.Array:
    """A batch with each sound changed at random, as the knobs of `TrainConfig` say.

    Args:
        key: Of this batch.
        features: (batch, frames, mels) in [0, 1]; 0 is silence.
        config: All knobs.

    Returns:
        (batch, frames, mels) in [0, 1].
    """
    when, pitch, colour = jax.random.split(key, 3)
    train, sounds = config.train, (features.shape[0],)
    if train.shift_frames:
        features = shifted(features, jax.random.randint(when, sounds, 0, train.shift_frames + 1), axis=1)
    if train.shift_bins:
        steps = jax.random.randint(pitch, sounds, -train.shift_bins, train.shift_bins + 1)
        features = shifted(features, steps, axis=2)
    if train.tilt_db:
        widest = train.tilt_db / config.audio.top_db
        features = tilted(features, jax.random.uniform(colour, sounds, minval=-widest, maxval=widest))
    return features


def shifted(features: jax.Array, steps: jax.Array, axis: int) -> jax.Array:
    """Each sound moved by its number of places along an axis; what comes in from outside is silence.

    Args:
        features: (batch, frames, mels).
        steps: Whole numbers (batch,); positive is later, or up.
        axis: 1 for frames, 2 for mel bands.
    """
    size = features.shape[axis]
    sources = jnp.arange(size)[None, :] - steps[:, None]
    inside = (sources >= 0) & (sources < size)
    places = jnp.clip(sources, 0, size - 1)
    expand = (slice(None), slice(None), None) if axis == 1 else (slice(None), None, slice(None))
    return jnp.where(inside[expand], jnp.take_along_axis(features, places[expand], axis=axis), 0)


def tilted(features: jax.Array, slope: jax.Array) -> jax.Array:
    """Each sound's level raised in proportion to the band, its maximum kept; silence stays silent.

    Args:
        features: (batch, frames, mels) in [0, 1].
        slope: (batch,), in shares of the dynamic range from the lowest band to the highest.
    """
    ramp = slope[:, None, None] * jnp.linspace(-0.5, 0.5, features.shape[2])[None, None, :]
    raised = features + ramp
    peak = features.max(axis=(1, 2), keepdims=True) - raised.max(
        axis=(1, 2), keepdims=True, where=features > 0, initial=0
    )
    return jnp.where(features > 0, jnp.clip(raised + peak, 0, 1), 0)
