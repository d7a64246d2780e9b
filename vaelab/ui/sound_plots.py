"""Pictures of sounds: spectrograms, a waveform, a recording and where it is cut (matplotlib)."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from vaelab.audio import Sound
from vaelab.config import AudioConfig
from vaelab.slicing import BandLevels
from vaelab.spectral import filterbank
from vaelab.text import timecode
from vaelab.ui.picture import COLOURS, Picture, plain

COLUMNS = 2400  # of the picture of a tape
SOUND_COLOURS = "magma"
FREQUENCIES = {200: "200", 1000: "1k", 3000: "3k", 10000: "10k"}  # ticks, Hz


def spectrograms(features: np.ndarray, config: AudioConfig, titles: Sequence[str], columns: int = 5) -> Picture:
    """Mel features (n, frames, mels) side by side, in dB below each clip's maximum."""
    columns = min(len(features), columns)
    rows = -(-len(features) // columns)
    figure = Picture(figsize=(2.3 * columns + 1, 1.9 * rows + 0.6), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for ax, values, title in zip(axes.flat, features, titles, strict=False):
        image = _spectrogram(ax, values, config)
        ax.set_title(plain(title), fontsize=9)
    for ax in axes.flat[len(features) :]:
        ax.set_visible(False)
    figure.supxlabel("time (s)", fontsize=9)
    figure.supylabel("frequency (Hz)", fontsize=9)
    figure.colorbar(image, ax=axes, label="dB below the maximum", shrink=min(1.0, 2 / rows))
    return figure


def pairs(originals: np.ndarray, rebuilt: np.ndarray, config: AudioConfig, titles: Sequence[str]) -> Picture:
    """Features of sounds (n, frames, mels) above what the model makes of them."""
    figure = spectrograms(np.concatenate([originals, rebuilt]), config, [*titles, *[""] * len(rebuilt)], len(originals))
    first_of_row = figure.axes[0], figure.axes[len(originals)]
    for ax, name in zip(first_of_row, ("original", "model"), strict=True):
        ax.set_ylabel(name, fontsize=10)
    return figure


def sound(clip: Sound, features: np.ndarray, config: AudioConfig) -> Picture:
    """One sound: its waveform, in stereo both channels, above its mel features (frames, mels)."""
    figure = Picture(figsize=(7.5, 3.2), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    for name, colour, channel in zip(("left", "right"), COLOURS, np.atleast_2d(clip.samples.T), strict=False):
        top.plot(np.arange(len(channel)) / clip.sample_rate, channel, linewidth=0.5, color=colour, label=name)
    if clip.samples.ndim == 2:
        top.legend(loc="upper right", fontsize=8)
    top.set(ylabel="amplitude", ylim=(-1, 1))
    image = _spectrogram(bottom, features, config)
    bottom.set(xlabel="time (s)", ylabel="frequency (Hz)")
    figure.colorbar(image, ax=(top, bottom), label="dB below the maximum")
    return figure


def tape(
    recording: BandLevels, segments: Sequence[tuple[float, float]], start: float = 0.0, end: float | None = None
) -> Picture:
    """A recording from start to end: its level above its spectrum, with a line where each segment begins.

    Segments are (start, end), as all times in seconds; without an end all is shown.
    """
    end = recording.seconds if end is None else min(end, recording.seconds)
    levels = recording.levels[int(start / recording.hop_s) : max(1, int(end / recording.hop_s))]
    edges = np.linspace(0, len(levels), min(len(levels), COLUMNS), endpoint=False).astype(int)
    columns = np.maximum.reduceat(levels, edges, axis=0).astype(np.float32)
    figure = Picture(figsize=(12, 4), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    seconds = np.linspace(start, end, len(columns))
    size = 10 ** ((10 * np.log10(np.sum(10 ** (columns / 10), axis=1)) + 3) / 20)
    top.fill_between(seconds, -size, size, linewidth=0, color=COLOURS[0])
    top.set(ylabel="amplitude", ylim=(-1, 1))
    image = bottom.imshow(
        columns.T,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=-90,
        vmax=-10,
        extent=(start, end, 0, columns.shape[1]),
    )
    bottom.set(ylabel="mel band", xlim=(start, end), ylim=(0, columns.shape[1]))
    bottom.set_xlabel("time (hh:mm:ss)" if end - start > 120 else "time (s)")
    if end - start > 120:
        bottom.xaxis.set_major_formatter(moment)
    shown = [segment for segment in segments if segment[1] > start and segment[0] < end]
    top.vlines([first for first, _ in shown], -1, 1, color=COLOURS[3], linewidth=0.6)
    bottom.hlines([0.4] * len(shown), *np.array(shown).reshape(-1, 2).T, color=COLOURS[5], linewidth=3)
    figure.colorbar(image, ax=(top, bottom), label="dBFS")
    return figure


def painted(features: np.ndarray) -> np.ndarray:
    """Mel features (frames, mels) in [0, 1] as colours: uint8 (mels, frames, 3), high pitches first."""
    return colormaps[SOUND_COLOURS](np.clip(features.T[::-1], 0, 1), bytes=True)[..., :3]


def pitches(config: AudioConfig) -> list[tuple[float, str]]:
    """Round frequencies for an axis: at which of the bands, counted from 0 with halves at their centres, and names."""
    centres = np.maximum.accumulate(filterbank(config).argmax(axis=1)) * config.sample_rate / config.n_fft
    wanted = {hz: name for hz, name in FREQUENCIES.items() if centres[0] < hz < centres[-1]}
    return [(float(np.interp(hz, centres, np.arange(len(centres)) + 0.5)), name) for hz, name in wanted.items()]


def moment(second: float, _) -> str:
    """A time on a tape as hh:mm:ss, as a formatter of ticks."""
    return timecode(max(0, second))[:8]


def _spectrogram(ax: Axes, features: np.ndarray, config: AudioConfig) -> AxesImage:
    """Mel features (frames, mels) as an image, with ticks at round frequencies."""
    image = ax.imshow(
        (np.asarray(features).T - 1) * config.top_db,
        origin="lower",
        aspect="auto",
        cmap=SOUND_COLOURS,
        vmin=-config.top_db,
        vmax=0,
        extent=(0, config.clip_seconds, 0, config.n_mels),
    )
    seconds = np.linspace(0, config.clip_seconds, 3)
    ax.set_xticks(seconds, [f"{second:g}" for second in seconds])
    ticks = pitches(config)
    ax.set_yticks([place for place, _ in ticks], [name for _, name in ticks])
    return image
