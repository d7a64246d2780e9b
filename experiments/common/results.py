"""Files of results: where they lie, how they are read and written."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from vaelab import files

FOLDER = Path(__file__).parents[1]
RESULTS, CONFIGS = FOLDER / "results", FOLDER / "configs"


def read(name: str) -> dict[str, Any]:
    """The stored result of a measurement."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="ascii"))


def write(name: str, result: dict[str, Any]) -> Path:
    """Store a result, whole or not at all; returns its file."""
    return files.write_text(RESULTS / f"{name}.json", json.dumps(result, indent=1, default=plain) + "\n")


def plain(value: Any) -> Any:
    """A number or an array of numpy as JSON has it."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no place in a result")
