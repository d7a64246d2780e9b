"""Sound for features that have no phase: tones and noise from the onset on, shaped to the features.

Features say how loud each band of each frame is, not what is in it. A phase that is estimated for smooth features
(`spectral.invert`) flickers from frame to frame, as no real sound does; white noise does not, but has no tones. So the
excitation is a sum of both: low bands, and those that stand out of their neighbours, are mostly tones, high bands
mostly noise. The bands of both, and of their sum, are raised and lowered to those of the features.

The excitation begins where the features do: from frame to frame their energy grows with the part of the squared window
that is past the onset, which gives the onset within a hop.

`python -m experiments.quality.texture` compares other shares and other ways.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vaelab import spectral
from vaelab.config import AudioConfig
from vaelab.spectral import Features, Samples, Spectrum

TONAL_SHARES = ((0.0, 0.9), (600.0, 0.5), (2500.0, 0.2))  # from so many Hz on: share of power that is tones
NEIGHBOURS = (-3, -2, 2, 3)  # bands above which a tone stands out
STEADY_S = 0.1  # a time over which that is measured, in which noise averages out
NOISE_DB, TONE_DB = 3.0, 12.0  # above the neighbours: all of the noise stays; none does
MOST_TONAL, LEAST_TONAL = 0.999, 0.001
ROUNDS = 8  # of Griffin-Lim for the tones: noise hides what more would bring
LEAST_POWER = 1e-5  # of the loudest frame: the first frame of a sound; with 1e-3 onsets are late, with 1e-6 early
FADE_S = 0.0005  # in which the sound begins


def synthesise(features: Features, config: AudioConfig, *, begins: bool = True) -> Samples:
    """Samples whose mel features are close to the ones given, at about the level where mel power peaks at one.

    Args:
        features: In [0, 1].
        config: The front end.
        begins: Whether the sound begins within the features, with silence before; False for a stretch of a sound.
    """
    tones = spectral.invert(features, config, iterations=ROUNDS)
    onset = onsets(features, config) if begins else jnp.zeros(len(features), int)
    return tones_and_noise(features, tones, tonal_share(features, config), onset, jax.random.key(0), config)


@partial(jax.jit, static_argnames="config")
def tones_and_noise(
    features: Features,
    tones: Samples,
    share: Features,
    onset: Int[Array, " batch"],
    key: jax.Array,
    config: AudioConfig,
) -> Samples:
    """Samples with the bands of features, of tones and white noise.

    Args:
        features: In [0, 1].
        tones: Samples with a phase that fits the features.
        share: Of power that is tones, in each cell; the rest is noise.
        onset: Silence up to these samples.
        key: Of the noise.
        config: The front end.
    """
    share = jnp.clip(share, LEAST_TONAL, MOST_TONAL)
    gate = jnp.clip((jnp.arange(tones.shape[1])[None, :] - onset[:, None]) / (FADE_S * config.sample_rate), 0, 1)
    parts = (tones, share), (jax.random.normal(key, (1, tones.shape[1])), 1 - share)
    spectrum = sum(
        _shaped(samples * gate, features + 10 * jnp.log10(of_power) / config.top_db, config)
        for samples, of_power in parts
    )
    spectrum = _shaped(spectral.istft(spectrum, config) * gate, features, config)
    return spectral.istft(spectrum, config) * gate


@partial(jax.jit, static_argnames="config")
def tonal_share(features: Features, config: AudioConfig) -> Features:
    """Share of power that is tones, of each cell: by its frequency, and by how far its band stands out for a while."""
    decibels = config.top_db * _mean_over_frames(
        features, max(1, round(STEADY_S * config.sample_rate / config.hop_length))
    )
    reach = max(NEIGHBOURS)
    padded = jnp.pad(decibels, ((0, 0), (0, 0), (reach, reach)), mode="edge")
    around = sum(padded[:, :, reach + step :][:, :, : features.shape[2]] for step in NEIGHBOURS) / len(NEIGHBOURS)
    noisy = jnp.clip((TONE_DB - (decibels - around)) / (TONE_DB - NOISE_DB), 0, 1)
    return 1 - noisy * (1 - usual_share(config)[None, None, :])


def usual_share(config: AudioConfig) -> Float[np.ndarray, " mels"]:
    """Share of power that is tones, of bands that do not stand out."""
    filters = spectral.filterbank(config)
    centres = filters @ np.fft.rfftfreq(config.n_fft, 1 / config.sample_rate) / np.maximum(filters.sum(axis=1), 1e-9)
    edges, shares = zip(*TONAL_SHARES, strict=True)
    return np.asarray(shares, np.float32)[np.searchsorted(edges, centres, side="right") - 1]


@partial(jax.jit, static_argnames="config")
def onsets(features: Features, config: AudioConfig) -> Int[Array, " batch"]:
    """Onset of each sound in samples, estimated from the energies of the frames about its beginning.

    With the integral C of the squared window, up to 1, a frame whose window ends x samples behind an onset has C(x) of
    the energy of frames that are past it; the ratio gives x.
    """
    power = jnp.where(features > 0, 10 ** ((features - 1) * config.top_db / 10), 0).sum(axis=2)
    first = jnp.argmax(power > LEAST_POWER * power.max(axis=1, keepdims=True), axis=1)
    about = first[:, None] + np.arange(config.n_fft // config.hop_length + 2)[None, :]  # the last are past the onset
    rising = jnp.take_along_axis(power, jnp.minimum(about, power.shape[1] - 1), axis=1)
    largest = rising.max(axis=1)
    ratio = jnp.where(largest > 0, rising[:, 0] / largest, 1)  # silence begins at once
    start = first * config.hop_length - config.n_fft // 2
    return jnp.maximum(0, start + jnp.searchsorted(jnp.asarray(_passed(config)), 1 - ratio))


def _passed(config: AudioConfig) -> Float[np.ndarray, " n_fft"]:
    """Share of a squared Hann window's energy up to each of its samples."""
    passed = np.cumsum(np.square(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(config.n_fft) / config.n_fft)))
    return (passed / passed[-1]).astype(np.float32)


def _mean_over_frames(features: Features, width: int) -> Features:
    """Moving average over so many frames, about each."""
    before = (width - 1) // 2
    padded = jnp.pad(features, ((0, 0), (before, width - 1 - before), (0, 0)), mode="edge")
    return sum(padded[:, step : step + features.shape[1]] for step in range(width)) / width


def _shaped(samples: Samples, target: Features, config: AudioConfig) -> Spectrum:
    """The spectrum of samples with its bands raised and lowered to a target, and nothing outside of them."""
    features, level_db = spectral.mel(samples, config)
    levelled = spectral.stft(samples, config) * 10 ** (-level_db / 20)[:, None, None]
    covered = spectral.filterbank(config).any(axis=0)[None, None, :]
    return spectral.equalise(levelled * covered, config.top_db * (target - features), config)
