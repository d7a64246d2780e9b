"""Samples to mel features and back, as jitted, batched JAX.

The front end is librosa's (centred, zero-padded, periodic Hann, power 2, Slaney mel with Slaney norm, dB
relative to the clip's maximum) with the last frame dropped: frames = samples // hop. Features are
`1 + (dB - level) / top_db`, clipped to [0, 1]; the level, the clip's maximum in dB, is kept beside them.

The way back solves for the non-negative power spectrum behind the mel bands, guesses a phase from how the magnitudes
change, and refines it with fast Griffin-Lim. Above `NOISY_HZ` the phase begins as that of white noise: a guess for
noise is alike in all bins, and is heard as a buzz at the hop's rate. One filterbank serves both directions. The
constants below were chosen by `python -m experiments.quality.inversion`.

Sources: Griffin and Lim 1984, "Signal estimation from modified short-time Fourier transform"; Perraudin,
Balazs and Soendergaard 2013, "A fast Griffin-Lim algorithm"; Prusa, Balazs and Soendergaard 2017, "A noniterative
method for reconstruction of phase from STFT magnitude"; Lee and Seung 2001 for the multiplicative update; Slaney 1998,
"Auditory Toolbox", for the mel scale.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Inexact, Int, UInt8

from vaelab.config import AudioConfig

LINEAR_HZ, HZ_A_MEL, LOG_STEP = 1000.0, 200 / 3, np.log(6.4) / 27  # of Slaney's mel scale
BATCH = 64  # stored features that are mapped at a time
LEVELS = 255  # of a stored feature, beside silence: 80 dB in steps of 0.31 dB
AUDIBLE = 0.25  # features above it are audible: the upper 60 of 80 dB
POWER_FLOOR = 1e-10  # librosa's amin: a clip whose maximum lies below is silence
TOGETHER = 32  # mel filters in one matrix product: measured faster than 16, 64 or all
MEL_UPDATES = 24
MEL_UPDATES_WITH_PHASE = 8  # more help to find a phase, and hardly (2 %) where there is one
GRIFFIN_LIM_ROUNDS = 16
MOMENTUM = 0.99  # Perraudin et al. recommend values close to one
HANN_GAMMA = 0.25645  # exp(-pi t^2 / gamma), gamma = HANN_GAMMA * n_fft^2, is the Gaussian nearest to a Hann window
ONSET = 0.3  # nepers from one frame to the next that make an onset: a steady tone's rounding errors must not
NOISY_HZ = 2500.0
MOST_GAIN_DB = 40.0  # of a band of `equalise`
PHASE_FLOOR = 1e-4  # of the largest magnitude: changes below it say nothing of phase

Samples = Float[Array | np.ndarray, "batch samples"]
Features = Float[Array | np.ndarray, "batch frames mels"]
Decibels = Float[Array, " batch"]
Bins = Float[Array | np.ndarray, "batch frames bins"]
Spectrum = Complex[Array | np.ndarray, "batch frames bins"]


@lru_cache
def filterbank(config: AudioConfig) -> Float[np.ndarray, "mels bins"]:
    """Slaney mel filters over n_fft // 2 + 1 bins: triangles of equal area, evenly spaced in mel.

    Computed here and not by librosa, which gives the same bits: importing its filters takes as long as JAX.
    """
    fmax = config.sample_rate / 2 if config.fmax is None else config.fmax
    edges = _hz(np.linspace(_mels(config.fmin), _mels(fmax), config.n_mels + 2))
    hz = np.fft.rfftfreq(config.n_fft, 1 / config.sample_rate)[None, :]
    rising = (hz - edges[:-2, None]) / np.diff(edges[:-1])[:, None]
    falling = (edges[2:, None] - hz) / np.diff(edges[1:])[:, None]
    triangles = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    return (triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)


def _mels(hz: float) -> float:
    """Slaney's mel scale: linear up to `LINEAR_HZ`, then logarithmic."""
    return hz / HZ_A_MEL if hz < LINEAR_HZ else LINEAR_HZ / HZ_A_MEL + np.log(hz / LINEAR_HZ) / LOG_STEP


def _hz(mels: Float[np.ndarray, " any"]) -> Float[np.ndarray, " any"]:
    """Inverse of `_mels`."""
    above = mels - LINEAR_HZ / HZ_A_MEL
    return np.where(above < 0, mels * HZ_A_MEL, LINEAR_HZ * np.exp(LOG_STEP * above))


def fit_length(samples: Float[np.ndarray, " any"], config: AudioConfig) -> Float[np.ndarray, " samples"]:
    """Pad with silence or crop to one clip of config.samples."""
    clip = np.zeros(config.samples, np.float32)
    clip[: len(samples)] = samples[: config.samples]
    return clip


def mel(samples: Samples, config: AudioConfig) -> tuple[Features, Decibels]:
    """Mel features of a batch of clips.

    Args:
        samples: (batch, config.samples).
        config: The front end.

    Returns:
        features: In [0, 1]; 0 is `top_db` or more below the clip's maximum. Silence is all zeros.
        level_db: The maximum of the clip's mel power in dB.
    """
    return _mel(samples, config)


def stored_mel(samples: Samples, config: AudioConfig) -> tuple[UInt8[Array, "batch frames mels"], Decibels]:
    """As `mel`, with the features quantised in the same pass."""
    return _stored_mel(samples, config)


def quantise(features: Float[Array | np.ndarray, "..."]) -> UInt8[Array | np.ndarray, "..."]:
    """Features in [0, 1] as the uint8 levels in which they are stored, by NumPy or JAX as they come."""
    return (features * LEVELS).round().astype(np.uint8)


def dequantise(levels: UInt8[Array | np.ndarray, "..."]) -> Float[Array | np.ndarray, "..."]:
    """Stored uint8 levels as float32 features in [0, 1], by NumPy or JAX as they come (last digits differ)."""
    return levels.astype(np.float32) / LEVELS


def map_stored(
    function: Callable[[UInt8[np.ndarray, "batch frames mels"]], Array],
    levels: Any,
    chosen: Int[np.ndarray, " rows"] | None = None,
    size: int = BATCH,
) -> Float[np.ndarray, "rows ..."]:
    """Apply a function of batches of stored features to all of them, or to chosen rows.

    All batches have the same size (the last one repeats itself), so that one shape is compiled.

    Args:
        function: Stored features of a batch -> an array with a row for each sound.
        levels: uint8 (sounds, frames, mels), in memory or read when indexed.
        chosen: Rows; None is all.
        size: Rows in a batch.
    """
    chosen = np.arange(len(levels)) if chosen is None else chosen
    batches = (np.resize(chosen[start : start + size], size) for start in range(0, len(chosen), size))
    return np.concatenate([np.asarray(function(np.asarray(levels[rows]))) for rows in batches])[: len(chosen)]


def evenly_spaced(count: int, most: int) -> Int[np.ndarray, " rows"]:
    """Indices of at most so many of `count` rows, evenly spaced from the first to the last."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(int)


def invert(
    features: Features,
    config: AudioConfig,
    phase: Bins | None = None,
    iterations: int | None = None,
) -> Samples:
    """Samples whose mel features are close to the ones given, at the level where mel power peaks at one.

    Args:
        features: In [0, 1].
        config: The front end.
        phase: Radians, as of `stft`; None starts from `guess_phase`.
        iterations: Griffin-Lim rounds; None is 16 without a phase and 0 with one, which rounds only harm.
    """
    if iterations is None:
        iterations = GRIFFIN_LIM_ROUNDS if phase is None else 0
    return _invert(features, filterbank(config), phase, jax.random.key(0), config, iterations)


def guess_phase(magnitude: Bins, config: AudioConfig) -> Bins:
    """Guess a phase, in radians, from magnitudes alone, without iteration.

    For a Gaussian window exp(-pi t^2 / gamma), and nearly for a Hann window, the phase's slopes are those of the
    log magnitude: the delay within a window is -(1 / 2 pi) d phase / df = (gamma / 2 pi) d log|S| / dt, and
    d phase / dt = 2 pi f + (1 / gamma) d log|S| / df. Bins that grow belong to an onset, which holds all
    frequencies together: there the delay is integrated over frequency, elsewhere the phase goes on in time.
    """
    n_fft, hop, bins = config.n_fft, config.hop_length, config.n_fft // 2 + 1
    gamma = HANN_GAMMA * n_fft**2
    largest = jnp.max(magnitude, axis=(1, 2), keepdims=True)
    log = jnp.log(magnitude + jnp.maximum(PHASE_FLOOR * largest, jnp.finfo(magnitude.dtype).tiny))
    over_time = jnp.pad((log[:, 2:] - log[:, :-2]) / (2 * hop), ((0, 0), (1, 1), (0, 0)))
    padded = jnp.pad(log, ((0, 0), (0, 0), (1, 1)), mode="edge")
    over_frequency = (padded[:, :, 2:] - padded[:, :, :-2]) * n_fft / 2
    bin_numbers = jnp.arange(bins, dtype=log.dtype)[None, None, :]
    delay = n_fft / 2 + jnp.clip(gamma / (2 * jnp.pi) * over_time, -n_fft / 2, n_fft / 2)  # samples into the window
    onset = -2 * jnp.pi / n_fft * (jnp.cumsum(delay, axis=2) - delay[:, :, :1])
    advance = 2 * jnp.pi * hop * bin_numbers / n_fft + hop / gamma * over_frequency
    grows = jnp.pad(log[:, 1:] > log[:, :-1] + ONSET, ((0, 0), (1, 0), (0, 0)), constant_values=True)

    def follow(phase, frame):
        onset, advance, grows = frame
        phase = jnp.where(grows, onset, (phase + advance) % (2 * jnp.pi))
        return phase, phase

    frames = tuple(jnp.swapaxes(part, 0, 1) for part in (onset, advance, grows))
    return jnp.swapaxes(jax.lax.scan(follow, onset[:, 0], frames)[1], 0, 1)


def stft(samples: Samples, config: AudioConfig) -> Spectrum:
    """Centred STFT without its last frame, over n_fft // 2 + 1 bins."""
    half = config.n_fft // 2
    chunks = _chunks(config)
    length = (config.frames - 1 + chunks) * config.hop_length
    padded = jnp.pad(samples, ((0, 0), (half, max(0, length - half - samples.shape[1]))))[:, :length]
    hops = padded.reshape(samples.shape[0], -1, config.hop_length)
    frames = jnp.concatenate([hops[:, k : k + config.frames] for k in range(chunks)], axis=2)
    return jnp.fft.rfft(frames[:, :, : config.n_fft] * _window(config)[None, None, :])


def istft(spectrum: Spectrum, config: AudioConfig) -> Samples:
    """Least-squares inverse of `stft`."""
    half = config.n_fft // 2
    frames = jnp.fft.irfft(spectrum, config.n_fft) * _window(config)[None, None, :]
    total = _overlap_add(frames, config)[:, half : half + config.samples]
    return jnp.pad(total / _window_power(config)[None, :], ((0, 0), (0, config.samples - total.shape[1])))


def equalise(
    spectrum: Inexact[Array | np.ndarray, "#batch frames bins"],
    gains_db: Float[Array | np.ndarray, "#batch frames mels"],
    config: AudioConfig,
) -> Inexact[Array, "batch frames bins"]:
    """Raise and lower the bands of a spectrum, or of its magnitudes; gains in dB are linear between band centres.

    One spectrum may take several sets of gains, and several spectra one set. No band is raised by more than
    `MOST_GAIN_DB`, so that noise far below a sound stays there. The bins beyond the first and last centre have the
    gains of these; those that no band covers keep their level.
    """
    filters = filterbank(config)
    shares = filters / np.maximum(filters.sum(axis=0, keepdims=True), np.finfo(np.float32).tiny)
    gains = jnp.minimum(gains_db, MOST_GAIN_DB) @ shares
    return spectrum * 10 ** (gains / 20)


def _chunks(config: AudioConfig) -> int:
    """Hops that one window spans."""
    return -(-config.n_fft // config.hop_length)


def _window(config: AudioConfig) -> Float[np.ndarray, " n_fft"]:
    """Periodic Hann window."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(config.n_fft) / config.n_fft)).astype(np.float32)


@lru_cache
def _window_power(config: AudioConfig) -> Float[np.ndarray, " samples"]:
    """Sum of squared windows over each sample of a clip, floored where hardly any window reaches."""
    total = np.zeros((config.frames - 1 + _chunks(config)) * config.hop_length)
    for frame in range(config.frames):
        total[frame * config.hop_length :][: config.n_fft] += _window(config).astype(float) ** 2
    total = total[config.n_fft // 2 :][: config.samples]
    return np.maximum(total, 0.05 * total.max()).astype(np.float32)


def _overlap_add(frames: Float[Array, "batch frames n_fft"], config: AudioConfig) -> Samples:
    """Add windows at their hops.

    A sum of a few shifted copies, which XLA fuses; a scatter would run one sample at a time on a CPU.
    """
    chunks = _chunks(config)
    frames = jnp.pad(frames, ((0, 0), (0, 0), (0, chunks * config.hop_length - config.n_fft)))
    parts = jnp.split(frames, chunks, axis=2)
    total = sum(jnp.pad(part, ((0, 0), (k, chunks - 1 - k), (0, 0))) for k, part in enumerate(parts))
    return total.reshape(frames.shape[0], -1)


@partial(jax.jit, static_argnames="config")
def _mel(samples: Samples, config: AudioConfig) -> tuple[Features, Decibels]:
    spectrum = stft(samples, config)
    power = _mel_power(jnp.square(spectrum.real) + jnp.square(spectrum.imag), config)
    decibels = 10 * jnp.log10(jnp.maximum(power, POWER_FLOOR))
    level_db = decibels.max(axis=(1, 2))
    features = jnp.clip(1 + (decibels - level_db[:, None, None]) / config.top_db, 0, 1)
    silent = power.max(axis=(1, 2), keepdims=True) <= POWER_FLOOR
    return jnp.where(silent, 0, features), level_db


@partial(jax.jit, static_argnames="config")
def _stored_mel(samples: Samples, config: AudioConfig) -> tuple[UInt8[Array, "batch frames mels"], Decibels]:
    features, level_db = _mel(samples, config)
    return quantise(features), level_db


def _mel_power(power: Float[Array, "... bins"], config: AudioConfig) -> Float[Array, "... mels"]:
    """Power spectrum to mel power.

    Filters are narrow, so neighbours share few bins: a product for each `TOGETHER` filters over the bins that they
    have takes a quarter of the multiplications of one over all bins.
    """
    filters, parts = filterbank(config), []
    for start in range(0, len(filters), TOGETHER):
        group = filters[start : start + TOGETHER]
        bins = np.flatnonzero(group.any(axis=0))
        low, high = (bins[0], bins[-1] + 1) if len(bins) else (0, 1)
        parts.append(power[..., low:high] @ group[:, low:high].T)
    return jnp.concatenate(parts, axis=-1)


@partial(jax.jit, static_argnames=("config", "iterations"))
def _invert(
    features: Features,
    filters: Float[Array, "mels bins"],
    phase: Bins | None,
    noise_key: jax.Array,
    config: AudioConfig,
    iterations: int,
) -> Samples:
    magnitude = magnitudes(features, filters, config, MEL_UPDATES if phase is None else MEL_UPDATES_WITH_PHASE)
    if phase is None:
        noise = stft(jax.random.normal(noise_key, (1, config.samples)), config)
        phase = jnp.where(_is_noisy(config), jnp.angle(noise), guess_phase(magnitude, config))
    return istft(_griffin_lim(magnitude, jnp.exp(1j * phase), config, iterations), config)


def _is_noisy(config: AudioConfig) -> Bool[np.ndarray, "1 1 bins"]:
    """Bins above `NOISY_HZ`."""
    return (np.fft.rfftfreq(config.n_fft, 1 / config.sample_rate) >= NOISY_HZ)[None, None, :]


def magnitudes(
    features: Features, filters: Float[Array | np.ndarray, "mels bins"], config: AudioConfig, updates: int
) -> Bins:
    """Magnitudes of the spectrum behind features, which peaks at a mel power of one; see `power_spectrum`."""
    power = jnp.where(features > 0, 10 ** ((features - 1) * config.top_db / 10), 0)
    return jnp.sqrt(power_spectrum(power, filters, updates))


def power_spectrum(
    mel_power: Features, filters: Float[Array | np.ndarray, "mels bins"], updates: int = MEL_UPDATES
) -> Bins:
    """Non-negative S with S @ filters.T close to the mel power.

    Multiplicative updates S <- S * ((Y M) / (S M^T M)) ** 1.75 keep S non-negative and lower the squared error. With a
    power below 2 they still converge, nearly twice as fast as with 1; this one needs two square roots and no logarithm.
    """
    tiny = jnp.finfo(mel_power.dtype).tiny ** 0.5
    target = mel_power @ filters

    def update(_, spectrum):
        ratio = target / jnp.maximum((spectrum @ filters.T) @ filters, tiny)
        root = jnp.sqrt(ratio)
        return spectrum * ratio * root * jnp.sqrt(root)

    start = target / jnp.maximum(filters.sum(axis=1) @ filters, tiny)[None, None, :]
    return jax.lax.fori_loop(0, updates, update, start)


def _griffin_lim(magnitude: Bins, direction: Spectrum, config: AudioConfig, rounds: int) -> Spectrum:
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
