"""Pictures of sounds: spectrograms, a waveform, a recording and where it is cut (matplotlib)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.ticker import MultipleLocator

from vaelab.audio import Sound
from vaelab.config import AudioConfig
from vaelab.slicing import BandLevels, band_edges
from vaelab.spectral import AUDIBLE, filterbank
from vaelab.text import timecode
from vaelab.ui.picture import COLOURS, Picture, plain

COLUMNS = 2400  # of the picture of a tape
LINES = 60  # more of them hide a tape's waveform
ROUND = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)  # ends of time axes, times a power of ten
LEAST_SECONDS = 0.1  # of a time axis
TICKS_S = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)  # distances of ticks on a tape
MOST_TICKS = 10
FOLDED = 20  # letters of a title beyond which its folder stands above it
SOUND_COLOURS = "magma"
FREQUENCIES = {200: "200", 1000: "1k", 3000: "3k", 10000: "10k"}  # ticks, Hz


class Panel(NamedTuple):
    """One spectrogram of a picture."""

    features: np.ndarray  # (frames, mels) in [0, 1]
    title: str
    end: float  # of the time axis, seconds


def spectrograms(
    features: np.ndarray, config: AudioConfig, titles: Sequence[str], columns: int = 5, own_time: bool = False
) -> Picture:
    """Mel features (n, frames, mels) side by side, in dB below each clip's maximum.

    Time ends where nothing is audible any more: of the longest sound, or with `own_time` of each for itself.
    """
    columns = min(len(features), columns)
    ends = [_end(each, config) for each in features]
    ends = ends if own_time else [max(ends)] * len(ends)
    panels = [Panel(*panel) for panel in zip(features, titles, ends, strict=False)]
    figure, _ = _panels(_rows(panels, columns), columns, config)
    return figure


def pairs(
    originals: np.ndarray, rebuilt: np.ndarray, config: AudioConfig, titles: Sequence[str], columns: int = 4
) -> Picture:
    """Features of sounds (n, frames, mels), each above what the model makes of it, `columns` sounds in a row."""
    columns = min(len(originals), columns)
    both = list(zip(originals, rebuilt, strict=True))
    ends = [max(_end(original, config), _end(model, config)) for original, model in both]
    upper = [Panel(original, title, end) for (original, _), title, end in zip(both, titles, ends, strict=True)]
    lower = [Panel(model, "", end) for (_, model), end in zip(both, ends, strict=True)]
    rows = zip(_rows(upper, columns), _rows(lower, columns), strict=True)
    figure, axes = _panels([row for pair in rows for row in pair], columns, config)
    for number, (first, *_) in enumerate(axes):
        first.set_ylabel(("original", "model")[number % 2], fontsize=10)
    return figure


def sound(clip: Sound, features: np.ndarray, config: AudioConfig) -> Picture:
    """One sound: its waveform, in stereo both channels, above its mel features (frames, mels)."""
    figure = Picture(figsize=(8, 3.6), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    for name, colour, channel in zip(("left", "right"), COLOURS, np.atleast_2d(clip.samples.T), strict=False):
        top.plot(np.arange(len(channel)) / clip.sample_rate, channel, linewidth=0.5, color=colour, label=name)
    if clip.samples.ndim == 2:
        top.legend(loc="upper right", fontsize=8)
    top.set(ylabel="amplitude", ylim=(-1, 1))
    image = _spectrogram(bottom, features, config, _end(features, config))
    bottom.set(xlabel="time (s)", ylabel="frequency (Hz)")
    figure.colorbar(image, ax=(top, bottom), label="dB below the maximum")
    return figure


def tape(
    recording: BandLevels,
    segments: Sequence[tuple[float, float]],
    start: float = 0.0,
    end: float | None = None,
    title: str = "",
) -> Picture:
    """A recording from start to end: its level above its spectrum, both with its segments.

    Segments are (start, end), as all times in seconds; without an end all is shown. They are shaded, and where there
    are few enough, a line stands where each begins.
    """
    end = recording.seconds if end is None else min(end, recording.seconds)
    columns = _columns(recording, start, end)
    figure = Picture(figsize=(12, 4.6), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    figure.suptitle(plain(title))
    size = 10 ** ((10 * np.log10(np.sum(10 ** (columns / 10), axis=1)) + 3) / 20)
    top.fill_between(np.linspace(start, end, len(columns)), -size, size, linewidth=0, color=COLOURS[0])
    highest = float(np.clip(1.2 * size.max(initial=0), 0.05, 1))
    top.set(ylabel="amplitude", ylim=(-highest, highest))
    _mark(top, _within(segments, start, end))
    image = _band_levels(bottom, columns, recording, (start, end))
    _strip(bottom, _within(segments, start, end))
    _time(bottom, start, end)
    figure.colorbar(image, ax=(top, bottom), label="dBFS")
    return figure


def tapes(recordings: Mapping[str, BandLevels], segments: Sequence[tuple[float, float]]) -> Picture:
    """Spectra of recordings below each other, at one time axis and one scale, with the segments of one of them."""
    end = max(recording.seconds for recording in recordings.values())
    figure = Picture(figsize=(12, 0.8 + 2 * len(recordings)), layout="constrained")
    axes = figure.subplots(len(recordings), 1, sharex=True, squeeze=False)[:, 0]
    for ax, (name, recording) in zip(axes, recordings.items(), strict=True):
        image = _band_levels(ax, _columns(recording, 0, recording.seconds), recording, (0, recording.seconds))
        _strip(ax, _within(segments, 0, end))
        ax.set_title(plain(name), loc="left", fontsize=11)
    _time(axes[-1], 0, end)
    figure.colorbar(image, ax=axes, label="dBFS")
    return figure


def painted(features: np.ndarray) -> np.ndarray:
    """Mel features (frames, mels) in [0, 1] as colours: uint8 (mels, frames, 3), high pitches first."""
    return colormaps[SOUND_COLOURS](np.clip(features.T[::-1], 0, 1), bytes=True)[..., :3]


def pitches(config: AudioConfig) -> list[tuple[float, str]]:
    """Round frequencies for an axis: at which of the bands, counted from 0 with halves at their centres, and names."""
    centres = np.maximum.accumulate(filterbank(config).argmax(axis=1)) * config.sample_rate / config.n_fft
    wanted = {hz: name for hz, name in FREQUENCIES.items() if centres[0] < hz < centres[-1]}
    return [(float(np.interp(hz, centres, np.arange(len(centres)) + 0.5)), name) for hz, name in wanted.items()]


def _rows(panels: Sequence[Panel], columns: int) -> list[Sequence[Panel]]:
    return [panels[first : first + columns] for first in range(0, len(panels), columns)]


def _panels(
    rows: Sequence[Sequence[Panel]], columns: int, config: AudioConfig
) -> tuple[Picture, Sequence[Sequence[Axes]]]:
    """Rows of panels, the last of which may be shorter; and their axes. Equal time axes are written once a column."""
    together = len({panel.end for row in rows for panel in row}) == 1
    width = float(np.clip(9.6 / columns, 2.3, 3.4))
    height = 0.75 + 0.5 * width + (0 if together else 0.2)
    figure = Picture(figsize=(width * columns + 1, height * len(rows) + 0.6), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False, sharex=together, sharey=True)
    for row, shown in zip(axes, rows, strict=True):
        for ax, panel in zip(row, shown, strict=False):
            image = _spectrogram(ax, panel.features, config, panel.end)
            ax.set_title(_folded(panel.title), fontsize=9)
        for ax in row[len(shown) :]:
            ax.set_visible(False)
    figure.supxlabel("time (s)", fontsize=9)
    figure.supylabel("frequency (Hz)", fontsize=9)
    figure.colorbar(image, ax=axes, label="dB below the maximum", shrink=min(1.0, 2 / len(rows)))
    return figure, axes


def _folded(title: str) -> str:
    """A title on one line, or where it is long on two, the first of them its folder."""
    title = plain(title)
    return title.replace("/", "/\n", 1) if len(title) > FOLDED else title


def _end(features: np.ndarray, config: AudioConfig) -> float:
    """The end of a time axis for mel features (frames, mels), seconds: a round number after what is audible."""
    audible = np.flatnonzero(np.asarray(features).max(axis=1) > AUDIBLE)
    frame = config.clip_seconds / len(features)
    seconds = max(LEAST_SECONDS, frame * (audible[-1] + 1) if len(audible) else config.clip_seconds)
    power = 10.0 ** np.floor(np.log10(seconds))
    end = next(step * power for step in ROUND if step * power >= seconds * (1 - 1e-9))
    return min(round(float(end), 6), config.clip_seconds)


def _spectrogram(ax: Axes, features: np.ndarray, config: AudioConfig, end: float) -> AxesImage:
    """Mel features (frames, mels) as an image up to an end in seconds, with ticks at round frequencies."""
    image = ax.imshow(
        (np.asarray(features).T - 1) * config.top_db,
        origin="lower",
        aspect="auto",
        cmap=SOUND_COLOURS,
        vmin=-config.top_db,
        vmax=0,
        extent=(0, config.clip_seconds, 0, config.n_mels),
    )
    seconds = np.linspace(0, end, 3)
    ax.set_xlim(0, end)
    ax.set_xticks(seconds, [f"{second:.3g}" for second in seconds])
    ticks = pitches(config)
    ax.set_yticks([place for place, _ in ticks], [name for _, name in ticks])
    return image


def _columns(recording: BandLevels, start: float, end: float) -> np.ndarray:
    """Band levels from start to end, as the loudest of each column of a picture: float32 (columns, bands)."""
    levels = recording.levels[int(start / recording.hop_s) : max(1, int(end / recording.hop_s))]
    edges = np.linspace(0, len(levels), min(len(levels), COLUMNS), endpoint=False).astype(int)
    return np.maximum.reduceat(levels, edges, axis=0).astype(np.float32)


def _band_levels(ax: Axes, columns: np.ndarray, recording: BandLevels, stretch: tuple[float, float]) -> AxesImage:
    """Band levels (columns, bands) as an image, with ticks at round frequencies."""
    bands = columns.shape[1]
    image = ax.imshow(
        columns.T, origin="lower", aspect="auto", cmap=SOUND_COLOURS, vmin=-90, vmax=-10, extent=(*stretch, 0, bands)
    )
    ax.set(ylabel="frequency (Hz)", ylim=(0, bands))
    centres = band_edges(recording.sample_rate)[1:-1]
    ticks = {hz: name for hz, name in FREQUENCIES.items() if centres[0] < hz < centres[-1]}
    ax.set_yticks(np.interp(list(ticks), centres, np.arange(len(centres)) + 0.5), list(ticks.values()))
    return image


def _within(segments: Sequence[tuple[float, float]], start: float, end: float) -> list[tuple[float, float]]:
    return [(first, last) for first, last in segments if last > start and first < end]


def _mark(ax: Axes, segments: Sequence[tuple[float, float]]) -> None:
    """Shade segments over the height of a plot, with lines at their beginnings where these leave it visible."""
    low, high = ax.get_ylim()
    spans = [(first, last - first) for first, last in segments]
    ax.broken_barh(spans, (low, high - low), facecolor=COLOURS[5], alpha=0.25, linewidth=0)
    if len(segments) <= LINES:
        ax.vlines([first for first, _ in segments], low, high, color=COLOURS[3], linewidth=0.8)


def _strip(ax: Axes, segments: Sequence[tuple[float, float]]) -> None:
    """Draw a line below a spectrum as long as each segment."""
    ax.hlines([0.4] * len(segments), *np.array(segments).reshape(-1, 2).T, color=COLOURS[5], linewidth=3)


def _time(ax: Axes, start: float, end: float) -> None:
    """Make the time axis of a tape one from start to end, with ticks at round times."""
    step = next((step for step in TICKS_S if (end - start) / step <= MOST_TICKS), TICKS_S[-1])
    ax.xaxis.set_major_locator(MultipleLocator(step))
    ax.set_xlim(start, end)
    ax.set_xlabel("time (hh:mm:ss)" if end - start > 120 else "time (s)")
    if end - start > 120:
        ax.xaxis.set_major_formatter(_moment)


def _moment(second: float, _) -> str:
    return timecode(max(0, second))[:8]
