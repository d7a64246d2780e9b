"""Onsets of a recording: the frames in which its fastest rising bands exceed the recent maximum.

The noise floor of a band (hiss, hum, a drone) follows the 20th percentile of the surrounding seconds. An onset is where
the fastest rising bands exceed the recent maximum of themselves and their neighbours, as in S. Boeck and G. Widmer,
"Maximum filter vibrato suppression for onset detection", DAFx 2013, but the maximum of the last 0.1 s, so that neither
the beating of a cymbal nor a dropout counts. Such a maximum would hide equal hits that follow each other closely. So
rises are measured above a maximum that fades too: where these are many for seconds, as in a breakbeat and in no cymbal,
they are onsets as well.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy

from vaelab.config import SliceConfig

BANDS = 32
SPAN, CONTEXT = 20_000, 200  # frames that are analysed together, and what they need to know of their neighbours
SILENCE_DB = -90.0  # no floor lies below
QUIET = 20  # percent of the frames around are below the floor
CHUNK, AROUND = 100, 16  # frames that share a floor; chunks on either side that decide it
BIAS_DB, MARGIN_DB = 4.0, 3.0  # from the quiet fifth of noise to its mean; from there to what is no noise
LOUDEST = 4  # bands that decide
MOST_DB = 25.0  # that one band can add to a rise
LAG, MEMORY = 3, 21  # frames over which a rise is measured, and that the maximum before it is taken of
FADE_DB, FADED = 1.2, 64  # by which a maximum fades from frame to frame, and the frames after which it is forgotten
MANY, AROUND_S = 20, 2.0  # onsets above a fading maximum within so many seconds on both sides: hits of dense material
DENSE, BELOW_DB = 0.76, 25.0  # of the threshold, there; hits are so much softer than the loudest around at most
APART, LOCAL = 10, 80  # frames between two peaks, and around one that it must stand out from
BACK, FOOT = 10, 0.2  # an onset is where its rise begins: so many frames before its peak at most, a fifth as high
SMOOTH = 13  # frames of activity, and chunks of the floor
LOWEST = 10  # percent of all floors are the lowest
FALL_DB = 6.0  # of a sound that is cut off, or that dies away: at least in all


class Curves(NamedTuple):
    """Curves over the frames of a recording, float32 (frames,)."""

    activity: np.ndarray  # how far the loudest bands are above the floor, dB
    rise: np.ndarray  # how far the fastest rising bands are above their recent maximum, dB
    hits: np.ndarray  # the same above a maximum that fades, dB
    loudness: np.ndarray  # mean power, dBFS
    raised: np.ndarray  # how far the floor is above the recording's lowest, dB


def curves_of(levels: np.ndarray) -> Curves:
    """Curves of band levels (frames, bands), dBFS."""
    floor = _floor(levels)
    raised = power_db(floor) - np.percentile(power_db(floor), LOWEST) if len(floor) else np.zeros(1)
    parts = [np.zeros((4, 0), np.float32)]
    for first in range(0, len(levels), SPAN):
        start, stop = max(0, first - CONTEXT), min(len(levels), first + SPAN + CONTEXT)
        part = levels[start:stop].astype(np.float32)
        above = part - _at(floor, np.arange(start, stop)) - MARGIN_DB
        activity = _loudest(np.maximum(0, scipy.ndimage.uniform_filter1d(above, SMOOTH, axis=0)))
        above = np.maximum(0, above)
        nearby = scipy.ndimage.maximum_filter1d(above, 3, axis=1)
        rise, hits = (_loudest(_rise(above, recent)) for recent in (_recent(nearby), _fading(nearby)))
        core = slice(first - start, first - start + SPAN)
        parts.append(np.stack([activity, rise, hits, power_db(part)])[:, core])
    return Curves(*np.concatenate(parts, axis=1), np.repeat(raised, CHUNK)[: len(levels)])


def _floor(levels: np.ndarray) -> np.ndarray:
    """The mean level of stationary noise around each chunk of frames (chunks, bands), dBFS."""
    chunks = (levels[first : first + CHUNK].astype(np.float32) for first in range(0, len(levels), CHUNK))
    quiet = np.array([np.percentile(chunk, QUIET, axis=0) for chunk in chunks]).reshape(-1, BANDS)
    quiet = scipy.ndimage.percentile_filter(quiet, QUIET, size=(2 * AROUND + 1, 1), mode="nearest")
    return np.maximum(scipy.ndimage.uniform_filter1d(quiet, SMOOTH, axis=0, mode="nearest") + BIAS_DB, SILENCE_DB)


def power_db(levels: np.ndarray) -> np.ndarray:
    """Mean power of all bands together: (n, bands) -> (n,), dBFS."""
    return 10 * np.log10(np.sum(10 ** (levels / 10), axis=1))


def _at(floor: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """The floor at frames, interpolated between the middles of its chunks: (frames, bands)."""
    place = np.clip(frames / CHUNK - 0.5, 0, len(floor) - 1)
    before = place.astype(int)
    share = (place - before)[:, None].astype(np.float32)
    return (1 - share) * floor[before] + share * floor[np.minimum(before + 1, len(floor) - 1)]


def _rise(above: np.ndarray, recent: np.ndarray) -> np.ndarray:
    """Rise of each band above what is recent, LAG frames ago: (frames, bands) twice -> (frames, bands), dB."""
    rise = np.zeros_like(above)
    rise[LAG:] = np.clip(above[LAG:] - recent[:-LAG], 0, MOST_DB)
    return rise


def _recent(nearby: np.ndarray) -> np.ndarray:
    """The maximum of the last MEMORY frames (frames, bands)."""
    return scipy.ndimage.maximum_filter1d(nearby, MEMORY, axis=0, origin=MEMORY // 2)


def _fading(nearby: np.ndarray) -> np.ndarray:
    """The maximum of the last frames, each lowered by FADE_DB for every frame since (frames, bands)."""
    highest, reach = nearby, 1
    while reach < FADED:  # the maximum over twice as many frames
        earlier, highest = highest, highest.copy()
        np.maximum(earlier[reach:], earlier[:-reach] - np.float32(FADE_DB * reach), out=highest[reach:])
        reach *= 2
    return highest


def _loudest(bands: np.ndarray) -> np.ndarray:
    """The mean of the largest bands (frames, bands) -> (frames,)."""
    return np.partition(bands, BANDS - LOUDEST, axis=1)[:, -LOUDEST:].mean(axis=1)


def detect(curves: Curves, hop_s: float, config: SliceConfig) -> list[int]:
    """The frames of all onsets, at least `config.min_seconds` apart, with `hop_s` seconds from frame to frame."""
    dense = _dense(_peaks(curves.hits, DENSE * config.threshold_db, 0.5), curves.loudness, hop_s)
    onsets: list[int] = []
    for start in sorted({*_peaks(curves.rise, config.threshold_db, 1.0), *dense}):
        far_enough = not onsets or (start - onsets[-1]) * hop_s >= config.min_seconds
        if far_enough and not _is_an_end(curves.loudness, start):
            onsets.append(start)
    return onsets


def _peaks(rise: np.ndarray, threshold_db: float, share: float) -> list[int]:
    """Frames where the rises (frames,) begin that exceed a threshold and a share of the mean around them."""
    highest = scipy.ndimage.maximum_filter1d(rise, 2 * APART + 1)
    local = scipy.ndimage.uniform_filter1d(rise, LOCAL, mode="constant")
    starts = []
    for peak in np.flatnonzero((rise >= highest) & (rise > threshold_db + share * local)).tolist():
        start = peak
        while start > max(0, peak - BACK) and rise[start - 1] > FOOT * rise[peak]:
            start -= 1
        starts.append(start)
    return starts


def _dense(starts: Sequence[int], loudness: np.ndarray, hop_s: float) -> list[int]:
    """Those that are nearly as loud as all around, as what remains of a sound is not, and have many such around."""
    around = round(AROUND_S / hop_s)
    loudest = scipy.ndimage.maximum_filter1d(loudness, 2 * around + 1)
    frames = np.array(
        [start for start in starts if loudness[start : start + APART].max() > loudest[start] - BELOW_DB], int
    )
    many = np.searchsorted(frames, frames + around, "right") - np.searchsorted(frames, frames - around) >= MANY
    return frames[many].tolist()


def _is_an_end(loudness: np.ndarray, frame: int) -> bool:
    """True if a rise is the click of a sound that is cut off."""
    before, after = loudness[max(0, frame - APART) : frame], loudness[frame + APART // 2 : frame + 2 * APART]
    return len(before) > 0 and len(after) > 0 and float(before.mean() - after.max()) > FALL_DB
