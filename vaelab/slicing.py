"""A long recording to segments with time codes: onsets and novelty over a noise floor that follows the recording.

The recording is reduced to levels of mel bands every 5 ms, so that an hour needs little memory and the size of blocks
does not matter. A sound is active from where it rises well above the noise floor until it falls back to it for a while
(hysteresis); floor and onsets are those of `vaelab.onsets`. Long segments, and stationary ones above `hiss_dbfs`, are
cut where they change most.
"""

import os
import warnings
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import numpy as np
import scipy

from vaelab import audio, files
from vaelab.audio import decoders
from vaelab.config import SliceConfig
from vaelab.onsets import APART, BANDS, FALL_DB, LAG, SILENCE_DB, SPAN, Curves, curves_of, detect, power_db
from vaelab.text import printable, timecode

PRESETS = {
    "one_shots": SliceConfig(),
    "breaks": SliceConfig(min_seconds=0.05, gap_seconds=0.03),
    "loops": SliceConfig(min_seconds=1.0, max_seconds=4.0, gap_seconds=0.4, onsets=False),
    "drones": SliceConfig(min_seconds=2.0, max_seconds=10.0, gap_seconds=0.5, texture_seconds=2.0, onsets=False),
    "speech": SliceConfig(min_seconds=0.25, max_seconds=6.0, gap_seconds=0.2, onsets=False),
}
HOP_S, WINDOW_S = 0.005, 0.023
LOWEST_HZ = 30.0  # of the bands
FRAMES_AT_ONCE = 512  # that are transformed
HEARD_DB = -60.0  # no window is silent that is louder somewhere
ON_DB, OFF_DB = 8.0, 2.5  # activity that makes a sound, and that ends it
ATTACK_S = 0.25  # of activity before the first onset is a sound of its own
STEADY_S, STEADY_DB = 1.0, 4.0  # hiss lasts longer, and its level spreads less
COMPARED = 100  # frames on each side of a cut
LEAST_CHANGE_DB = 1.5
RAISED_DB = 6.0  # material where the floor is so much higher than the recording's lowest
SWELL_DB = 3.0  # of a sound that dies away: at most from one second to the next
LOST = 0.1  # seconds of a file that may be missing at its end without a word


class BandLevels(NamedTuple):
    """Band levels of a recording."""

    levels: np.ndarray  # mean power of mel bands in dBFS, float16 (frames, bands)
    hop_s: float  # from frame to frame, seconds
    seconds: float  # duration
    sample_rate: int  # of the recording, Hz: its half is where the bands end


def slice_recording(
    samples: np.ndarray, sample_rate: int, config: SliceConfig | None = None
) -> list[tuple[float, float]]:
    """Cut a mono recording (samples,) in [-1, 1]; without a config as the preset "one_shots".

    Returns:
        (start, end) of each segment in seconds, in the order of time; they do not overlap. Empty if
        nothing rises above silence and hiss.
    """
    return cuts(analyse(samples, sample_rate), config)


def slice_file(path: str | os.PathLike, config: SliceConfig | None = None) -> list[tuple[float, float]]:
    """Slice a sound file or the sound of a video as `slice_recording` does, reading it in blocks.

    A recording that breaks off is cut as far as it can be read, with a warning that says where that is.

    Raises:
        AudioError: The file cannot be read.
    """
    return cuts(analyse_file(path), config)


def analyse(samples: np.ndarray, sample_rate: int) -> BandLevels:
    """Compute the band levels of mono samples (samples,), the input of `cuts`."""
    levels, hop_s = band_levels([np.asarray(samples, np.float32)], sample_rate)
    return BandLevels(levels, hop_s, len(samples) / sample_rate, sample_rate)


def analyse_file(path: str | os.PathLike) -> BandLevels:
    """Compute the band levels of a sound file or the sound of a video, reading it in blocks; see `slice_file`."""
    path = files.from_home(path)
    with audio.stream(path) as (rate, claimed, blocks):
        counted = _Counted(path, rate, claimed, blocks)
        return BandLevels(*band_levels(counted, rate), counted.seconds, rate)


def cuts(recording: BandLevels, config: SliceConfig | None = None) -> list[tuple[float, float]]:
    """Slice a recording given by its band levels; see `slice_recording`."""
    config, (levels, hop_s, seconds, _) = config or SliceConfig(), recording
    if config.hop_seconds:
        return _windows(recording, config)
    curves = curves_of(levels)
    onsets = detect(curves, hop_s, config)
    segments = []
    for first, last in _stretches(curves, onsets, hop_s, config):
        segments += _parts(first, last, onsets, hop_s, config)
    segments = [(first, last) for first, last in segments if not _is_hiss(curves.loudness[first:last], hop_s, config)]
    cut = [part for first, last in segments for part in _not_too_long(levels, curves, first, last, hop_s, config)]
    return [(first * hop_s, min(last * hop_s, seconds)) for first, last in cut if first * hop_s < seconds]


def _windows(recording: BandLevels, config: SliceConfig) -> list[tuple[float, float]]:
    """Windows at equal distances, and one that ends with the recording, but for those in which nothing is heard."""
    last = max(0.0, recording.seconds - config.window_seconds)
    starts = [*np.arange(0, last, config.hop_seconds).tolist(), last]
    curve = loudness(recording)
    windows = [(start, min(start + config.window_seconds, recording.seconds)) for start in starts]
    return [window for window in windows if _highest(curve, *window, recording.hop_s) > HEARD_DB]


def _highest(curve: np.ndarray, start: float, end: float, hop_s: float) -> float:
    """The maximum of a curve over a stretch in seconds, but for the frames that reach beyond it."""
    first, last = round(start / hop_s) + LAG, round(end / hop_s) - LAG
    return float(np.max(curve[first : max(last, first) + 1], initial=SILENCE_DB))


def band_levels(blocks: Iterable[np.ndarray], sample_rate: int) -> tuple[np.ndarray, float]:
    """Mean power of mel bands in dBFS, float16 (frames, bands), and the seconds from frame to frame.

    Frame t is centred on sample t * hop, whatever the blocks (samples,); a full-scale sine is at -3 dBFS.
    """
    hop, size = max(1, round(HOP_S * sample_rate)), 1 << round(np.log2(WINDOW_S * sample_rate))
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    weights = _filterbank(sample_rate, size) * np.float32(2 / (size * np.sum(window.astype(float) ** 2)))
    levels, left = [np.zeros((0, BANDS), np.float16)], np.zeros(size // 2, np.float32)
    for block in chain(blocks, [np.zeros(size // 2, np.float32)]):
        left = np.concatenate([left, block])
        frames = max(0, (len(left) - size) // hop + 1)
        for first in range(0, frames, FRAMES_AT_ONCE):
            last = min(first + FRAMES_AT_ONCE, frames) - 1
            windows = np.lib.stride_tricks.sliding_window_view(left[first * hop : last * hop + size], size)[::hop]
            spectrum = scipy.fft.rfft(windows * window, axis=1)
            powers = (spectrum.real**2 + spectrum.imag**2) @ weights
            levels.append((10 * np.log10(powers + 1e-12)).astype(np.float16))
        left = left[frames * hop :]
    return np.concatenate(levels), hop / sample_rate


def band_edges(sample_rate: int) -> np.ndarray:
    """Edges of the bands of a recording, Hz (bands + 2,), equally far apart in mel: band i culminates at edge i + 1."""
    mels = np.linspace(*(2595 * np.log10(1 + np.array([LOWEST_HZ, sample_rate / 2]) / 700)), BANDS + 2)
    return 700 * (10 ** (mels / 2595) - 1)


@lru_cache(maxsize=8)
def _filterbank(sample_rate: int, size: int) -> np.ndarray:
    """Overlapping triangles (bins, bands), equally wide in mel, that share a spectrum out to the bands.

    Made here and not by librosa, whose filters bring a compiler along: 100 MB.
    """
    edges = band_edges(sample_rate)
    hz = scipy.fft.rfftfreq(size, 1 / sample_rate)[:, None]
    rising, falling = (hz - edges[:-2]) / np.diff(edges[:-1]), (edges[2:] - hz) / np.diff(edges[1:])
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


class _Counted:
    """The blocks of a file as far as they can be read; `seconds` counts them."""

    def __init__(self, path: str | os.PathLike, rate: int, claimed: int, blocks: Iterator[np.ndarray]):
        self.path, self.rate, self.claimed, self.blocks, self.frames = path, rate, claimed, blocks, 0

    @property
    def seconds(self) -> float:
        return self.frames / self.rate

    def __iter__(self) -> Iterator[np.ndarray]:
        reason = "the rest is missing"
        try:
            for block in self.blocks:
                self.frames += len(block)
                yield block
        except decoders.ERRORS as error:
            if not self.frames:
                raise
            reason = decoders.error_text(error)
            self.claimed = max(self.claimed, self.frames + self.rate)
        claimed_s = audio.claimed_seconds(self.path, self.claimed, self.rate)
        if claimed_s > self.seconds + LOST:
            warnings.warn(
                f"{printable(self.path)}: breaks off at {timecode(self.seconds)}, expected "
                f"{timecode(claimed_s)} ({reason}); what comes before is used",
                stacklevel=2,
            )


def _stretches(curves: Curves, onsets: Sequence[int], hop_s: float, config: SliceConfig) -> list[tuple[int, int]]:
    """Stretches (first, last + 1) in which something sounds, and stationary ones that are material.

    Between sounds, what is louder than hiss is material if there is much of it, or if the floor is elsewhere lower:
    then it goes with the sound before.
    """
    frames = len(curves.loudness)
    long = max(1, min(round(config.texture_seconds / hop_s), frames))
    stretches: list[tuple[int, int]] = []
    end = 0
    for first, last in [*_active(curves.activity, onsets, hop_s, config), (frames, frames)]:
        if first > end and float(np.median(curves.loudness[end:first])) > config.hiss_dbfs:
            raised = float(np.median(curves.raised[end:first])) > RAISED_DB
            if raised and stretches and stretches[-1][1] == end:
                stretches[-1] = stretches[-1][0], first
            elif raised or first - end >= long:
                stretches.append((end, first))
        if last > first:
            stretches.append((first, last))
        end = last
    return stretches


def _active(activity: np.ndarray, onsets: Sequence[int], hop_s: float, config: SliceConfig) -> list[tuple[int, int]]:
    """Stretches with an onset, or loud and not too short."""
    least = round(config.min_seconds / hop_s)
    awake = activity > OFF_DB
    for onset in onsets:
        awake[onset : onset + min(least, 2 * APART)] = True
    edges = np.flatnonzero(np.diff(np.concatenate([[False], awake, [False]]).astype(np.int8)))
    runs: list[list[int]] = []
    for first, last in edges.reshape(-1, 2).tolist():
        if runs and (first - runs[-1][1]) * hop_s < config.gap_seconds:
            runs[-1][1] = last
        else:
            runs.append([first, last])
    return [
        (first, last)
        for first, last in runs
        if bisect_left(onsets, first) < bisect_left(onsets, last)
        or (last - first >= least and activity[first:last].max() > ON_DB)
    ]


def _parts(first: int, last: int, onsets: Sequence[int], hop_s: float, config: SliceConfig) -> list[tuple[int, int]]:
    """An active stretch, cut at the onsets in it."""
    inside = list(onsets[bisect_left(onsets, first) : bisect_left(onsets, last)])
    if inside and (inside[0] - first) * hop_s < ATTACK_S:
        first = inside.pop(0)
    starts = [first, *(inside if config.onsets else [])]
    return list(zip(starts, [*starts[1:], last], strict=True)) if last > first else []


def _is_hiss(loudness: np.ndarray, hop_s: float, config: SliceConfig) -> bool:
    """True if a segment is stationary and quiet, such as hiss that begins after silence."""
    low, high = np.percentile(loudness, [10, 90])
    return len(loudness) * hop_s > STEADY_S and high < config.hiss_dbfs and high - low < STEADY_DB


def _dies(curve: np.ndarray, second: int) -> bool:
    """True if a sound decays from its beginning to its end, by a curve in dB; such a sound is never cut."""
    each = [np.median(part) for part in np.array_split(curve, max(3, round(len(curve) / second)))]
    return each[0] - each[-2] > FALL_DB / 2 and each[0] - each[-1] > FALL_DB and np.max(np.diff(each)) < SWELL_DB


def _not_too_long(
    levels: np.ndarray, curves: Curves, first: int, last: int, hop_s: float, config: SliceConfig
) -> Iterator[tuple[int, int]]:
    """A segment, cut where it changes most, or else evenly, until no part is too long."""
    most = round(config.max_seconds / hop_s)
    rings = last - first > most and all(
        _dies(curve[first:last], round(1 / hop_s)) for curve in (curves.activity, curves.loudness)
    )
    while last - first > most and not rings:
        low, high = first + most // 2, min(first + most, last - most // 4)
        change = _change(levels, low, high)
        cut = low + int(change.argmax()) if change.max() >= LEAST_CHANGE_DB else high
        yield first, cut
        first = cut
    yield first, last


def _change(levels: np.ndarray, low: int, high: int) -> np.ndarray:
    """Spectral difference between the half seconds before and after each frame from low to high: (frames,), dB."""
    start = max(0, low - COMPARED)
    around = np.maximum(levels[start : high + COMPARED].astype(np.float32), SILENCE_DB)
    total = np.concatenate([np.zeros((1, BANDS)), np.cumsum(around, axis=0, dtype=np.float64)])
    at = np.arange(low, high + 1) - start
    left, right = np.maximum(at - COMPARED, 0), np.minimum(at + COMPARED, len(around))
    before = (total[at] - total[left]) / np.maximum(at - left, 1)[:, None]
    after = (total[right] - total[at]) / np.maximum(right - at, 1)[:, None]
    return np.abs(after - before).mean(axis=1)


def loudness(recording: BandLevels) -> np.ndarray:
    """Mean power of each frame, dBFS (frames,)."""
    parts = range(0, max(1, len(recording.levels)), SPAN)
    return np.concatenate([power_db(recording.levels[first : first + SPAN].astype(np.float32)) for first in parts])
