"""Detail: what a model's decoding of its sources lacks, put back into the mix.

A decoding is smoother than any sound. With features x_i of the sources, decodings r_i and shares w_i of the mix:

    target = decode(z) + amount * sum_i w_i (x_i - r_i) / |w|

with the residuals moved in time to the onset of the mix. Residuals of different sounds hardly correlate, so their sum,
over the Euclidean norm of the shares, varies as much as that of one sound. The target is then imposed on the spectrum
of the sum of the sources, whose bins hold what lies between the bands: one source alone comes back as itself.

In stereo all of this is measured on the mono sum, which has one latent, and imposed on both channels: at `amount` 1 the
gains that carry the mono sum to the target are applied to each channel's own spectrum. At 0 each channel has the
magnitudes of the decoding, raised or lowered in each band and frame as the channel stands against the mono sum, and its
own phase; gains from bin to bin would be endless where the channels cancel. Between them, each channel's magnitudes lie
between those two.

A gain that rises from one frame to the next is heard before the onset, as an echo within the window. There the sum of
the sources says how loud a mix may be.

`python -m experiments.quality.heard` compares amounts, and mixes with plain sums.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from vaelab import spectral, texture
from vaelab.config import AudioConfig
from vaelab.spectral import Features, Samples, Spectrum

ONSET = 0.1  # of the largest sample: where a sound begins
ENVELOPE_S = 0.001
LEAST_MAGNITUDE = 1e-9
DEFAULT = 1.0  # of mixes, by `experiments.quality.heard`


class Detail(NamedTuple):
    """Detail of a mix's sources.

    Attributes:
        amount: 0 to 1: how much of the residual is added.
        residual: What decodings of the sources lack, mixed: features (1, frames, mels).
        features: Of the sum of the sources.
        spectrum: Of that sum, at the level where its mel power peaks at one, and in stereo below it those of its left
            and right channel, (1 or 3, frames, bins); None finds a phase for the target.
        rise: Envelope of the sum up to the onset, its peak at one: (samples before the onset,).
        balance_db: Levels of the bands of the three spectra over those of the first; None in mono.
    """

    amount: float
    residual: Features
    features: Features
    spectrum: Spectrum | None
    rise: Float[np.ndarray, " before"]
    balance_db: Features | None = None


def of_sources(
    clips: Samples,
    shares: Float[np.ndarray, " sources"],
    residuals: Float[np.ndarray, "sources frames mels"],
    amount: float,
    config: AudioConfig,
    phase: bool = True,
    stereo: Float[np.ndarray, "sources 2 samples"] | None = None,
) -> Detail:
    """Measure the detail of a mix.

    Args:
        clips: The sources (n, samples).
        shares: Of the sources in the mix, as `latent.normalized` gives.
        residuals: Features of the sources minus their decodings, as `rendering.residuals` gives.
        amount: 0 to 1.
        config: The front end.
        phase: Keep the spectrum of the sum: of clips whose onsets are moved to their mean place, since a mix of
            embeddings has one onset, and an unaligned sum would have one for each source.
        stereo: Both channels of the sources, for a sound in stereo; needs the phase.
    """
    moves = _moves(clips, shares)
    summed = _aligned_sum(clips, shares, moves)
    sides = [] if stereo is None else [_aligned_sum(stereo[:, side], shares, moves) for side in (0, 1)]
    features, spectrum, balance_db = _analysed(np.concatenate([summed, *sides]), config)
    frames = [round(move / config.hop_length) for move in moves]
    moved = np.stack([_shifted(part, by) for part, by in zip(residuals, frames, strict=True)])
    residual = np.tensordot(shares, moved, 1) / max(float(np.linalg.norm(shares)), 1e-9)
    rise = _envelope(summed[0, : onset(summed[0])], config) / max(float(np.abs(summed).max()), 1e-9)
    parts = residual[None].astype(np.float32), features, spectrum if phase else None, rise
    return Detail(float(amount), *parts, balance_db if sides else None)


def sizes(shares: Float[np.ndarray, " sources"]) -> Float[np.ndarray, " sources"]:
    """Magnitudes of shares; all 1 where every share is 0."""
    return np.abs(shares) if shares.any() else np.ones(len(shares))


def onset(clip: np.ndarray) -> int:
    """Onset of a clip in samples; 0 if it is silent."""
    loudness = np.abs(clip)
    return int(np.argmax(loudness >= ONSET * loudness.max()))


def samples(features: Features, detail: Detail, config: AudioConfig) -> Samples:
    """Samples of decoded features with their sources' detail: mono (1, samples), or mono, left, right (3, samples).

    All are lowered alike where the mono ones would rise before their onset.
    """
    rendered = np.array(_rendered(features, detail, config))
    before = rendered[:, : len(detail.rise)]
    allowed = detail.rise * np.abs(rendered[0]).max()
    before *= np.minimum(1, allowed / np.maximum(_envelope(before[0], config), 1e-9))
    return rendered


def _rendered(features: Features, detail: Detail, config: AudioConfig) -> Samples:
    if detail.spectrum is None:
        return texture.synthesise(jnp.clip(features + detail.amount * detail.residual, 0, 1), config)
    if detail.amount == 0 and detail.balance_db is None:
        return spectral.invert(features, config, jnp.angle(detail.spectrum))
    if detail.amount == 0:
        return _in_balance(features, detail.spectrum, detail.balance_db, spectral.filterbank(config), config)
    if detail.amount == 1:
        return _from_sum(features, detail.residual, detail.features, detail.spectrum, config)
    parts = (detail.amount, detail.residual, detail.features, detail.spectrum, detail.balance_db)
    return _blended(features, *parts, spectral.filterbank(config), config)


@partial(jax.jit, static_argnames="config")
def _from_sum(features: Features, residual: Features, sum_features: Features, spectrum: Spectrum, config: AudioConfig):
    return spectral.istft(_imposed(features + residual, sum_features, spectrum, config), config)


@partial(jax.jit, static_argnames="config")
def _in_balance(
    features: Features,
    spectrum: Spectrum,
    balance_db: Features,
    filters: Float[Array, "mels bins"],
    config: AudioConfig,
) -> Samples:
    """As `spectral.invert` with a phase, for each of several spectra that stand in a balance."""
    smooth = spectral.magnitudes(features, filters, config, spectral.MEL_UPDATES_WITH_PHASE)
    return spectral.istft(spectral.equalise(smooth, balance_db, config) * jnp.exp(1j * jnp.angle(spectrum)), config)


@partial(jax.jit, static_argnames="config")
def _blended(
    features: Features,
    amount: ArrayLike,
    residual: Features,
    sum_features: Features,
    spectrum: Spectrum,
    balance_db: Features | None,
    filters: Float[Array, "mels bins"],
    config: AudioConfig,
) -> Samples:
    """As `_from_sum`, with magnitudes between those (geometrically) and the ones behind the mel bands of the target."""
    target = jnp.clip(features + amount * residual, 0, 1)
    imposed = _imposed(target, sum_features, spectrum, config)
    smooth = spectral.magnitudes(target, filters, config, spectral.MEL_UPDATES_WITH_PHASE)
    if balance_db is not None:
        smooth = spectral.equalise(smooth, balance_db, config)
    ratio = jnp.maximum(smooth, LEAST_MAGNITUDE) / jnp.maximum(jnp.abs(imposed), LEAST_MAGNITUDE)
    return spectral.istft(imposed * ratio ** (1 - amount), config)


def _imposed(target: Features, features: Features, spectrum: Spectrum, config: AudioConfig) -> Spectrum:
    """A spectrum, of given features, with its bands raised and lowered to those of the target."""
    change_db = config.top_db * (jnp.clip(target, 0, 1) - features)
    return spectral.equalise(spectrum, change_db, config)


@partial(jax.jit, static_argnames="config")
def _analysed(samples: Samples, config: AudioConfig) -> tuple[Features, Spectrum, Features]:
    """Features of the first row of samples, the spectra of all at its level, and their balance in dB.

    Where bands are too quiet for features, their balance is that of the loudest bands.
    """
    features, level_db = spectral.mel(samples, config)
    heights = level_db[:, None, None] + config.top_db * features
    spectrum = spectral.stft(samples, config) * 10 ** (-level_db[:1] / 20)[:, None, None]
    return features[:1], spectrum, heights - heights[:1]


def _moves(clips: Samples, shares: Float[np.ndarray, " sources"]) -> list[int]:
    """Delays of the clips, in samples, that bring all onsets to their mean place."""
    onsets = np.array([onset(clip) for clip in clips])
    mean = round(float(sizes(shares) @ onsets / sizes(shares).sum()))
    return (mean - onsets).tolist()


def _aligned_sum(clips: Samples, shares: Float[np.ndarray, " sources"], moves: list[int]) -> Samples:
    moved = np.stack([_shifted(clip, move) for clip, move in zip(clips, moves, strict=True)])
    return (shares @ moved)[None].astype(np.float32)


def _envelope(samples: Float[np.ndarray, " any"], config: AudioConfig) -> Float[np.ndarray, " any"]:
    """Largest magnitude within a millisecond about each sample."""
    return scipy.ndimage.maximum_filter1d(
        np.abs(samples), max(1, round(ENVELOPE_S * config.sample_rate)), mode="nearest"
    )


def _shifted(rows: np.ndarray, by: int) -> np.ndarray:
    """Rows moved later (or, by a negative number, earlier), filled with zeros."""
    moved = np.roll(rows, by, axis=0)
    moved[slice(by) if by >= 0 else slice(by, None)] = 0
    return moved
