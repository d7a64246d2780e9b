"""Pictures: training curves, confusion matrices, spectrograms, the latent map (matplotlib).

Every function returns a figure of its own that no global state knows: it shows itself as the last value of
a notebook cell, and `figure.savefig(path)` writes it. Names of files and classes are drawn as they are,
never as formulas.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np
from matplotlib.figure import Figure

from vaelab.audio import Sound, printable
from vaelab.config import AudioConfig

# Okabe and Ito's palette, which colour-blind readers can tell apart; markers double it.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
MARKERS = "os^Dv"


class Picture(Figure):
    """A matplotlib figure that shows itself in a notebook without pyplot."""

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=90)
        return buffer.getvalue()


def training_curves(history: Sequence[Mapping[str, float]]) -> Picture:
    """Loss in training and held out, and the held-out error in dB, over steps."""
    figure = Picture(figsize=(9, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    steps = [metrics["step"] for metrics in history]
    left.plot(steps, [metrics["train_loss"] for metrics in history], color=COLOURS[1], label="training")
    left.plot(steps, [metrics["loss"] for metrics in history], color=COLOURS[0], label="held out")
    left.set(xlabel="step", ylabel="loss (nats per sound)")
    left.legend()
    right.plot(steps, [metrics["error_db"] for metrics in history], color=COLOURS[0])
    right.set(xlabel="step", ylabel="held-out error (dB)", ylim=(0, None))
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
    ticks = range(len(names))
    axes.set_xticks(ticks, [plain(name) for name in names], rotation=60, ha="right")
    axes.set_yticks(ticks, [plain(name) for name in names])
    axes.set(xlabel="heard by the model as", ylabel="true class")
    figure.colorbar(image, label="share of the true class")
    return figure


def spectrograms(features: np.ndarray, config: AudioConfig, titles: Sequence[str]) -> Picture:
    """Mel features (n, frames, mels) side by side, in dB below each clip's maximum."""
    count = len(features)
    columns = min(count, 5)
    rows = -(-count // columns)
    figure = Picture(figsize=(2.3 * columns + 1, 2.1 * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for position, ax in enumerate(axes.flat):
        if position >= count:
            ax.set_visible(False)
            continue
        image = ax.imshow(
            (np.asarray(features[position]).T - 1) * config.top_db,
            origin="lower",
            aspect="auto",
            cmap="magma",
            vmin=-config.top_db,
            vmax=0,
            extent=(0, config.clip_seconds, 0, config.n_mels),
        )
        ax.set_title(plain(titles[position]), fontsize=9)
    figure.supxlabel("time (s)", fontsize=9)
    figure.supylabel("mel band", fontsize=9)
    figure.colorbar(image, ax=axes, label="dB below the maximum")
    return figure


def sound(made: Sound, features: np.ndarray, config: AudioConfig) -> Picture:
    """One sound: its waveform above its mel features (frames, mels)."""
    figure = Picture(figsize=(7, 3.6), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    top.plot(np.arange(len(made.samples)) / made.sample_rate, made.samples, linewidth=0.5, color=COLOURS[0])
    top.set(ylabel="amplitude", ylim=(-1, 1))
    image = bottom.imshow(
        (np.asarray(features).T - 1) * config.top_db,
        origin="lower",
        aspect="auto",
        cmap="magma",
        extent=(0, config.clip_seconds, 0, config.n_mels),
    )
    bottom.set(xlabel="time (s)", ylabel="mel band")
    figure.colorbar(image, ax=bottom, label="dB")
    return figure


def latent_map(coordinates: np.ndarray, labels: Sequence[str | None]) -> Picture:
    """A flat map (n, 2) with a colour and marker for each label."""
    figure = Picture(figsize=(8, 5.5), layout="constrained")
    axes = figure.subplots()
    names = sorted({label for label in labels if label is not None})
    labels = np.array([label if label is not None else "" for label in labels])
    others = labels == ""
    if others.any():
        axes.scatter(*coordinates[others].T, s=14, color="0.7", label="unlabelled")
    for position, name in enumerate(names):
        axes.scatter(
            *coordinates[labels == name].T,
            s=22,
            color=COLOURS[position % len(COLOURS)],
            marker=MARKERS[position // len(COLOURS) % len(MARKERS)],
            linewidth=0,
            label=plain(name),
        )
    axes.set(xlabel="UMAP 1 (no unit)", ylabel="UMAP 2 (no unit)")
    if len(names) > 1:
        axes.legend(bbox_to_anchor=(1.01, 1), loc="upper left", fontsize=8, frameon=False)
    return figure


def plain(text: str) -> str:
    """Text that matplotlib draws as it is: no formula between dollar signs, no unprintable character."""
    return printable(text).replace("\\", "\\\\").replace("$", r"\$") if "$" in text else printable(text)
