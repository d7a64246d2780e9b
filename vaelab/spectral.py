"""Samples to mel features and back, as jitted, batched JAX.

The front end is librosa's (centred, zero-padded, periodic Hann, power 2, Slaney mel with Slaney norm, dB
relative to the clip's maximum) with the last frame dropped: frames = samples // hop. Features are
`1 + (dB - level) / top_db`, clipped to [0, 1]; the level, the clip's maximum in dB, is kept beside them.

The way back solves for the non-negative power spectrum behind the mel bands, then finds a phase with fast
Griffin-Lim. One filterbank serves both directions.

Sources: Griffin and Lim 1984, "Signal estimation from modified short-time Fourier transform"; Perraudin,
Balazs and Soendergaard 2013, "A fast Griffin-Lim algorithm"; Lee and Seung 2001 for the multiplicative
update.
"""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from vaelab.config import AudioConfig

POWER_FLOOR = 1e-10  # librosa's amin: a clip whose maximum lies below is silence
TOGETHER = 32  # mel filters in one matrix product: measured faster than 16, 64 or all
MEL_UPDATES = 24
GRIFFIN_LIM_ROUNDS = 32
MOMENTUM = 0.99  # Perraudin et al. recommend values close to one


@lru_cache
def filterbank(config: AudioConfig) -> np.ndarray:
    """Slaney mel filters, float32 (mels, n_fft // 2 + 1)."""
    from librosa.filters import mel as mel_filters  # slow to import, and only needed once per config

    return mel_filters(
        sr=config.sample_rate, n_fft=config.n_fft, n_mels=config.n_mels, fmin=config.fmin, fmax=config.fmax
    )


def fit_length(samples: np.ndarray, config: AudioConfig) -> np.ndarray:
    """Pad with silence or crop to one clip: (samples,) of any length -> (config.samples,)."""
    clip = np.zeros(config.samples, np.float32)
    clip[: len(samples)] = samples[: config.samples]
    return clip


def mel(samples: jax.Array, config: AudioConfig) -> tuple[jax.Array, jax.Array]:
    """Mel features of a batch of clips.

    Args:
        samples: (batch, config.samples).
        config: The front end.

    Returns:
        features: (batch, frames, mels) in [0, 1]; 0 is `top_db` or more below the clip's maximum. Silence
            is all zeros.
        level_db: (batch,), the maximum of the clip's mel power in dB.
    """
    return _mel(samples, config)


def stored_mel(samples: jax.Array, config: AudioConfig) -> tuple[jax.Array, jax.Array]:
    """As `mel`, with the features quantised in the same pass: uint8 (batch, frames, mels) and (batch,)."""
    return _stored_mel(samples, config)


def quantise(features: jax.Array) -> jax.Array:
    """Features as the uint8 levels in which they are stored (80 dB / 255 = 0.31 dB steps)."""
    return jnp.round(jnp.asarray(features) * 255).astype(jnp.uint8)


def dequantise(levels: jax.Array) -> jax.Array:
    """Stored uint8 levels as float32 features in [0, 1]."""
    return jnp.asarray(levels).astype(jnp.float32) / 255


def invert(
    features: jax.Array,
    config: AudioConfig,
    phase: jax.Array | None = None,
    iterations: int | None = None,
) -> jax.Array:
    """Samples whose mel features are close to the ones given, at the level where mel power peaks at one.

    Args:
        features: (batch, frames, mels) in [0, 1].
        config: The front end.
        phase: Radians, (batch, frames, n_fft // 2 + 1); None starts from zero phase.
        iterations: Griffin-Lim rounds; None is 32 from zero phase and 0 with a phase, which rounds only harm.

    Returns:
        (batch, config.samples).
    """
    if iterations is None:
        iterations = GRIFFIN_LIM_ROUNDS if phase is None else 0
    if phase is None:
        phase = jnp.zeros((*features.shape[:2], config.n_fft // 2 + 1), jnp.float32)
    return _invert(features, filterbank(config), phase, config, iterations)


def stft(samples: jax.Array, config: AudioConfig) -> jax.Array:
    """Centred STFT without its last frame: (batch, samples) -> complex (batch, frames, n_fft // 2 + 1)."""
    half = config.n_fft // 2
    chunks = _chunks(config)
    length = (config.frames - 1 + chunks) * config.hop_length
    padded = jnp.pad(samples, ((0, 0), (half, max(0, length - half - samples.shape[1]))))[:, :length]
    hops = padded.reshape(samples.shape[0], -1, config.hop_length)
    frames = jnp.concatenate([hops[:, k : k + config.frames] for k in range(chunks)], axis=2)
    return jnp.fft.rfft(frames[:, :, : config.n_fft] * _window(config)[None, None, :])


def istft(spectrum: jax.Array, config: AudioConfig) -> jax.Array:
    """Least-squares inverse of `stft`: complex (batch, frames, n_fft // 2 + 1) -> (batch, config.samples)."""
    half = config.n_fft // 2
    frames = jnp.fft.irfft(spectrum, config.n_fft) * _window(config)[None, None, :]
    total = _overlap_add(frames, config)[:, half : half + config.samples]
    return jnp.pad(total / _window_power(config)[None, :], ((0, 0), (0, config.samples - total.shape[1])))


def _chunks(config: AudioConfig) -> int:
    """Hops that one window spans."""
    return -(-config.n_fft // config.hop_length)


def _window(config: AudioConfig) -> np.ndarray:
    """Periodic Hann window, (n_fft,)."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(config.n_fft) / config.n_fft)).astype(np.float32)


@lru_cache
def _window_power(config: AudioConfig) -> np.ndarray:
    """Sum of squared windows over each sample of a clip, floored where hardly any window reaches."""
    total = np.zeros((config.frames - 1 + _chunks(config)) * config.hop_length)
    for frame in range(config.frames):
        total[frame * config.hop_length :][: config.n_fft] += _window(config).astype(float) ** 2
    total = total[config.n_fft // 2 :][: config.samples]
    return np.maximum(total, 0.05 * total.max()).astype(np.float32)


def _overlap_add(frames: jax.Array, config: AudioConfig) -> jax.Array:
    """Add windows at their hops: (batch, frames, n_fft) -> (batch, (frames - 1 + chunks) * hop).

    A sum of a few shifted copies, which XLA fuses; a scatter would run one sample at a time on a CPU.
    """
    chunks = _chunks(config)
    frames = jnp.pad(frames, ((0, 0), (0, 0), (0, chunks * config.hop_length - config.n_fft)))
    parts = jnp.split(frames, chunks, axis=2)
    total = sum(jnp.pad(part, ((0, 0), (k, chunks - 1 - k), (0, 0))) for k, part in enumerate(parts))
    return total.reshape(frames.shape[0], -1)


@partial(jax.jit, static_argnames="config")
def _mel(samples: jax.Array, config: AudioConfig) -> tuple[jax.Array, jax.Array]:
    spectrum = stft(samples, config)
    power = _mel_power(jnp.square(spectrum.real) + jnp.square(spectrum.imag), config)
    decibels = 10 * jnp.log10(jnp.maximum(power, POWER_FLOOR))
    level_db = decibels.max(axis=(1, 2))
    features = jnp.clip(1 + (decibels - level_db[:, None, None]) / config.top_db, 0, 1)
    silent = power.max(axis=(1, 2), keepdims=True) <= POWER_FLOOR
    return jnp.where(silent, 0, features), level_db


@partial(jax.jit, static_argnames="config")
def _stored_mel(samples: jax.Array, config: AudioConfig) -> tuple[jax.Array, jax.Array]:
    features, level_db = _mel(samples, config)
    return quantise(features), level_db


def _mel_power(power: jax.Array, config: AudioConfig) -> jax.Array:
    """Power spectrum (..., n_fft // 2 + 1) to mel power (..., mels).

    Filters are narrow, so neighbours share few bins: a product for each `TOGETHER` filters over the bins that they
    have takes a quarter of the multiplications of one over all bins.
    """
    filters, parts = filterbank(config), []
    for start in range(0, len(filters), TOGETHER):
        some = filters[start : start + TOGETHER]
        heard = np.flatnonzero(some.any(axis=0))
        low, high = (heard[0], heard[-1] + 1) if len(heard) else (0, 1)
        parts.append(power[..., low:high] @ some[:, low:high].T)
    return jnp.concatenate(parts, axis=-1)


@partial(jax.jit, static_argnames=("config", "iterations"))
def _invert(
    features: jax.Array, filters: jax.Array, phase: jax.Array, config: AudioConfig, iterations: int
) -> jax.Array:
    power = jnp.where(features > 0, 10 ** ((features - 1) * config.top_db / 10), 0)
    magnitude = jnp.sqrt(_power_spectrum(power, filters))
    return istft(_griffin_lim(magnitude, jnp.exp(1j * phase), config, iterations), config)


def _power_spectrum(mel_power: jax.Array, filters: jax.Array) -> jax.Array:
    """Non-negative S with S @ filters.T close to the mel power: (..., mels) -> (..., n_fft // 2 + 1).

    Multiplicative updates S <- S * (Y M) / (S M^T M) keep S non-negative and never raise the squared error.
    """
    tiny = jnp.finfo(mel_power.dtype).tiny ** 0.5
    target = mel_power @ filters

    def update(_, spectrum):
        return spectrum * target / jnp.maximum((spectrum @ filters.T) @ filters, tiny)

    start = target / jnp.maximum(filters.sum(axis=1) @ filters, tiny)[None, None, :]
    return jax.lax.fori_loop(0, MEL_UPDATES, update, start)


def _griffin_lim(magnitude: jax.Array, direction: jax.Array, config: AudioConfig, rounds: int) -> jax.Array:
    """Fast Griffin-Lim: the spectrum of given magnitude after `rounds` projections with momentum.

    c_n = P_consistent(t_{n-1});  t_n = c_n + momentum * (c_n - c_{n-1}), with magnitudes imposed on t_n.
    """

    def turn(_, state):
        spectrum, previous = state
        consistent = stft(istft(spectrum, config), config)
        ahead = consistent + MOMENTUM * (consistent - previous)
        return magnitude * ahead / jnp.maximum(jnp.abs(ahead), 1e-12), consistent

    start = magnitude * direction
    return jax.lax.fori_loop(0, rounds, turn, (start, jnp.zeros_like(start)))[0]
