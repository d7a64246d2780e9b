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
from matplotlib.ticker import LogLocator
from matplotlib.transforms import Bbox

from vaelab.data import Dataset
from vaelab.ui.palette import MARKERS, UNKNOWN, look
from vaelab.ui.picture import COLOURS, Picture, plain
from vaelab.ui.regions import Region, regions
from vaelab.ui.sound_plots import moment, painted, pairs, pitches, sound, spectrograms, tape

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
    "tape_map",
    "training_curves",
]

NO_LABEL = "(no class)"
NAMES_BELOW, NAMED = 24, 144  # each other in a legend of a map, and in all of it
COLUMN_INCHES = 1.6  # of such a legend


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


def tape_map(coordinates: np.ndarray, seconds: Sequence[float]) -> Picture:
    """A flat map (n, 2) of a tape's segments, coloured by the time at which each begins."""
    figure, axes = _plane()
    points = axes.scatter(*np.asarray(coordinates).T, s=22, c=seconds, cmap="viridis", linewidth=0)
    bar = figure.colorbar(points, label="time on the tape (hh:mm:ss)")
    bar.ax.yaxis.set_major_formatter(moment)
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
