"""Results: where they lie."""

from pathlib import Path

FOLDER = Path(__file__).parents[1]
RESULTS, CONFIGS = FOLDER / "results", FOLDER / "configs"
