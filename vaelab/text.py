"""Text for people: untrusted names made printable, inert in HTML and short; durations and time codes."""

import html
import os
from collections.abc import Sequence
from pathlib import Path

NAME_LENGTH = 40


def printable(path: str | os.PathLike) -> str:
    """A path as one line of printable text, whatever bytes its name holds."""
    text = os.fsdecode(path)
    return text if text.isprintable() else ascii(text)


def inert(text: str) -> str:
    """Text as HTML that shows it and does nothing else.

    Dollar signs and backslashes stand in elements of their own, where no formula can begin.
    """
    escaped = html.escape(printable(text))
    return escaped.replace("\\", "<span>\\</span>").replace("$", "<span>$</span>")


def short_name(path: str | os.PathLike) -> str:
    """A file's name with its folder, which often says what it is; the end of it, where it is long."""
    path = Path(path)
    name = printable(f"{path.parent.name}/{path.stem}")
    return name if len(name) <= NAME_LENGTH else f"…{name[-NAME_LENGTH + 1 :]}"


def clip_name(path: str | os.PathLike, onset: float) -> str:
    """A file's short name, with a time code where its sound begins later than the file, at `onset` seconds."""
    minutes, seconds = divmod(onset, 60)
    return f"{short_name(path)} at {minutes:.0f}:{seconds:05.2f}" if onset else short_name(path)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lines whose columns are as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def uncomputed(text: str) -> str:
    """A text that no spreadsheet computes as a formula: an apostrophe stands before what begins like one."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def timecode(seconds: float) -> str:
    """A moment as hh:mm:ss.mmm."""
    minutes, milliseconds = divmod(round(1000 * seconds), 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{milliseconds // 1000:02d}.{milliseconds % 1000:03d}"


def clock(seconds: float) -> str:
    """A duration in seconds, minutes or hours, with digits as suit its size."""
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
