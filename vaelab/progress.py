"""Progress bars of long work, which TQDM_DISABLE=1 turns off."""

import os
from typing import Any

from tqdm.auto import tqdm


def progress_bar(*items: Any, show: bool, **options: Any) -> tqdm:
    """A bar over `items`, or for counting by hand; `options` are those of tqdm."""
    return tqdm(*items, disable=not show or bool(os.environ.get("TQDM_DISABLE")), **options)
