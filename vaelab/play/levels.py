"""Levels over time: a sound made as loud, moment by moment, as another one.

`python -m experiments.quality.transcoding` compares ways, and shows what the window costs.
"""

import numpy as np
import scipy

from vaelab.audio import built_in_tape

WINDOW_S = 0.03  # of the mean of power
MOST_DB = 40.0  # that a sound is raised; silence cannot be
FLOOR = 1e-10  # mean power below which nothing is heard
AUDIBLE_DB = 50.0  # below a sound's loudest moment: where it ends


def followed(
    samples: np.ndarray, model: np.ndarray, rate: int, window_s: float = WINDOW_S, peaks: bool = True
) -> np.ndarray:
    """A sound (samples,) with the level of another one of that length over time.

    With `peaks`, no moment has a larger sample than the other's.
    """
    powers = [_powers(part, rate, window_s) for part in (model, samples)]
    gains = np.minimum(np.sqrt((powers[0] + FLOOR) / (powers[1] + FLOOR)), 10 ** (MOST_DB / 20))
    levelled = samples * _stretched(gains, len(samples), rate)
    if peaks:
        largest = [_largest(part, rate, window_s) for part in (model, levelled)]
        levelled *= _stretched(np.minimum(1, largest[0] / np.maximum(largest[1], 1e-9)), len(samples), rate)
    return levelled.astype(np.float32)


def extended(samples: np.ndarray, length: int, rate: int) -> np.ndarray:
    """A sound (samples,) cut to a length, or made longer: the second half of what is audible, back and forth."""
    powers = built_in_tape.frame_powers(samples, rate)
    frames = int(np.flatnonzero(powers >= powers.max() * 10 ** (-AUDIBLE_DB / 10))[-1]) + 1
    audible = samples[: frames * built_in_tape.hop_of(rate)]
    if length <= len(audible):
        return samples[:length]
    start, tail = np.split(audible, [len(audible) // 2])
    return np.concatenate([start, np.pad(tail, (0, length - len(audible)), mode="reflect")])


def placed(samples: np.ndarray, model: np.ndarray, rate: int) -> np.ndarray:
    """A sound (samples,) moved so that its onset is that of another one, and cut or filled up to its length."""
    move = built_in_tape.onset_of(model, rate) - built_in_tape.onset_of(samples, rate)
    moved = np.concatenate([np.zeros(max(0, move), np.float32), samples[max(0, -move) :]])[: len(model)]
    return np.pad(moved, (0, len(model) - len(moved)))


def _powers(samples: np.ndarray, rate: int, window_s: float) -> np.ndarray:
    """Mean power about each 5 ms (frames,)."""
    powers = built_in_tape.frame_powers(samples, rate) / built_in_tape.hop_of(rate)
    return scipy.ndimage.uniform_filter1d(powers, _frames(window_s), mode="nearest")


def _largest(samples: np.ndarray, rate: int, window_s: float) -> np.ndarray:
    """The largest magnitude about each 5 ms (frames,)."""
    magnitudes = np.maximum.reduceat(np.abs(samples), np.arange(0, len(samples), built_in_tape.hop_of(rate)))
    return scipy.ndimage.maximum_filter1d(magnitudes, _frames(window_s), mode="nearest")


def _frames(window_s: float) -> int:
    return max(1, round(window_s / built_in_tape.FRAME_S))


def _stretched(gains: np.ndarray, length: int, rate: int) -> np.ndarray:
    """A gain for each sample (samples,), on straight lines between those for each 5 ms."""
    at = (np.arange(len(gains)) + 0.5) * built_in_tape.hop_of(rate)
    return np.interp(np.arange(length), at, gains)
