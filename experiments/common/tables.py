"""Tables as text and as Markdown, free of imports beyond Python's own."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any


def as_text(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table in aligned columns."""
    lines = [tuple(columns), *(tuple(map(_short, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def as_markdown(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """The lines of a table in Markdown."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return lines + ["| " + " | ".join("-" if cell is None else str(cell) for cell in row) + " |" for row in rows]


def _short(cell: Any) -> str:
    if isinstance(cell, Real) and not isinstance(cell, Integral):
        return f"{cell:.3f}" if abs(cell) < 10 else f"{cell:.1f}"
    return "-" if cell is None else str(cell)
