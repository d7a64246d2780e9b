"""Pictures: a dataset, training curves, confusion matrices, maps, a flow, and those of sounds (matplotlib).

Every function returns a figure of its own that no global state knows: it shows itself as the last value of
a notebook cell, and `figure.savefig(path)` writes it. Names of files and classes are drawn as they are,
never as formulas.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import LogLocator, NullFormatter
from matplotlib.transforms import Bbox
from scipy.stats import norm

from vaelab.data import Dataset
from vaelab.ui.palette import MARKERS, UNKNOWN, look
from vaelab.ui.picture import COLOURS, Picture, plain
from vaelab.ui.regions import Region, regions
from vaelab.ui.sound_plots import painted, pairs, pitches, sound, spectrograms, tape, tapes

__all__ = [
    "COLOURS",
    "Picture",
    "confusion",
    "dataset",
    "flow",
    "latent_map",
    "painted",
    "pairs",
    "pitches",
    "plain",
    "sound",
    "spectrograms",
    "tape",
    "tapes",
    "training_curves",
]

NO_LABEL = "(no class)"
SIDES = {"train": "training", "validation": "held out"}
WIDE = 30  # a range of durations with ticks farther apart
LEAST_DB = 0.5  # that an axis of errors spans: less is nothing to hear
FEW = 10  # sounds of a class say little about others
CROWDED = 30  # classes of a confusion matrix
NAMES_BELOW, NAMED = 24, 144  # each other in a legend of a map, and in all of it
COLUMN_INCHES = 1.6  # of such a legend


def dataset(shown: Dataset, clip_seconds: float | None = None) -> Picture:
    """Counts of each class on each side, and durations; a line stands at the `clip_seconds` that a model receives."""
    labels = [label for label in (*shown.class_names, None) if any(entry.label == label for entry in shown.entries)]
    figure = Picture(figsize=(11, max(2.8, 1.6 + 0.3 * len(labels))), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _counts(left, shown, labels)
    _durations(right, shown, labels)
    if clip_seconds is not None:
        longer = sum(entry.seconds > clip_seconds for entry in shown.entries)
        note = f"a model receives {clip_seconds:g} s; longer: {longer}"
        right.axvline(clip_seconds, color="black", linestyle=":", label=note)
    figure.legend(loc="outside upper left", ncols=3, fontsize=9, frameon=False)
    return figure


def training_curves(history: Sequence[Mapping[str, float]]) -> Picture:
    """The held-out error in dB where sounds are audible, its minimum marked, and the loss of both sides, over steps.

    Runs of before did not measure that error: it is drawn as NaN, which shows nothing.
    """
    figure = Picture(figsize=(11, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    steps = [metrics["step"] for metrics in history]
    errors = np.array([metrics.get("audible_db", np.nan) for metrics in history])
    dots = {"marker": ".", "markersize": 5}
    left.plot(steps, errors, color=COLOURS[0], **dots)
    if np.isfinite(errors).any():
        best = int(np.nanargmin(errors))
        label = f"lowest: {errors[best]:.2f} dB at step {steps[best]}"
        left.plot(steps[best], errors[best], "o", markersize=9, fillstyle="none", color=COLOURS[3], label=label)
        left.legend(frameon=False)
    left.set(xlabel="step", ylabel="held-out error where audible (dB)")
    right.plot(steps, [metrics["train_loss"] for metrics in history], color=COLOURS[1], label="training", **dots)
    right.plot(steps, [metrics["loss"] for metrics in history], color=COLOURS[0], label="held out", **dots)
    right.set(xlabel="step", ylabel="loss (nats per sound)")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.margins(0.08)
        axes.grid(alpha=0.3)
    low, high = left.get_ylim()
    if high - low < LEAST_DB:
        left.set_ylim((low + high - LEAST_DB) / 2, (low + high + LEAST_DB) / 2)
    return figure


def confusion(matrix: np.ndarray, names: Sequence[str]) -> Picture:
    """A confusion matrix: colour is the share of each true class, numbers are counts; the title adds them up."""
    crowded = len(names) > CROWDED
    side = max(4.0, 2.2 + (0.26 if crowded else 0.42) * len(names))
    figure = Picture(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            colour = "white" if shares[row, column] < 0.5 else "black"
            size = 6 if crowded else 9
            axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=size)
    titles = [plain(name) for name in names]
    size = 7 if crowded else 10
    axes.set_xticks(range(len(names)), titles, rotation=60, ha="right", rotation_mode="anchor", fontsize=size)
    axes.set_yticks(range(len(names)), titles, fontsize=size)
    axes.set(xlabel="heard by the model as", ylabel="true class")
    figure.suptitle(_how_many(matrix.sum(axis=1)), fontsize=10)
    figure.colorbar(image, label="share of the true class")
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


def flow(stages: np.ndarray, pair: tuple[int, int]) -> Picture:
    """A posterior's draws (steps + 1, draws, latent) before and after its flow.

    Left: two latents, each draw's distance from the mean in standard deviations before the flow: a plain Gaussian is a
    circle before, and lies or stands straight after. Right: how many pairs of latents have which correlation, and
    beyond what no pair is expected by chance.
    """
    figure = Picture(figsize=(11, 5), layout="constrained")
    cloud, counts = figure.subplots(1, 2)
    ends = {"before the flow": stages[0], "after the flow": stages[-1]}
    _draw_clouds(cloud, ends, pair)
    _count_correlations(counts, ends)
    for ax in (cloud, counts):
        ax.legend(fontsize=9, loc="upper left", markerscale=5, edgecolor="white", framealpha=1)
        ax.grid(alpha=0.3)
    return figure


def _counts(axes: Axes, shown: Dataset, labels: Sequence[str | None]) -> None:
    rows, start = np.arange(len(labels)), np.zeros(len(labels))
    for (side, title), colour in zip(SIDES.items(), COLOURS, strict=False):
        count = Counter(entry.label for entry in shown.side(side))
        widths = np.array([count[label] for label in labels])
        axes.barh(rows, widths, left=start, color=colour, label=title)
        start += widths
    axes.set(xlabel="sounds (count)", ylabel="class", ylim=(len(labels) - 0.4, -0.6))
    axes.set_yticks(rows, [NO_LABEL if label is None else plain(label) for label in labels])


def _durations(axes: Axes, shown: Dataset, labels: Sequence[str | None]) -> None:
    spread = np.linspace(-0.25, 0.25, 7)  # neighbours a little apart, so that equal durations stay visible
    for row, label in enumerate(labels):
        seconds = [entry.seconds for entry in shown.entries if entry.label == label]
        axes.scatter(seconds, row + np.resize(spread, len(seconds)), s=12, alpha=0.5, color=COLOURS[0], linewidth=0)
    axes.set(xlabel="duration (s, logarithmic)", xscale="log")
    shortest, longest = axes.dataLim.intervalx
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3) if longest > WIDE * shortest else (1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", alpha=0.3)


def _how_many(counts: np.ndarray) -> str:
    """Sounds in all and of each class (classes,), and a caution where these are few."""
    present = counts[counts > 0]
    if not len(present):
        return "no sounds"
    least, most = present.min(), present.max()
    each = f"{least}" if least == most else f"{least} to {most}"
    text = f"{counts.sum()} sounds, {each} of a class"
    return f"{text}:\nexamples rather than rates" if least < FEW else text


def _draw_clouds(axes: Axes, ends: Mapping[str, np.ndarray], pair: tuple[int, int]) -> None:
    unit = next(iter(ends.values()))[:, pair].std(axis=0)
    furthest = 0.0
    for (name, stage), colour in zip(ends.items(), COLOURS, strict=False):
        away = (stage[:, pair] - stage[:, pair].mean(axis=0)) / unit
        label = f"{name}: correlation {np.corrcoef(away.T)[0, 1]:.2f}"
        axes.scatter(*away.T, s=4, alpha=0.3, color=colour, linewidth=0, label=label)
        furthest = max(furthest, np.abs(away).max())
    axes.set(xlabel=f"latent {pair[0]} (standard deviations before)", xlim=(-1.1 * furthest, 1.1 * furthest))
    axes.set(ylabel=f"latent {pair[1]} (standard deviations before)", ylim=(-1.1 * furthest, 1.4 * furthest))
    axes.set_aspect("equal")
    axes.locator_params(nbins=5)


def _count_correlations(axes: Axes, ends: Mapping[str, np.ndarray]) -> None:
    pairs = np.triu_indices(next(iter(ends.values())).shape[1], 1)
    correlations = {name: np.corrcoef(stage, rowvar=False)[pairs] for name, stage in ends.items()}
    largest = max(np.abs(values).max() for values in correlations.values())
    chance = _chance(len(pairs[0]), len(next(iter(ends.values()))))
    edges = np.linspace(-1, 1, 41) * min(1.0, 1.5 * max(largest, chance))
    for (name, values), colour, style in zip(correlations.items(), COLOURS, ("-", "--"), strict=False):
        label = f"{name}: {np.abs(values).max():.2f} at most"
        counted = np.histogram(values, edges)[0]
        axes.stairs(counted, edges, color=colour, linewidth=1.5, linestyle=style, label=label)
    for sign, label in ((-1, f"chance reaches {chance:.2f}"), (1, None)):
        axes.axvline(sign * chance, color="black", linestyle=":", label=label)
    axes.set(xlabel="correlation of two latents (no unit)", ylabel="pairs (count, logarithmic)", yscale="symlog")
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, 50 * len(pairs[0])))  # the legend stands above the counts
    axes.yaxis.set_major_formatter("{x:,.10g}")
    axes.locator_params(axis="x", nbins=5)


def _chance(pairs: int, draws: int) -> float:
    """The correlation that one of so many pairs is expected to exceed if no latents are correlated."""
    return float(norm.isf(0.5 / pairs) / np.sqrt(draws))


def _plane() -> tuple[Picture, Axes]:
    """A picture for a map, and its axes."""
    figure = Picture(figsize=(8, 5.5), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel="UMAP 1 (no unit)", ylabel="UMAP 2 (no unit)", xticks=[], yticks=[])
    return figure, axes


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
