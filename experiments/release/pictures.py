"""Pictures of what was measured, drawn from `results/*.json`: notebook 07 shows them.

Colours are those of `vaelab.ui.plots`, safe for colour-blind readers; markers, lines or hatches double them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from experiments.common import results
from experiments.release.page import step_milliseconds
from vaelab.ui.palette import MARKERS
from vaelab.ui.plots import COLOURS, Picture

HATCHES = ("", "//", "..")
FLAT = "SampleVAE's layers, 2-D"
ONSETS = {"F": "vaelab", "librosa F": "librosa"}
WAYS = {"query ms": "vaelab", "scikit-learn ms": "scikit-learn", "scipy loop ms": "a loop over scipy"}

result = results.read


def column(result: dict[str, Any], name: str) -> list[Any]:
    """A column of a table, top to bottom."""
    return [row[result["columns"].index(name)] for row in result["rows"]]


def baseline(result: dict[str, Any]) -> Picture:
    """Held-out loss over time; the slow model's time is that of its steps alone where nothing else runs."""
    figure, (axes,) = _figure(1)
    for number, record in enumerate(result["records"]):
        curve = record["curve"]
        seconds = [seen["seconds"] for seen in curve]
        if record["run"] == FLAT:
            seconds = [seen["step"] * step_milliseconds(FLAT) / 1000 for seen in curve]
        axes.plot(seconds, [seen["loss"] for seen in curve], label=record["run"], **_line(number))
    axes.set(xlabel="time since the start (s, logarithmic)", ylabel="held-out loss (nats a sound)")
    _logarithmic(axes)
    _finish(axes)
    return figure


def flow(result: dict[str, Any]) -> Picture:
    """Gain in loss of every other posterior over that without a flow, by seed."""
    losses = {(record["run"], record["seed"]): record["best"]["loss"] for record in result["records"]}
    names = [name for name in dict.fromkeys(run for run, _ in losses) if name != "no flow"]
    figure, (axes,) = _figure(1)
    for number, seed in enumerate(sorted({seed for _, seed in losses})):
        rows = [row for row, name in enumerate(names) if (name, seed) in losses]
        gains = [losses["no flow", seed] - losses[names[row], seed] for row in rows]
        axes.plot(gains, rows, label=f"seed {seed}", linestyle="none", **_dot(number))
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(xlabel="better than no flow (nats a sound)", ylabel="posterior")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.grid(alpha=0.3)
    if len(axes.lines) > 2:  # several seeds, and the line
        axes.legend(fontsize=8, frameon=False)
    return figure


def latents(result: dict[str, Any]) -> Picture:
    """Loss, error, and how far all posteriors together are from the prior, over the number of latents."""
    figure, panels = _figure(3)
    records = sorted(result["records"], key=lambda record: record["latents"]["of"])
    sizes = [record["latents"]["of"] for record in records]
    values = {
        "loss": "held-out loss (nats a sound)",
        "error_db": "mean error (dB)",
        "gap_nats": "gap to the prior (nats)",
    }
    for number, (axes, (name, label)) in enumerate(zip(panels, values.items(), strict=True)):
        axes.plot(sizes, [{**record["best"], **record["latents"]}[name] for record in records], **_line(number))
        axes.set(xscale="log", xlabel="latents (count, logarithmic)", ylabel=label)
        axes.set_xticks(sizes, [str(size) for size in sizes], minor=False)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    return figure


def inversion(result: dict[str, Any]) -> Picture:
    """Quality over time of the ways from mel features back to sound; below and to the left is better."""
    presets = list(dict.fromkeys(column(result, "preset")))
    figure, panels = _figure(len(presets), sharey=True, sharex=True)
    place = [result["columns"].index(name) for name in ("way back", "ms one by one", "convergence")]
    for axes, preset in zip(panels, presets, strict=True):
        ways = {row[place[0]]: (row[place[1]], row[place[2]]) for row in result["rows"] if row[0] == preset}
        ladder = [(name.removesuffix(" rounds"), at) for name, at in ways.items() if name.endswith(" rounds")]
        ladder = [(rounds, at) for rounds, at in ladder if rounds.isdigit()]
        axes.plot(*np.transpose([at for _, at in ladder]), label="vaelab, no phase: rounds", **_line(0))
        for rounds, at in ladder:
            axes.annotate(rounds, at, (4, 4), textcoords="offset points", fontsize=7)
        shown = {"ours, the source's phase": "vaelab, the source's phase", "librosa mel_to_audio, 32 rounds": "librosa"}
        shown["SampleVAE's: two filterbanks, 10 rounds"] = "SampleVAE's way"
        for number, (name, label) in enumerate(shown.items(), 1):
            if name in ways:
                axes.plot(*ways[name], label=label, linestyle="none", **_dot(number))
        axes.set(xlabel="time (ms a sound, logarithmic)", ylabel="spectral convergence (ratio)", title=preset)
        _logarithmic(axes)
        axes.set_ylim(0, None)
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize=8, frameon=False)
    return figure


def recalls(result: dict[str, Any]) -> Picture:
    """Of each class of drums, the share that was recognised in kits never met."""
    figure, (axes,) = _figure(1, height=4.2)
    rows = [(row[0].removeprefix("recall of "), row[1:]) for row in result["rows"] if row[0].startswith("recall of ")]
    methods = {"vaelab": "vaelab", "mfcc": "MFCCs, logistic regression"}
    at = np.arange(len(rows))
    for number, (method, label) in enumerate(methods.items()):
        shares = [shares[result["columns"].index(method) - 1] for _, shares in rows]
        place = at + 0.4 * number - 0.2
        axes.barh(place, shares, 0.38, label=label, color=COLOURS[number], hatch=HATCHES[number], edgecolor="white")
    axes.axvline(1 / len(rows), color="black", linestyle=":", label="chance")
    axes.set(xlabel="recall (share of the class)", ylabel="class", xlim=(0, 1))
    axes.set_yticks(at, [name.replace("_", " ") for name, _ in rows])
    axes.invert_yaxis()
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def onsets(result: dict[str, Any]) -> Picture:
    """F-measure of onsets on tapes, over the noise; thin lines are the kinds of tapes."""
    figure, (axes,) = _figure(1)
    kinds = [kind for kind in dict.fromkeys(column(result, "sounds")) if kind != "all"]
    for number, (name, label) in enumerate(ONSETS.items()):
        cells = list(zip(column(result, "sounds"), column(result, "SNR"), column(result, name), strict=True))
        for kind in kinds:
            axes.plot(*_series(cells, kind), color=COLOURS[number], linewidth=0.7, alpha=0.6)
        axes.plot(*_series(cells, "all"), label=label, **_line(number))
    axes.set(xlabel="sounds over hiss and hum (dB)", ylabel="F within 50 ms (ratio)")
    _finish(axes)
    return figure


def verdicts(familiar: dict[str, Any], new: dict[str, Any]) -> Picture:
    """A drum model's verdicts on foreign sounds and on sounds that it generated."""
    figure, panels = _figure(2, height=3.6, width=11)
    for axes, result in zip(panels, (familiar, new), strict=True):
        names, left = column(result, result["columns"][0]), np.zeros(len(result["rows"]))
        for number, verdict in enumerate(result["columns"][2:5]):
            shares = np.array(column(result, verdict))
            hatched = {"hatch": HATCHES[number], "edgecolor": "white"}
            axes.barh(range(len(names)), shares, left=left, label=verdict, color=COLOURS[number], **hatched)
            left += shares
        axes.set(xlabel="share of the sounds (ratio)", ylabel=result["columns"][0], xlim=(0, 1))
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.legend(fontsize=8, frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return figure


def search(result: dict[str, Any]) -> Picture:
    """Time of an exact search over the size of the library."""
    figure, (axes,) = _figure(1)
    for number, (name, label) in enumerate(WAYS.items()):
        axes.plot(column(result, "sounds"), column(result, name), label=label, **_line(number))
    axes.set(xlabel="sounds in the library (count, logarithmic)", ylabel="ten nearest (ms, logarithmic)")
    _logarithmic(axes, both=True)
    _finish(axes)
    return figure


def _figure(count: int, height: float = 3.4, width: float | None = None, **shared) -> tuple[Picture, Sequence[Axes]]:
    figure = Picture(figsize=(width or (7 if count == 1 else 4.4 * count), height), layout="constrained")
    return figure, np.atleast_1d(figure.subplots(1, count, **shared))


def _dot(number: int) -> dict[str, Any]:
    return {"color": COLOURS[number], "marker": MARKERS[number], "markersize": 5}


def _line(number: int) -> dict[str, Any]:
    return {**_dot(number), "linestyle": ("-", "--", "-.")[number % 3], "markersize": 4}


def _series(cells: Sequence[tuple[str, float, float]], kind: str) -> np.ndarray:
    return np.transpose([(decibels, value) for name, decibels, value in cells if name == kind])


def _logarithmic(axes: Axes, both: bool = False) -> None:
    """Make the horizontal axis, or both, logarithmic, with ticks that are written out."""
    axes.set(xscale="log", yscale="log" if both else "linear")
    for axis in (axes.xaxis, axes.yaxis) if both else (axes.xaxis,):
        axis.set_major_formatter("{x:,.10g}")


def _finish(axes: Axes) -> None:
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, frameon=False)
