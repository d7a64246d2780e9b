"""Names that people give to sounds, in a CSV file beside what they make: by content, so that they outlive any path.

A row holds a sound's sha256, its onset in its file in seconds, its label, and for the reader the path it had then.
"""

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from vaelab import VaelabError, files
from vaelab.text import printable, uncomputed

COLUMNS = ["sha256", "onset_s", "label", "path"]


class LabelError(VaelabError):
    """A file of labels that is something else; the message names it and says what to do."""


class Key(NamedTuple):
    """A sound: the sha256 of its file, and its onset there in milliseconds."""

    sha256: str
    onset_ms: int


def key(sha256: str, onset: float) -> Key:
    """The key of a sound whose onset is in seconds."""
    return Key(sha256, round(1000 * onset))


def read(path: str | os.PathLike) -> dict[Key, tuple[str, str]]:
    """(label, path) of each sound; nothing where there is no file, and a LabelError where it is something else."""
    labels = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:  # as a spreadsheet may write it
            rows = csv.reader(file, strict=True)
            if (head := next(rows, None)) != COLUMNS:
                raise ValueError(f"{head} as its first line")
            for sha256, onset, label, name in rows:
                labels[key(sha256, float(onset))] = (label.removeprefix("'"), name.removeprefix("'"))
    except FileNotFoundError:
        return {}
    except (ValueError, OverflowError, csv.Error) as error:
        raise LabelError(
            f"{printable(path)}: expected labels, in columns {', '.join(COLUMNS)}, found something else ({error}); "
            "move it away or mend it"
        ) from error
    return labels


def write(path: str | os.PathLike, labels: Mapping[Key, tuple[str, str]]) -> Path:
    """Write (label, path) of each sound, whole or not at all."""
    with files.replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for (sha256, onset_ms), (label, name) in labels.items():
            writer.writerow([sha256, f"{onset_ms / 1000:.3f}", _quoted(label), _quoted(printable(name))])
    return Path(path)


def _quoted(text: str) -> str:
    """As `uncomputed`; an apostrophe of the text's own gets another, so that reading can take one away."""
    return f"'{text}" if text.startswith("'") else uncomputed(text)
