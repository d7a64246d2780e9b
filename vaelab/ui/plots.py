"""Pictures: a dataset, spectrograms, training curves, confusion matrices, the latent map (matplotlib).

Every function returns a figure of its own that no global state knows: it shows itself as the last value of
a notebook cell, and `figure.savefig(path)` writes it. Names of files and classes are drawn as they are,
never as formulas.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from io import BytesIO

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.image import AxesImage
from matplotlib.patheffects import Normal, Stroke
from matplotlib.text import Text
from matplotlib.ticker import LogLocator
from matplotlib.transforms import Bbox

from vaelab.audio import Sound
from vaelab.config import AudioConfig
from vaelab.data import Dataset
from vaelab.slicing import BandLevels
from vaelab.spectral import filterbank
from vaelab.text import printable, timecode
from vaelab.ui.palette import MARKERS, UNKNOWN, look
from vaelab.ui.regions import Region, regions

# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
LONGEST_NAME = 28
COLUMNS = 2400  # of the picture of a tape
NO_LABEL = "(no class)"
NAMES_BELOW, NAMED = 24, 144  # each other in a legend of a map, and in all of it
COLUMN_INCHES = 1.6  # of such a legend
SOUND_COLOURS = "magma"
FREQUENCIES = {200: "200", 1000: "1k", 3000: "3k", 10000: "10k"}  # ticks, Hz
SCRIPTS = (  # fonts of systems and distributions for letters that matplotlib's own lacks, of which some are installed
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans JP", "Noto Sans SC", "Noto Sans KR", "Source Han Sans"),
    *("Droid Sans Fallback", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "IPAexGothic", "IPAGothic", "VL Gothic"),
    *("TakaoGothic", "NanumGothic", "UnDotum", "Hiragino Sans", "PingFang SC", "Apple SD Gothic Neo", "Yu Gothic"),
    *("Meiryo", "MS Gothic", "Microsoft YaHei", "SimHei", "Malgun Gothic", "Arial Unicode MS", "Noto Sans Thai"),
    *("Noto Sans Devanagari", "Noto Sans Bengali", "Noto Sans Tamil", "Noto Sans Symbols", "Unifont", "Segoe UI"),
)


class Picture(Figure):
    """A matplotlib figure that shows itself in a notebook without pyplot, in the fonts that its letters need."""

    def draw(self, renderer: RendererBase) -> None:
        """Draw as a figure does, with other fonts behind the default one."""
        for text in self.findobj(Text):
            text.set_fontfamily(_families())
        super().draw(renderer)

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=90)
        return buffer.getvalue()


def dataset(shown: Dataset) -> Picture:
    """Counts of each class on each side, and a histogram of durations."""
    counts = {side: Counter(entry.label for entry in shown.side(side)) for side in ("train", "validation")}
    labels = [label for label in (*shown.class_names, None) if any(count[label] for count in counts.values())]
    rows = np.arange(len(labels))
    figure = Picture(figsize=(10, 1.4 + 0.28 * len(labels)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    start = np.zeros(len(labels))
    for (side, count), colour in zip(counts.items(), COLOURS, strict=False):
        widths = np.array([count[label] for label in labels])
        left.barh(rows, widths, left=start, color=colour, label="held out" if side == "validation" else side)
        start += widths
    left.set(xlabel="sounds (count)", ylabel="class", ylim=(len(labels) - 0.4, -0.6))
    left.set_yticks(rows, [NO_LABEL if label is None else plain(label) for label in labels])
    figure.legend(loc="outside upper left", ncols=2, fontsize=8, frameon=False)
    spread = np.linspace(-0.25, 0.25, 7)  # neighbours a little apart, so that equal durations stay visible
    for row, label in enumerate(labels):
        seconds = [entry.seconds for entry in shown.entries if entry.label == label]
        right.scatter(seconds, row + np.resize(spread, len(seconds)), s=7, alpha=0.5, color=COLOURS[0], linewidth=0)
    right.set(xlabel="duration (s)", xscale="log")
    right.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    right.xaxis.set_major_formatter("{x:g}")
    right.grid(axis="x", alpha=0.3)
    return figure


def training_curves(history: Sequence[Mapping[str, float]]) -> Picture:
    """Loss in training and held out, and the held-out error in dB where sounds are audible, over steps.

    Runs of before did not measure that: their error is drawn as NaN, which shows nothing.
    """
    figure = Picture(figsize=(9, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    steps = [metrics["step"] for metrics in history]
    dots = {"marker": ".", "markersize": 5}
    left.plot(steps, [metrics["train_loss"] for metrics in history], color=COLOURS[1], label="training", **dots)
    left.plot(steps, [metrics["loss"] for metrics in history], color=COLOURS[0], label="held out", **dots)
    left.set(xlabel="step", ylabel="loss (nats per sound)")
    left.legend()
    errors = [metrics.get("audible_db", np.nan) for metrics in history]
    right.plot(steps, errors, color=COLOURS[0], **dots)
    right.set(xlabel="step", ylabel="held-out error where audible (dB)")
    return figure


def confusion(matrix: np.ndarray, names: Sequence[str]) -> Picture:
    """A confusion matrix: colour is the share of each true class, the numbers are counts."""
    side = 2.2 + 0.42 * len(names)
    figure = Picture(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            colour = "white" if shares[row, column] < 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
    titles = [plain(name) for name in names]
    axes.set_xticks(range(len(names)), titles, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), titles)
    axes.set(xlabel="heard by the model as", ylabel="true class")
    figure.colorbar(image, label="share of the true class")
    return figure


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


def latent_map(coordinates: np.ndarray, labels: Sequence[str | None]) -> Picture:
    """A flat map (n, 2) with a colour and marker for each label, as the map to play on, and names where they gather."""
    figure, axes = _plane()
    names = sorted({label for label in labels if label is not None})
    drawn = []
    for position, name in enumerate([None, *names]):
        chosen = np.array([label == name for label in labels])
        if not chosen.any():
            continue
        given = UNKNOWN if name is None else look(position - 1)
        points = axes.scatter(*coordinates[chosen].T, s=22, color=given.light, marker=MARKERS[given.shape], linewidth=0)
        drawn.append((points, NO_LABEL if name is None else plain(name)))
    if names:
        handles, titles = zip(*drawn, strict=True)
        if len(titles) > NAMED:
            titles = [*titles[: NAMED - 1], f"and {len(titles) - NAMED + 1} more"]
        columns = -(-len(titles) // NAMES_BELOW)
        axes.legend(
            handles[: len(titles)],
            titles,
            bbox_to_anchor=(1.01, 1),
            loc="upper left",
            fontsize=8,
            frameon=False,
            ncols=columns,
        )
        axes.figure.set_figwidth(axes.figure.get_figwidth() + COLUMN_INCHES * (columns - 1))
    axes.margins(x=0.1)
    _write_regions(axes, regions(coordinates, labels))
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
        bottom.xaxis.set_major_formatter(_moment)
    shown = [segment for segment in segments if segment[1] > start and segment[0] < end]
    top.vlines([first for first, _ in shown], -1, 1, color=COLOURS[3], linewidth=0.6)
    bottom.hlines([0.4] * len(shown), *np.array(shown).reshape(-1, 2).T, color=COLOURS[5], linewidth=3)
    figure.colorbar(image, ax=(top, bottom), label="dBFS")
    return figure


def tape_map(coordinates: np.ndarray, seconds: Sequence[float]) -> Picture:
    """A flat map (n, 2) of a tape's segments, coloured by the time at which each begins."""
    figure, axes = _plane()
    points = axes.scatter(*np.asarray(coordinates).T, s=22, c=seconds, cmap="viridis", linewidth=0)
    bar = figure.colorbar(points, label="time on the tape (hh:mm:ss)")
    bar.ax.yaxis.set_major_formatter(_moment)
    return figure


def flow(stages: np.ndarray, pair: tuple[int, int]) -> Picture:
    """A posterior's draws (steps + 1, draws, latent) before and after its flow.

    Left: two latents, each draw's distance from the mean, at one scale for both axes: a plain Gaussian is an ellipse
    that lies or stands straight. Right: how many pairs of latents have which correlation.
    """
    figure = Picture(figsize=(10, 4.2), layout="constrained")
    cloud, counts = figure.subplots(1, 2)
    pairs = np.triu_indices(stages.shape[2], 1)
    correlations = [np.corrcoef(stage, rowvar=False)[pairs] for stage in stages[[0, -1]]]
    edges = np.linspace(-1, 1, 81)
    for stage, correlation, name, colour in zip(
        stages[[0, -1]], correlations, ("before the flow", "after it"), COLOURS, strict=False
    ):
        away = stage[:, pair] - stage[:, pair].mean(axis=0)
        label = f"{name}: correlation {np.corrcoef(away.T)[0, 1]:.2f}"
        cloud.scatter(*away.T, s=4, alpha=0.3, color=colour, linewidth=0, label=label)
        label = f"{name}: {np.abs(correlation).max():.2f} at most"
        counts.stairs(np.histogram(correlation, edges)[0], edges, color=colour, linewidth=1.5, label=label)
    cloud.set(xlabel=f"latent {pair[0]}, from its mean (no unit)", ylabel=f"latent {pair[1]}, from its mean (no unit)")
    cloud.set_aspect("equal", adjustable="datalim")
    cloud.locator_params(nbins=5)
    counts.set(xlabel="correlation of two latents (no unit)", ylabel="pairs (count)", yscale="symlog", xlim=(-1, 1))
    counts.set_xticks(np.linspace(-1, 1, 5))
    counts.set_ylim(0, 20 * len(pairs[0]))  # the legend stands above the counts
    for ax in (cloud, counts):
        ax.legend(fontsize=8, frameon=False, loc="upper left", markerscale=5)
        ax.grid(alpha=0.3)
    return figure


def painted(features: np.ndarray) -> np.ndarray:
    """Mel features (frames, mels) in [0, 1] as colours: uint8 (mels, frames, 3), high pitches first."""
    return colormaps[SOUND_COLOURS](np.clip(features.T[::-1], 0, 1), bytes=True)[..., :3]


def pitches(config: AudioConfig) -> list[tuple[float, str]]:
    """Round frequencies for an axis: at which of the bands, counted from 0 with halves at their centres, and names."""
    centres = np.maximum.accumulate(filterbank(config).argmax(axis=1)) * config.sample_rate / config.n_fft
    wanted = {hz: name for hz, name in FREQUENCIES.items() if centres[0] < hz < centres[-1]}
    return [(float(np.interp(hz, centres, np.arange(len(centres)) + 0.5)), name) for hz, name in wanted.items()]


def plain(text: str) -> str:
    """Text that matplotlib draws as it is, on one line of bearable length.

    No formula between dollar signs, no control character; what no installed font of `SCRIPTS` has becomes a box.
    """
    text = printable(text)
    if len(text) > LONGEST_NAME:
        text = f"{text[: LONGEST_NAME // 2]}…{text[-LONGEST_NAME // 2 + 1 :]}"
    return "".join(letter if _is_in_font(letter) else "□" for letter in text).replace("$", r"\$")


def _plane() -> tuple[Picture, Axes]:
    """A picture for a map, and its axes."""
    figure = Picture(figsize=(8, 5.5), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel="UMAP 1 (no unit)", ylabel="UMAP 2 (no unit)", xticks=[], yticks=[])
    return figure, axes


def _moment(second: float, _) -> str:
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


def _write_regions(axes: Axes, shown: Sequence[Region]) -> None:
    """Write the names of regions, but for those that would lie on a clearer one."""
    halo = [Stroke(linewidth=3, foreground="white"), Normal()]
    axes.figure.draw_without_rendering()  # boxes of texts are known once their axes lie
    boxes: list[Bbox] = []
    for name, x, y in shown:
        text = axes.text(x, y, plain(name), ha="center", va="center", weight="bold", fontsize=8, path_effects=halo)
        box = text.get_window_extent()
        if box.count_overlaps(boxes):
            text.remove()
        else:
            boxes.append(box)


@lru_cache(maxsize=1)
def _families() -> list[str]:
    """The default font, and behind it those of `SCRIPTS` that are installed."""
    default, installed = FontProperties().get_name(), set(fontManager.get_font_names())
    return [default, *(name for name in SCRIPTS if name in installed and name != default)]


@lru_cache(maxsize=4096)
def _is_in_font(letter: str) -> bool:
    fonts = (get_font(findfont(FontProperties(family=name))) for name in _families())
    return any(font.get_char_index(ord(letter)) for font in fonts)
