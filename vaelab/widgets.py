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

PLAYER_WIDTHS, NARROWEST = {1: 300, 2: 250}, 180  # pixels, by the sounds in a row of a table, and of more sounds


class Table:
    """Columns of texts, numbers and sounds, which shows itself in a notebook; a sound is a player."""

    def __init__(self, columns: Mapping[str, Sequence[Any]]):
        self.names, self.rows = list(columns), list(zip(*columns.values(), strict=True))

    def __repr__(self) -> str:
        return aligned([self.names, *([_text(cell) for cell in row] for row in self.rows)])

    def _repr_html_(self) -> str:
        head = "".join(f"<th style='text-align: left'>{inert(name)}</th>" for name in self.names)
        sounds = max((sum(isinstance(cell, Sound) for cell in row) for row in self.rows), default=0)
        width = PLAYER_WIDTHS.get(sounds, NARROWEST)
        body = "".join(f"<tr>{''.join(_cell(cell, width) for cell in row)}</tr>" for row in self.rows)
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


def _cell(value: Any, width: int) -> str:
    """A cell of a table; players are so many pixels wide, whatever the browser's default."""
    if isinstance(value, Sound):
        content = value._repr_html_().replace("<audio", f"<audio style='width: {width}px'", 1)
    else:
        content = inert(_text(value))
    return f"<td style='text-align: left'>{content}</td>"


def _text(value: Any) -> str:
    if isinstance(value, Sound):
        return f"({value.seconds:.2f} s of sound)"
    return f"{value:.4g}" if isinstance(value, float | np.floating) else printable(str(value))
