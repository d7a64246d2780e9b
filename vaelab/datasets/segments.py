"""Segments of a cut tape with time codes, as JSON (`tape.json`) and as labels for Audacity."""

import dataclasses
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from vaelab import VaelabError, files
from vaelab.text import timecode

FILE = "tape.json"
LABELS = "labels.txt"
FORMAT = 1
OFFERED = ("title", "call number", "physical description", "type", "medium", "materials", "date", "rights")
MOST_BYTES = 64 << 20  # of a tape.json


class CutError(VaelabError):
    """A tape that cannot be cut, or cuts that cannot be read; the message says what was found and what to do."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a tape."""

    start: float  # seconds from the tape's beginning
    end: float  # seconds
    label: str = ""  # what a person called it, or ""
    path: str | None = None  # its file, by name, or None for a mere reference

    @property
    def place(self) -> tuple[float, float]:
        """Start and end to the microsecond, as a label file keeps them."""
        return round(self.start, 6), round(self.end, 6)

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.end - self.start

    def shares(self, other: "Segment") -> float:
        """Share of this segment that another covers, 0 to 1."""
        return max(0.0, min(self.end, other.end) - max(self.start, other.start)) / self.seconds


@dataclass(frozen=True)
class CutTape:
    """A tape and its segments."""

    path: str  # the tape, absolute
    sha256: str  # of its bytes
    seconds: float  # its duration
    metadata: dict[str, str]  # free keys and values, such as those in `OFFERED`
    segments: tuple[Segment, ...]  # in the order of time
    # those that the slicer found and that were written as labels, also if a person removed them since
    found: tuple[Segment, ...] = ()
    dropped: dict[str, int] | None = None  # how many were, by reason

    def about(self) -> dict[str, Any]:
        """The tape as manifests and models name it."""
        return {"path": self.path, "sha256": self.sha256, "seconds": self.seconds, "metadata": self.metadata}

    def stretch(self, start: float, seconds: float) -> dict[str, Any]:
        """A stretch as recipes name it; the order of its keys is part of a segment's bytes, and so of its hash."""
        return {
            "path": self.path,
            "sha256": self.sha256,
            "start": start,
            "seconds": seconds,
            "timecode": f"{timecode(start)} - {timecode(start + seconds)}",
            "metadata": self.metadata,
        }


def metadata(pairs: Sequence[str]) -> dict[str, str]:
    """A tape's metadata from texts such as "title=Compilation 1987".

    Raises:
        CutError: A text without a key.
    """
    values = {}
    for pair in pairs:
        key, equals, value = map(str.strip, pair.partition("="))
        if not equals or not key:
            raise CutError(f"metadata: expected KEY=VALUE, with keys such as {', '.join(OFFERED)}; found {pair!a}")
        values[key] = value
    return values


def report(cut: CutTape, folder: str | os.PathLike) -> str:
    """Summary of a cut tape in a few lines."""
    if not cut.segments:
        return f"no segments: every label was deleted or dropped; without {LABELS} in {os.fspath(folder)} all come back"
    lengths = [segment.seconds for segment in cut.segments]
    dropped = ", ".join(f"{count} {reason}" for reason, count in (cut.dropped or {}).items() if count)
    share = f"{timecode(sum(lengths))} of {timecode(cut.seconds)}"
    first = cut.segments[0]
    return "\n".join(
        [
            f"{len(cut.segments)} segments, {share}, from {timecode(first.start)} on, in {os.fspath(folder)}",
            f"  shortest {min(lengths):.2f} s, longest {max(lengths):.2f} s; dropped: {dropped or 'none'}",
            f"  to edit: open the tape in Audacity, import {LABELS}, export it to the same place, and slice again",
        ]
    )


def write(cut: CutTape, folder: str | os.PathLike) -> Path:
    """Write FOLDER/tape.json and FOLDER/labels.txt; the tape's path becomes relative to the folder."""
    folder = Path(folder)
    text = {
        "format": FORMAT,
        "tape": {**cut.about(), "path": os.path.relpath(cut.path, folder.resolve())},
        "dropped": cut.dropped or {},
        "segments": [{"timecode": timecode(segment.start), **dataclasses.asdict(segment)} for segment in cut.segments],
        "found": [[segment.start, segment.end] for segment in cut.found],
    }
    # First, so that after a failure in between the files of both cuts are still named by one of the two.
    path = files.write_text(folder / FILE, json.dumps(text, indent=1))
    write_labels(cut.segments, folder / LABELS)
    return path


def read(folder: str | os.PathLike) -> CutTape:
    """Read FOLDER/tape.json.

    Raises:
        CutError: There is none, or it is damaged, or it names a file elsewhere.
    """
    path = Path(folder) / FILE
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES >> 20} MiB")
        text = json.loads(path.read_text(encoding="ascii"))
        if text["format"] != FORMAT:
            raise ValueError(f"a format numbered {text['format']!a}, not {FORMAT}")
        tape = text["tape"]
        place = os.path.normpath(os.path.join(os.path.realpath(folder), str(tape["path"])))
        metadata = {str(key): str(value) for key, value in tape["metadata"].items()}
        segments = tuple(_segment(*(entry[name] for name in Segment.__slots__)) for entry in text["segments"])
        sliced = tuple(_segment(start, end) for start, end in text["found"])
        return CutTape(place, str(tape["sha256"]), float(tape["seconds"]), metadata, segments, sliced, text["dropped"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CutError(f"{path}: expected the segments of a tape, found damaged text: {error!r}") from error


def around(roots: Sequence[Path], paths: Iterable[tuple[int, str]]) -> tuple[list[dict], dict[tuple[int, str], dict]]:
    """Tapes and segments of sounds, from the `tape.json` files beside them.

    Args:
        roots: Folders.
        paths: Index of its root and path below it of each sound.

    Returns:
        The tapes as {"path", "sha256", "seconds", "metadata"}, and for each sound cut from one its number among them
        and its time code: {"tape", "start", "end"}.

    Raises:
        CutError: A `tape.json` is damaged.
    """
    tapes: list[dict[str, Any]] = []

    @cache
    def segments_in(folder: Path) -> dict[str | None, dict]:
        if not (folder / FILE).is_file():
            return {}
        cut, number = read(folder), len(tapes)
        tapes.append(cut.about())
        return {segment.path: {"tape": number, "start": segment.start, "end": segment.end} for segment in cut.segments}

    places: dict[tuple[int, str], dict] = {}
    for root, path in paths:
        folder, _, name = path.rpartition("/")
        if place := segments_in(roots[root] / folder).get(name):
            places[root, path] = place
    return tapes, places


def _segment(start: Any, end: Any, label: Any = "", path: Any = None) -> Segment:
    if not 0 <= float(start) < float(end) < float("inf"):
        raise ValueError(f"a segment from {start!a} to {end!a}")
    if path is not None and (not isinstance(path, str) or Path(path).name != path or path in ("", "..")):
        raise ValueError(f"a file outside of the folder: {path!a}")
    return Segment(float(start), float(end), str(label), path)


def write_labels(segments: Iterable[Segment], path: str | os.PathLike) -> Path:
    """Write segments as a label track for Audacity (File > Import > Labels)."""
    names = ((segment, segment.label or timecode(segment.start)) for segment in segments)
    lines = [f"{segment.start:.6f}\t{segment.end:.6f}\t{name}\n" for segment, name in names]
    return files.write_text(path, "".join(lines), "utf-8")


def read_labels(path: str | os.PathLike, seconds: float) -> list[Segment]:
    """Read a label track that Audacity exported, in the order of time.

    A label at a point reaches to the next one, or to the tape's end in `seconds`. Labels that are time codes are no
    names.

    Raises:
        CutError: A line that is no label, or that lies beyond the tape; the message names it.
    """
    rows: list[tuple[float, float, str]] = []
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise CutError(f"{path}: expected labels exported by Audacity: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("\\"):  # frequencies of the label above
            continue
        try:
            first, last, *names = line.split("\t")
            start, end = float(first), float(last)
            if not 0 <= start <= end:
                raise ValueError
        except ValueError as error:
            raise CutError(
                f"{path}, line {number}: expected start, end and name with tabs between, found {line!a}"
            ) from error
        if start >= seconds:
            raise CutError(f"{path}, line {number}: expected a label on the tape of {seconds:.3f} s, found {line!a}")
        rows.append((start, end, "\t".join(names).strip()))
    rows.sort()
    nexts = [*(start for start, _, _ in rows), seconds][1:]
    return [
        Segment(start, min(end if end > start else after, seconds), "" if _is_timecode(name) else name)
        for (start, end, name), after in zip(rows, nexts, strict=True)
        if end > start or after > start
    ]


def _is_timecode(name: str) -> bool:
    return name.replace(":", "").replace(".", "").isdigit() and name.count(":") == 2


def removed(sliced: Sequence[Segment], labels: Sequence[Segment]) -> list[Segment]:
    """Automatic segments that a person deleted from the label file, or moved."""
    left = {segment.place for segment in labels}
    return [segment for segment in sliced if segment.place not in left]


def edited(new: Sequence[Segment], sliced: Sequence[Segment], labels: Sequence[Segment]) -> list[Segment]:
    """Merge new segments with manual edits of the earlier ones; manual edits win.

    Args:
        new: Segments of this run.
        sliced: Segments of the earlier run.
        labels: Content of the label file: labels moved, added, renamed, and some missing.
    """
    by_slicer = {segment.place for segment in sliced}
    by_hand = [label for label in labels if label.label or label.place not in by_slicer]
    gone = removed(sliced, labels)

    def is_free(segment: Segment) -> bool:
        taken = any(segment.shares(other) > 0.5 or other.shares(segment) > 0.5 for other in by_hand)
        return not taken and not any(segment.shares(other) > 0.5 for other in gone)

    return sorted([*by_hand, *filter(is_free, new)], key=lambda segment: segment.start)
