"""Properties of sounds as they are played, measured on the samples by librosa.

No feature of `vaelab.spectral` is used here: a model must not be judged by the features that it learned from. All
functions take samples (samples,) of one sound at any rate.
"""

from typing import NamedTuple

import librosa
import numpy as np
from jaxtyping import Float
from scipy import signal

Samples = Float[np.ndarray, " samples"]

WINDOW, HOP, MELS, CEPSTRA = 1024, 256, 80, 20
AUDIBLE_DB = 60.0  # below the loudest cell of a sound
BRIGHT_HZ = 8000.0
MODULATED_HZ = 5000.0  # the hop's rate is measured above it
TAIL_S = 0.3
BEFORE_ONSET_S = (0.003, 0.025)  # where the echo of an onset is measured
SILENCE = 1e-10


class Properties(NamedTuple):
    """Properties of one sound; NaN where a sound has none.

    Attributes:
        time_roughness: Mean step between neighbouring frames, dB, where audible.
        band_roughness: Mean step between neighbouring mel bands, dB, where audible.
        attack_ms: Time in which the envelope rises from 10 to 90 % of its largest value.
        bright_db: Energy above 8 kHz in relation to all of it.
        tail_db: Level 0.3 s after the loudest frame, in relation to it.
    """

    time_roughness: float
    band_roughness: float
    attack_ms: float
    bright_db: float
    tail_db: float


def mel_db(samples: Samples, rate: int) -> Float[np.ndarray, "mels frames"]:
    """Mel power in dB; 0 is the loudest cell, -120 silence."""
    power = librosa.feature.melspectrogram(y=samples, sr=rate, n_fft=WINDOW, hop_length=HOP, n_mels=MELS)
    return librosa.power_to_db(power, ref=max(power.max(), SILENCE), amin=SILENCE * SILENCE, top_db=120.0)


def cepstral_statistics(samples: Samples, rate: int) -> Float[np.ndarray, " statistics"]:
    """Mean, deviation and mean absolute step of MFCC 1 to 19 over the audible frames.

    The level is left out, as a model's sounds are played at a level of its own.
    """
    decibels = mel_db(samples, rate)
    frames = decibels.max(axis=0) > -AUDIBLE_DB
    cepstra = librosa.feature.mfcc(S=np.maximum(decibels, -AUDIBLE_DB - 20), n_mfcc=CEPSTRA)[1:, frames]
    steps = np.abs(np.diff(cepstra, axis=1)).mean(axis=1) if cepstra.shape[1] > 1 else np.zeros(CEPSTRA - 1)
    return np.concatenate([cepstra.mean(axis=1), cepstra.std(axis=1), steps])


def properties(samples: Samples, rate: int) -> Properties:
    """Measure a sound."""
    decibels = mel_db(samples, rate)
    return Properties(
        _roughness(decibels, axis=1),
        _roughness(decibels, axis=0),
        1000 * _attack_seconds(samples, rate),
        _bright_db(samples, rate),
        _tail_db(decibels, rate),
    )


def hop_modulation(samples: Samples, rate: int, hop: int) -> float:
    """Depth of the modulation of a sound above 5 kHz at the rate of a hop, beyond that at neighbouring rates.

    The envelope's spectrum over the audible part, in relation to its mean: the amplitude at rate / hop Hz minus the
    median one within a third of an octave. NaN where the sound is shorter than 16 hops.
    """
    high = signal.sosfiltfilt(signal.butter(4, MODULATED_HZ, "highpass", fs=rate, output="sos"), samples)
    step = hop // 16
    envelope = librosa.feature.rms(y=high, frame_length=2 * step, hop_length=step, center=False)[0]
    audible = np.flatnonzero(envelope > envelope.max() * 10 ** (-30 / 20))
    if not len(audible) or envelope.max() < 1e-5 or audible[-1] - audible[0] < 16 * 16:
        return float("nan")
    part = envelope[audible[0] : audible[-1] + 1]
    part = part / np.maximum(_smooth(part, 4 * 16 + 1), 1e-9)  # flat, but for what is faster than four hops
    window = np.hanning(len(part))
    amplitude = 2 * np.abs(np.fft.rfft((part - part.mean()) * window)) / window.sum()
    at = np.fft.rfftfreq(len(part), step / hop)  # cycles a hop
    near = (np.abs(np.log2(np.maximum(at, 1e-9))) < 1 / 3) & (np.abs(at - 1) > 4 * step / hop / len(part) * 16)
    peak = np.abs(at - 1) <= max(at[1], 0.02)
    return float(amplitude[peak].max() - np.median(amplitude[near])) if near.any() else float("nan")


def echo_before_onset_db(samples: Samples, rate: int, onset: int) -> float:
    """Peak level 3 to 25 ms before an onset (a sample's index), in relation to the sound's peak."""
    far, near = (onset - round(seconds * rate) for seconds in reversed(BEFORE_ONSET_S))
    if far < 0:
        return float("nan")
    return float(20 * np.log10(max(np.abs(samples[far:near]).max(), 1e-6) / max(np.abs(samples).max(), 1e-6)))


def _roughness(decibels: Float[np.ndarray, "mels frames"], axis: int) -> float:
    steps = np.abs(np.diff(decibels, axis=axis))
    first, second = np.delete(decibels, -1, axis=axis), np.delete(decibels, 0, axis=axis)
    audible = np.minimum(first, second) > -AUDIBLE_DB
    return float(steps[audible].mean()) if audible.any() else float("nan")


def _attack_seconds(samples: Samples, rate: int) -> float:
    envelope = np.maximum.accumulate(_smooth(np.abs(samples), max(3, rate // 1000)))
    if envelope[-1] <= 0:
        return float("nan")
    rise = [int(np.argmax(envelope >= share * envelope[-1])) for share in (0.1, 0.9)]
    return (rise[1] - rise[0]) / rate


def _bright_db(samples: Samples, rate: int) -> float:
    power = np.abs(np.fft.rfft(samples)) ** 2
    above = power[np.fft.rfftfreq(len(samples), 1 / rate) >= BRIGHT_HZ].sum()
    return float(10 * np.log10(max(above, SILENCE * power.sum()) / max(power.sum(), SILENCE)))


def _tail_db(decibels: Float[np.ndarray, "mels frames"], rate: int) -> float:
    levels = 10 * np.log10((10 ** (decibels / 10)).sum(axis=0))
    loudest = int(levels.argmax())
    later = loudest + round(TAIL_S * rate / HOP)
    return float(max(levels[later] - levels[loudest], -AUDIBLE_DB)) if later < len(levels) else float("nan")


def _smooth(values: np.ndarray, width: int) -> np.ndarray:
    return np.convolve(values, np.full(width, 1 / width), mode="same")
