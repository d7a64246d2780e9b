"""Between files and a model: clips, features and embeddings one way; samples at the right level the other way.

Each sound is rendered by itself, so that its bytes do not depend on what else was asked for.
"""

import dataclasses
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vaelab import audio, spectral, texture
from vaelab.audio import Recipe, Sound
from vaelab.config import AudioConfig
from vaelab.model import Model
from vaelab.play import detail, latent
from vaelab.play.detail import Detail
from vaelab.text import printable

BATCH = 32
PEAK = 10 ** (-1 / 20)  # -1 dBFS, of the waveform between the samples
OVERSAMPLING = 4
TAPS, KAISER_BETA = 10, 5.0  # of the interpolation between samples: how many on each side, and its window
FADE_IN_S = 0.0005
LONGEST_S = 300.0  # rendered in one piece: 1 GB or so of spectra at 44.1 kHz


def read_clips(
    paths: Sequence[str | os.PathLike], offsets: Sequence[float | None], config: AudioConfig
) -> tuple[list[float], np.ndarray]:
    """The second at which the clip of each file starts, and the clips (n, samples).

    Offsets say where; None is the file's first sound (`audio.read_clip`). A clip
    of silence is told by a warning.

    Raises:
        AudioError: A file cannot be read.
    """
    starts, clips = [], []
    for path, offset in zip(paths, offsets, strict=True):
        start, samples = audio.read_clip(path, config.sample_rate, offset, config.clip_seconds)
        if audio.silence.is_silent(samples):
            warnings.warn(f"{printable(path)}: expected sound from {start:g} s on, found silence", stacklevel=2)
        starts.append(start)
        clips.append(spectral.fit_length(samples, config))
    return starts, np.stack(clips)


def read_stereo(
    paths: Sequence[str | os.PathLike], offsets: Sequence[float], config: AudioConfig, channels: str = "source"
) -> np.ndarray | None:
    """Both channels of the clips of `read_clips`, alike where a file does not have two: (n, 2, samples).

    None for channels "mono", and where no file has two.

    Raises:
        AudioError: A file cannot be read.
        ValueError: Other channels than `audio.CHANNELS`.
    """
    if channels == "mono":
        return None
    read = [
        audio.read(path, config.sample_rate, at, config.clip_seconds, channels=channels)
        for path, at in zip(paths, offsets, strict=True)
    ]
    if all(samples.ndim == 1 for samples in read):
        return None
    sides = [np.broadcast_to(samples.T, (2, len(samples))) for samples in read]
    return np.stack([[spectral.fit_length(side, config) for side in both] for both in sides])


def stored_features(clips: np.ndarray, config: AudioConfig) -> tuple[np.ndarray, np.ndarray]:
    """Features rounded as the store keeps them, so that a file has one embedding; and levels in dB."""
    parts = [spectral.mel(part, config) for part in padded(clips)]
    features = np.concatenate([spectral.dequantise(spectral.quantise(part)) for part, _ in parts])
    levels = np.concatenate([level for _, level in parts])
    return features[: len(clips)], levels[: len(clips)]


def embed(model: Model, features: np.ndarray, refine: int = 0) -> np.ndarray:
    """Deterministic embeddings of features: (n, frames, mels) -> (n, latent), after `refine` gradient steps."""
    embeddings = in_batches(model.encode, features)
    return np.asarray(latent.refine(model, features, embeddings, refine)[0]) if refine else embeddings


def residuals(model: Model, clips: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
    """Features of clips (n, samples), not rounded, minus the decodings of their embeddings: (n, frames, mels)."""
    return in_batches(lambda part: spectral.mel(part, model.audio)[0], clips) - in_batches(model.decode, embeddings)


def mix(
    model: Model,
    features: np.ndarray,
    embeddings: np.ndarray,
    shares: np.ndarray,
    key: jax.Array,
    *,
    count: int = 1,
    variance: float = 0.0,
    spread: float = 0.0,
    refine: int = 0,
) -> np.ndarray:
    """Latents (count, latent) of weighted sums of sounds' embeddings.

    Args:
        model: Encodes.
        features: (n, frames, mels).
        embeddings: Of these features, (n, latent), as `embed` gives.
        shares: (n,), as `latent.normalized` gives.
        key: Of what is random.
        count: How many latents.
        variance: Of Gaussian noise added to the sum.
        spread: Scale of the draws from each sound's posterior; 0 takes the embeddings.
        refine: Gradient steps on each draw.
    """
    noise_key, spread_key = jax.random.split(key) if variance or spread else (key, key)
    drawn = embeddings[None]
    if spread > 0:
        noise = np.asarray(spread * jax.random.normal(spread_key, (count, *embeddings.shape)), np.float32)
        own = [np.repeat(part[None], count, axis=0) for part in features]
        draws = [in_batches(model.encode, part, noise[:, number]) for number, part in enumerate(own)]
        if refine:
            draws = [latent.refine(model, part, z, refine)[0] for part, z in zip(own, draws, strict=True)]
        drawn = np.stack(draws, axis=1)
    z = np.repeat(np.einsum("s,csl->cl", shares, drawn), count // len(drawn), axis=0)
    return z + np.asarray(latent.noise(noise_key, z.shape, variance)) if variance else z


def mean_level(levels: np.ndarray, shares: np.ndarray) -> float:
    """Mean of sources' levels in dB, (n,), by the sizes of their shares."""
    sizes = detail.sizes(shares)
    return float(sizes / sizes.sum() @ levels)


def sound(
    model: Model,
    recipe: Mapping[str, Any],
    z: np.ndarray,
    level_db: float | None = None,
    details: Detail | None = None,
) -> Sound:
    """The clip of `render`, with everything in its recipe that makes it again."""
    recipe = Recipe({**recipe, "level_db": level_db, "latent": np.asarray(z).tolist()})
    samples = render(model, z, level_db, details, headroom=recipe.get("headroom", False))  # recipes of before have none
    return Sound(samples, model.audio.sample_rate, recipe)


def long_sound(model: Model, recipe: Mapping[str, Any], points: np.ndarray, seconds: float) -> Sound:
    """The sound of `render_path`, with everything in its recipe that makes it again."""
    recipe = Recipe({**recipe, "seconds": float(seconds), "points": points.tolist()})
    samples = render_path(model, points, seconds, headroom=recipe.get("headroom", False))
    return Sound(samples, model.audio.sample_rate, recipe)


def render(
    model: Model,
    z: np.ndarray,
    level_db: float | None = None,
    details: Detail | None = None,
    *,
    headroom: bool = False,
) -> np.ndarray:
    """The sound of one latent (latent,): float32 (samples,), or (samples, 2) where the details are in stereo.

    Args:
        model: Decodes.
        z: A point of its latent space.
        level_db: Largest mel power of the mono sound, dB; lowered where the true peak would exceed -1 dBFS. None peaks
            there.
        details: Of the sources, and their phase; None finds a phase.
        headroom: As in `Model.decode`.
    """
    config = model.audio
    features = model.decode(jnp.asarray(z, jnp.float32)[None], headroom=headroom)
    samples = texture.synthesise(features, config) if details is None else detail.samples(features, details, config)
    return finished(np.array(samples[0]), level_db, config, np.array(samples[1:]).T if len(samples) == 3 else None)


def render_path(model: Model, points: np.ndarray, seconds: float, *, headroom: bool = False) -> np.ndarray:
    """One sound of any length along a path (n, latent): float32 (samples,), peaking at -1 dBFS.

    Clips decoded along the path overlap by three quarters and are cross-faded as mel power, by windows that sum to
    one; the phase is then found for the whole at once, so that no clip has an edge in the sound.
    """
    config = model.audio
    long = dataclasses.replace(config, clip_seconds=max(seconds, config.clip_seconds))
    hop = max(1, config.frames // 4)
    count = -(-long.frames // hop) + 3  # three clips begin before the sound does
    decoded = in_batches(partial(model.decode, headroom=headroom), _resampled(points, count))
    power = 10 ** ((decoded - 1) * (config.top_db / 10))
    window = np.sin(np.pi * (np.arange(4 * hop) + 0.5) / (4 * hop)) ** 2 / 2
    total = np.zeros(((count + 3) * hop, config.n_mels))
    for index, clip in enumerate(power):
        total[index * hop :][: 4 * hop] += window[:, None] * clip[: 4 * hop]
    decibels = 10 * np.log10(total[3 * hop :][: long.frames])
    features = np.clip(1 + (decibels - decibels.max()) / config.top_db, 0, 1).astype(np.float32)
    samples = np.array(texture.synthesise(features[None], long, begins=False)[0])
    return finished(samples[: round(seconds * config.sample_rate)], None, long)


def true_peak(samples: np.ndarray) -> float:
    """The largest magnitude of the waveform through samples, in stereo of both channels, four times oversampled."""
    channels = samples.T if samples.ndim == 2 else [samples]
    between = [np.convolve(channel, taps) for channel in channels for taps in _interpolators(samples.dtype)]
    return float(np.max(np.abs(np.concatenate([np.ravel(samples), *between]))))


@lru_cache
def _interpolators(dtype: np.dtype) -> np.ndarray:
    """Windowed sincs (OVERSAMPLING - 1, taps): the waveform between two samples, by those about them.

    The filter of scipy.signal.resample_poly, whose import would take half a second of each `vaelab generate`.
    """
    size = 2 * TAPS * OVERSAMPLING + 1
    sinc = np.sinc(np.arange(size) / OVERSAMPLING - TAPS) * np.kaiser(size, KAISER_BETA)
    sinc *= OVERSAMPLING / sinc.sum()
    return np.stack([sinc[step::OVERSAMPLING][: 2 * TAPS] for step in range(1, OVERSAMPLING)]).astype(dtype)


def in_batches(function: Callable, *arrays: np.ndarray) -> np.ndarray:
    """Apply a function of batches to arrays of any length (at least 1)."""
    parts = [function(*batch) for batch in zip(*map(padded, arrays), strict=True)]
    return np.concatenate([np.asarray(part) for part in parts])[: len(arrays[0])]


def padded(array: np.ndarray) -> list[np.ndarray]:
    """Batches of 32, the last padded with its own first row to a power of two: few shapes to compile."""
    parts = [array[start : start + BATCH] for start in range(0, len(array), BATCH)]
    size = 1 << (len(parts[-1]) - 1).bit_length()
    filler = np.repeat(parts[-1][:1], size - len(parts[-1]), axis=0)
    return [*parts[:-1], np.concatenate([parts[-1], filler])]


def finished(
    samples: np.ndarray, level_db: float | None, config: AudioConfig, stereo: np.ndarray | None = None
) -> np.ndarray:
    """Samples (samples,) with faded ends, at a level (lowered where they would clip) or at -1 dBFS.

    Stereo samples (samples, 2) take their place with the gain that gives the mono ones their level.
    """
    fades = _fades(len(samples), config)
    samples = samples * fades
    played = samples if stereo is None else stereo * fades[:, None]
    gain = PEAK / max(true_peak(played), 1e-9)
    if level_db is not None:
        # Decoded features seldom reach 1, so the level is measured and not taken from them.
        _, measured = spectral.mel(jnp.asarray(samples)[None], config)
        gain = min(gain, 10 ** ((level_db - float(measured[0])) / 20))
    return (played * gain).astype(np.float32)


@lru_cache(maxsize=8)
def _fades(length: int, config: AudioConfig) -> np.ndarray:
    """A gain (length,) that rises within half a millisecond and falls to 0 over the last half window.

    There the dropped last frame leaves the samples unsure.
    """
    index = np.arange(length)
    fade_in = (index + 1) / (FADE_IN_S * config.sample_rate)
    fade_out = (length - 1 - index) / (config.n_fft // 2)
    return (0.5 - 0.5 * np.cos(np.pi * np.minimum(1, np.minimum(fade_in, fade_out)))).astype(np.float32)


def _resampled(points: np.ndarray, count: int) -> np.ndarray:
    """`count` points equally spaced along a path of straight lines through points (n, latent)."""
    points = np.asarray(points, np.float32)
    at = np.linspace(0, len(points) - 1, count)
    before = np.minimum(at.astype(int), max(len(points) - 2, 0))
    after = np.minimum(before + 1, len(points) - 1)
    share = (at - before)[:, None].astype(np.float32)
    return (1 - share) * points[before] + share * points[after]
