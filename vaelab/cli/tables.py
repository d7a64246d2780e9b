"""Results for many sounds as text, JSON and CSV."""

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vaelab import files
from vaelab.play import SoundSampleTool
from vaelab.text import aligned, printable, uncomputed

Rows = Iterable[Mapping[str, Any]]


def classes(tool: SoundSampleTool, sounds: Sequence[str | os.PathLike]) -> Iterator[dict[str, Any]]:
    """Classify sound files, and all those below folders.

    A row holds its class and that class's probability, how well the model knows it, and the probability of every class;
    for a file that cannot be read the reason.
    """
    for sound in sounds:
        for answer in tool.classify(sound):
            row = {"file": str(answer.path), "class": answer.name, "probability": None, "known": None}
            row["percentile"] = row["reason"] = None
            probabilities = dict.fromkeys(tool.class_names)
            if answer.probabilities is None:
                row["reason"] = answer.reason
            else:
                probabilities = dict(zip(tool.class_names, map(float, answer.probabilities), strict=True))
                row["probability"] = probabilities[answer.name]
            if answer.known is not None:
                row["known"], row["percentile"] = answer.known.verdict, answer.known.percentile
            yield {**row, **{f"p({name})": value for name, value in probabilities.items()}}


def as_text(rows: Rows) -> str:
    """Columns of text under their names, without the single probabilities."""
    rows = [{name: value for name, value in row.items() if not name.startswith("p(")} for row in rows]
    return aligned([[*rows[0]], *(list(map(_word, row.values())) for row in rows)])


def as_json(rows: Rows) -> str:
    """A JSON list of objects, in ASCII: names that are not UTF-8 keep their bytes as lone surrogates."""
    return json.dumps(list(rows), indent=1, allow_nan=False)


def write_csv(path: str | os.PathLike, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write a table, whole or not at all; names that cannot be printed are escaped.

    Raises:
        OSError: A name that does not end in .csv, such as that of a sound.
    """
    check_csv(path)
    with files.replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([printable(name) for name in rows[0]])
        for row in rows:
            writer.writerow([_cell(value) for value in row.values()])
    return Path(path)


def check_csv(path: str | os.PathLike) -> None:
    """Refuse a table's name that does not end in .csv, before any work."""
    if Path(path).suffix.lower() != ".csv":
        raise OSError(f"{printable(path)}: expected a name in .csv; choose another")


def _cell(value: Any) -> Any:
    return uncomputed(printable(value)) if isinstance(value, str) else value


def _word(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else printable(value)
