"""A dataset: its sounds and tapes, its report, and its file, `HOME/NAME/manifest.json`.

Manifests are passed around: none can name a file outside the folders that it names.
"""

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vaelab import VaelabError, files
from vaelab.datasets import splitting
from vaelab.text import clock, printable, timecode

HOME = Path("datasets")
FORMAT = 1
SKIPPED = "skipped.txt"  # beside the manifest: each file that is not used, and the reason
TAPES_NAMED = 10  # in a report
MAX_NAME = 200  # bytes of a dataset's name


class DatasetError(VaelabError):
    """A dataset that cannot be made or found; the message says what was looked for, and where."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One sound of a dataset."""

    path: str  # relative to its root, with forward slashes
    root: int  # index into the dataset's roots
    sha256: str  # hash of the file's bytes
    seconds: float  # duration
    label: str | None  # class name, or None
    split: str  # "train" or "validation"
    tape: int | None = None  # index into the dataset's tapes, or None
    start: float | None = None  # where on the tape it begins, seconds, or None
    end: float | None = None  # where it ends


@dataclass(frozen=True)
class Dataset:
    """A named choice of sounds."""

    name: str  # its folder below HOME
    roots: tuple[str, ...]  # absolute folders that the entries' paths are relative to
    entries: tuple[Entry, ...]  # the sounds used
    # {"path", "root", "reason"} of each file with a sound's suffix, each link and each folder that cannot be read, that
    # is not used
    skipped: tuple[dict[str, Any], ...]
    # {"path", "sha256", "seconds", "metadata"} of each tape that entries were cut from
    tapes: tuple[dict[str, Any], ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """Labels in alphabetical order; empty if none is known."""
        return tuple(sorted({entry.label for entry in self.entries if entry.label is not None}))

    def side(self, split: str) -> list[Entry]:
        """The entries on one side, "train" or "validation"."""
        return [entry for entry in self.entries if entry.split == split]

    def source(self, entry: Entry) -> Path:
        """Path of an entry's file."""
        return Path(self.roots[entry.root]) / entry.path

    def named_tapes(self) -> list[dict[str, Any]]:
        """The tapes that are trained on, as a model remembers them: by name, without the folders of this machine."""
        trained_on = {entry.tape for entry in self.side("train")}
        return [
            {
                "name": os.path.basename(tape["path"]),
                "sha256": tape["sha256"],
                "timecode": f"{timecode(0)} - {timecode(tape['seconds'])}",
                "metadata": tape["metadata"],
            }
            for number, tape in enumerate(self.tapes)
            if number in trained_on
        ]

    def report(self) -> str:
        """Counts, sides, durations and classes in a few lines; each reason for skipping, with an example."""
        seconds = np.array([entry.seconds for entry in self.entries])
        train, validation = len(self.side("train")), len(self.side("validation"))
        lines = [
            f"dataset {self.name}: {len(self.entries) + len(self.skipped)} scanned = "
            f"{len(self.entries)} used + {len(self.skipped)} skipped",
            f"  {train} train, {validation} validation; {clock(seconds.sum())} of sound: shortest "
            f"{clock(seconds.min())}, median {clock(np.median(seconds))}, longest {clock(seconds.max())}",
            *self._class_lines(),
            *self._tape_lines(),
        ]
        examples = {skip["reason"]: skip["path"] for skip in reversed(self.skipped)}
        for reason, count in Counter(skip["reason"] for skip in self.skipped).most_common():
            lines.append(f"  skipped {count}: {reason} (such as {printable(examples[reason])})")
        return "\n".join(lines)

    def _tape_lines(self) -> list[str]:
        lines = []
        for number, tape in enumerate(self.tapes):
            mine = [entry for entry in self.entries if entry.tape == number]
            title = tape["metadata"].get("title") or os.path.basename(tape["path"])
            cut = sum(entry.end - entry.start for entry in mine)
            lines.append(f"  tape {printable(title)}: {len(mine)} segments, {clock(cut)} of {clock(tape['seconds'])}")
        more = len(lines) - TAPES_NAMED
        return lines if more <= 1 else [*lines[:TAPES_NAMED], f"  and {more} more tapes"]

    def _where_unlabelled(self) -> str:
        """The folders with sounds of no class, if there are several folders, with their counts."""
        counts = Counter(entry.root for entry in self.entries if entry.label is None)
        if not counts or len(self.roots) == 1:
            return ""
        return f" ({', '.join(f'{printable(self.roots[root])} {count}' for root, count in sorted(counts.items()))})"

    def _class_lines(self) -> list[str]:
        if not self.class_names:
            return []
        counts = Counter(entry.label for entry in self.entries)
        named = ", ".join(f"{printable(name)} {counts[name]}" for name in self.class_names)
        if len(self.class_names) == 1:
            remark = "one class cannot be told apart from others, so that a model gets no classifier"
            return [f"  1 class: {named}; unlabelled {counts[None]}; {remark}"]
        lines = [f"  {len(self.class_names)} classes: {named}; unlabelled {counts[None]}{self._where_unlabelled()}"]
        for side, remark in (("validation", "nothing to hold out, all in train"), ("train", "nothing to train on")):
            present = {entry.label for entry in self.side(side)}
            if missing := [printable(name) for name in self.class_names if name not in present]:
                lines.append(f"  {remark}: {', '.join(missing)}")
        return lines


def load_dataset(name: str, home: str | os.PathLike = HOME) -> Dataset:
    """Read a dataset's manifest.

    Raises:
        DatasetError: There is none of this name, or its manifest is damaged.
    """
    check_name(name)
    home = files.from_home(home)
    path = home / name / "manifest.json"
    if not path.is_file():
        have = sorted(folder.parent.name for folder in home.glob("*/manifest.json"))
        raise DatasetError(
            f"no dataset {name!r}: looked for {path}; there "
            + (f"are: {', '.join(have)}" if have else "is none yet: make one with `vaelab make-dataset`")
        )
    try:
        manifest = json.loads(path.read_text(encoding="ascii"))
        if manifest["format"] != FORMAT:
            raise ValueError(f"a format numbered {manifest['format']!a}, not {FORMAT}")
        entries = tuple(_inside(Entry(**entry), manifest["roots"]) for entry in manifest["files"])
        if not entries:
            raise ValueError("no sounds")
        skipped = tuple({key: skip[key] for key in ("path", "root", "reason")} for skip in manifest["skipped"])
        tapes = tuple(_tape(tape) for tape in manifest.get("tapes", []))
        if any(entry.tape is not None and not 0 <= entry.tape < len(tapes) for entry in entries):
            raise ValueError("a sound of a tape that is not named")
        return Dataset(str(manifest["name"]), tuple(map(str, manifest["roots"])), entries, skipped, tapes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DatasetError(f"{path}: expected a dataset's manifest, found damaged text: {error!r}") from error


def write(dataset: Dataset, home: str | os.PathLike) -> None:
    """Write a dataset's manifest and the names of skipped files, each whole or not at all; an OSError if it cannot."""
    names = Entry.__slots__
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "name": dataset.name,
        "roots": dataset.roots,
        "files": [
            {name: getattr(entry, name) for name in names if name == "label" or getattr(entry, name) is not None}
            for entry in dataset.entries
        ],
        "skipped": dataset.skipped,
        "tapes": dataset.tapes,
    }
    folder = files.from_home(home) / dataset.name
    files.write_text(folder / "manifest.json", json.dumps(manifest, indent=1))
    paths = (printable(os.path.join(dataset.roots[skip["root"]], skip["path"])) for skip in dataset.skipped)
    lines = [f"{path}\t{skip['reason']}\n" for path, skip in zip(paths, dataset.skipped, strict=True)]
    files.write_text(folder / SKIPPED, "".join(lines), "utf-8")


def check_name(name: str) -> None:
    """Refuse, with a DatasetError, a dataset's name that is no plain name of a folder."""
    plain = name.isprintable() and len(os.fsencode(name)) <= MAX_NAME
    if not plain or not name.strip() or name.startswith(".") or Path(name).name != name:
        raise DatasetError(f"dataset name: expected a plain folder name of 1 to {MAX_NAME} bytes, found {name!r}")


def _inside(entry: Entry, roots: Sequence[str]) -> Entry:
    """Refuse an entry that points out of its root: manifests are passed around."""
    for name, kind in Entry.__annotations__.items():
        if not isinstance(getattr(entry, name), kind):
            raise TypeError(f"{name} of a sound: {getattr(entry, name)!a}")
    parts = entry.path.split("/")
    if not 0 <= entry.root < len(roots) or entry.path.startswith("/") or ".." in parts:
        raise ValueError(f"a file outside of the dataset's folders: {entry.path!a}")
    if entry.split not in (splitting.TRAIN, splitting.VALIDATION):
        raise ValueError(f"a side called {entry.split!a}")
    return entry


def _tape(tape: dict[str, Any]) -> dict[str, Any]:
    metadata = {str(key): str(value) for key, value in tape["metadata"].items()}
    text = {name: str(tape[name]) for name in ("path", "sha256")}
    return {**text, "seconds": float(tape["seconds"]), "metadata": metadata}
