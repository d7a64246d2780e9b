"""Names from outside as the page may show them: text that is neither HTML nor a formula, of bearable length."""

import html
import os
from pathlib import Path

from vaelab.audio import printable

NAME_LENGTH = 40


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
