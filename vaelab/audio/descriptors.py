"""Descriptors of a single sound: brightness, attack, noisiness, pitch, decay. NumPy only.

All are on scales on which equal steps sound alike: octaves, decibels, decades of seconds.

Sources: Peeters 2004, "A large set of audio features for sound description", for centroid, flatness and attack.
"""

import numpy as np

WINDOW = 2048  # samples, of the spectra
ENVELOPE_S = 0.002  # of each value of the envelope
FLOOR_DB = 60.0  # below a frame's (or the sound's) largest value nothing counts
UNITS = {"brightness": "octaves", "attack": "decades", "noisiness": "dB", "pitch": "octaves", "decay": "decades"}
_TINY = 1e-12


def measure(samples: np.ndarray, sample_rate: int) -> dict[str, float]:
    """The descriptors of one sound.

    Args:
        samples: (samples,), silence at its end does not matter.
        sample_rate: Hz.

    Returns:
        brightness: Centre of gravity of the magnitude spectrum, log2 of Hz.
        attack: Time from a tenth to nine tenths of the largest envelope, log10 of seconds.
        noisiness: Flatness of the spectrum (geometric over arithmetic mean of power), dB; 0 is white noise.
        pitch: Frequency of the strongest partial, log2 of Hz.
        decay: Time from the envelope's peak until it stays 20 dB below, log10 of seconds.
        All are NaN for silence.
    """
    samples = np.asarray(samples, float)
    if not np.abs(samples).max(initial=0) > 1e-9:
        return dict.fromkeys(UNITS, float("nan"))
    power, frequencies = _spectra(samples / np.abs(samples).max(), sample_rate)
    mean = power.mean(axis=0)
    magnitude = np.sqrt(mean)
    attack, decay = _times(samples, sample_rate)
    return {
        "brightness": float(np.log2(frequencies @ magnitude / magnitude.sum())),
        "attack": float(np.log10(attack)),
        "noisiness": _flatness(power),
        "pitch": float(np.log2(_peak(mean) * sample_rate / WINDOW)),
        "decay": float(np.log10(decay)),
    }


def _spectra(samples: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Power spectra of overlapping windows without their DC, (windows, bins), and the bins' Hz (bins,)."""
    hop = WINDOW // 4
    padded = np.pad(samples, (WINDOW // 2, WINDOW))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW + 1)[:-1])) ** 2
    return power[:, 1:], np.fft.rfftfreq(WINDOW, 1 / sample_rate)[1:]


def _flatness(power: np.ndarray) -> float:
    """Flatness in dB, the mean over windows weighted by their energy; each window floored 60 dB below its peak."""
    energy = power.sum(axis=1)
    power = np.maximum(power, power.max(axis=1, keepdims=True) * 10 ** (-FLOOR_DB / 10)) + _TINY
    flatness = 10 * (np.log10(power).mean(axis=1) - np.log10(power.mean(axis=1)))
    return float(flatness @ energy / energy.sum())


def _peak(power: np.ndarray) -> float:
    """The strongest bin, refined by a parabola through its neighbours' logarithms; in bins from DC."""
    at = int(np.clip(power.argmax(), 1, len(power) - 2))
    left, middle, right = np.log(power[at - 1 : at + 2] + _TINY)
    bend = left - 2 * middle + right
    shift = np.clip(0.5 * (left - right) / bend, -0.5, 0.5) if bend < 0 else 0.0
    return at + 1 + shift  # DC was left out


def _times(samples: np.ndarray, sample_rate: int) -> tuple[float, float]:
    """Attack and decay, seconds; at least one step of the envelope."""
    step = max(1, round(ENVELOPE_S * sample_rate))
    padded = np.pad(samples, (0, -len(samples) % step))
    envelope = np.sqrt((padded.reshape(-1, step) ** 2).mean(axis=1))
    envelope = np.convolve(envelope, np.ones(3) / 3, "same")
    peak = int(envelope.argmax())
    begin = int(np.argmax(envelope >= 0.1 * envelope[peak]))
    full = begin + int(np.argmax(envelope[begin:] >= 0.9 * envelope[peak]))
    last = int(np.flatnonzero(envelope >= 0.1 * envelope[peak])[-1])
    seconds = step / sample_rate
    return max(full - begin, 1) * seconds, max(last - peak, 1) * seconds
