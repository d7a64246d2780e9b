"""Progress bars of long work, where a line can be drawn over; TQDM_DISABLE=1 turns them off."""

import os
import sys
from typing import Any

from tqdm.auto import tqdm

OFF = ("", "0", "false", "no")  # values of TQDM_DISABLE that turn nothing off


def progress_bar(*items: Any, show: bool, **options: Any) -> tqdm:
    """A bar over `items`, or for counting by hand; `options` are those of tqdm."""
    return tqdm(*items, disable=not (show and is_live() and not is_off()), **options)


def is_off() -> bool:
    """True if the user wants no progress."""
    return os.environ.get("TQDM_DISABLE", "").lower() not in OFF


def is_live() -> bool:
    """True in a terminal or a notebook: elsewhere each step of a bar would be a line of its own."""
    return "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())
