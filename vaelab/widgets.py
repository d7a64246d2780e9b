"""Widgets for notebooks: tables with players, live training curves, the mixer, the map, the confusion matrix.

The public widgets of `vaelab.ui`. They hold views and callbacks only; all computation is in the tool. Names of files
and classes are untrusted: they reach the page through `inert` alone, or as text nodes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from IPython.display import display

from vaelab.audio import Sound
from vaelab.text import aligned, inert, printable, short_name
from vaelab.training import Evaluation
from vaelab.ui import Confusions, Instrument, Mixer, Pads, Player, Row, SoundMap, plots

__all__ = [
    "Confusions",
    "Instrument",
    "LiveCurves",
    "Mixer",
    "Pads",
    "Player",
    "Row",
    "SoundMap",
    "Table",
    "inert",
    "short_name",
]


class Table:
    """Columns of texts, numbers and sounds, which shows itself in a notebook; a sound is a player."""

    def __init__(self, columns: Mapping[str, Sequence[Any]]):
        self.names, self.rows = list(columns), list(zip(*columns.values(), strict=True))

    def __repr__(self) -> str:
        return aligned([self.names, *([_text(cell) for cell in row] for row in self.rows)])

    def _repr_html_(self) -> str:
        head = "".join(f"<th style='text-align: left'>{inert(name)}</th>" for name in self.names)
        body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in self.rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


class LiveCurves:
    """Training curves that are drawn anew at each evaluation: `train(..., on_evaluation=LiveCurves())`."""

    def __init__(self, history: Sequence[Mapping[str, float]] = ()):
        self._shown = display(plots.training_curves(history), display_id=True) if history else None

    def __call__(self, evaluation: Evaluation) -> None:
        """Draw the history so far."""
        picture = plots.training_curves(evaluation.history)
        if self._shown is None:
            self._shown = display(picture, display_id=True)
        else:
            self._shown.update(picture)


def _cell(value: Any) -> str:
    content = value._repr_html_() if isinstance(value, Sound) else inert(_text(value))
    return f"<td style='text-align: left'>{content}</td>"


def _text(value: Any) -> str:
    if isinstance(value, Sound):
        return f"({value.seconds:.2f} s of sound)"
    return f"{value:.4g}" if isinstance(value, float | np.floating) else printable(str(value))
