"""Segments of a cut tape with time codes, as JSON (`tape.json`) and as labels for Audacity."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
    """A stretch of a tape.

    Attributes:
        start: Seconds from the tape's beginning.
        end: Seconds.
        label: What a person called it, or "".
        path: Its file, by name, or None for a mere reference.
    """

    start: float
    end: float
    label: str = ""
    path: str | None = None

    @property
    def place(self) -> tuple[float, float]:
        """Start and end to the microsecond, as a label file keeps them."""
        return round(self.start, 6), round(self.end, 6)

    def shares(self, other: "Segment") -> float:
        """Share of this segment that another covers, 0 to 1."""
        return max(0.0, min(self.end, other.end) - max(self.start, other.start)) / (self.end - self.start)


@dataclass(frozen=True)
class CutTape:
    """A tape and its segments.

    Attributes:
        path: The tape, absolute.
        sha256: Of its bytes.
        seconds: Its duration.
        metadata: Free keys and values, such as those in `OFFERED`.
        segments: In the order of time.
        found: Those that the slicer found and that were written as labels, also if a person removed them since.
        dropped: How many were, by reason.
    """

    path: str
    sha256: str
    seconds: float
    metadata: dict[str, str]
    segments: tuple[Segment, ...]
    found: tuple[Segment, ...] = ()
    dropped: dict[str, int] | None = None

    def about(self) -> dict[str, Any]:
        """The tape as manifests and models name it."""
        return {"path": self.path, "sha256": self.sha256, "seconds": self.seconds, "metadata": self.metadata}

    def stretch(self, start: float, seconds: float) -> dict[str, Any]:
        """A stretch as recipes name it."""
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
    split = [pair.partition("=") for pair in pairs]
    for pair, (key, equals, _) in zip(pairs, split, strict=True):
        if not equals or not key.strip():
            raise CutError(f"metadata: expected KEY=VALUE, with keys such as {', '.join(OFFERED)}; found {pair!a}")
    return {key.strip(): value.strip() for key, _, value in split}


def report(cut: CutTape, folder: str | os.PathLike) -> str:
    """Summary of a cut tape in a few lines."""
    lengths = [segment.end - segment.start for segment in cut.segments]
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
        "tape": {
            "path": os.path.relpath(cut.path, folder.resolve()),
            "sha256": cut.sha256,
            "seconds": cut.seconds,
            "metadata": cut.metadata,
        },
        "dropped": cut.dropped or {},
        "segments": [
            {
                "timecode": timecode(segment.start),
                "start": segment.start,
                "end": segment.end,
                "label": segment.label,
                "path": segment.path,
            }
            for segment in cut.segments
        ],
        "found": [[segment.start, segment.end] for segment in cut.found],
    }
    with files.replacing(folder / FILE) as temporary:
        temporary.write_text(json.dumps(text, indent=1), encoding="ascii")
    write_labels(cut.segments, folder / LABELS)
    return folder / FILE


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
        segments = tuple(
            _segment(entry["start"], entry["end"], entry["label"], entry["path"]) for entry in text["segments"]
        )
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
    segments_in: dict[tuple[int, str], dict[str, dict]] = {}
    places: dict[tuple[int, str], dict] = {}
    for root, path in paths:
        folder, _, name = path.rpartition("/")
        if (root, folder) not in segments_in:
            segments_in[root, folder] = {}
            if (roots[root] / folder / FILE).is_file():
                cut = read(roots[root] / folder)
                segments_in[root, folder] = {
                    segment.path: {"tape": len(tapes), "start": segment.start, "end": segment.end}
                    for segment in cut.segments
                    if segment.path
                }
                tapes.append(cut.about())
        if name in segments_in[root, folder]:
            places[root, path] = segments_in[root, folder][name]
    return tapes, places


def _segment(start: Any, end: Any, label: Any = "", path: Any = None) -> Segment:
    """A segment of a shared file, made sure of."""
    if not 0 <= float(start) < float(end) < float("inf"):
        raise ValueError(f"a segment from {start!a} to {end!a}")
    if path is not None and (not isinstance(path, str) or Path(path).name != path or path in ("", "..")):
        raise ValueError(f"a file outside of the folder: {path!a}")
    return Segment(float(start), float(end), str(label), path)


def write_labels(segments: Iterable[Segment], path: str | os.PathLike) -> Path:
    """Write segments as a label track for Audacity (File > Import > Labels)."""
    lines = [
        f"{segment.start:.6f}\t{segment.end:.6f}\t{segment.label or timecode(segment.start)}\n" for segment in segments
    ]
    with files.replacing(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")
    return Path(path)


def read_labels(path: str | os.PathLike, seconds: float) -> list[Segment]:
    """Read a label track that Audacity exported, in the order of time.

    A label at a point reaches to the next one. Labels that are time codes are no names.

    Args:
        path: The file.
        seconds: Duration of the tape.

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
            start, end, *names = line.split("\t")
            rows.append((float(start), float(end), "\t".join(names).strip()))
            if not 0 <= rows[-1][0] <= rows[-1][1]:
                raise ValueError
        except ValueError as error:
            raise CutError(
                f"{path}, line {number}: expected start, end and name with tabs between, found {line!a}"
            ) from error
        if rows[-1][0] >= seconds:
            raise CutError(f"{path}, line {number}: expected a label on the tape of {seconds:.3f} s, found {line!a}")
    rows.sort()
    nexts = [start for start, _, _ in rows[1:]] + [seconds]
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
        labels: What the label file holds: labels moved, added, renamed, and some missing.
    """
    by_slicer = {segment.place for segment in sliced}
    by_hand = [segment for segment in labels if segment.label or segment.place not in by_slicer]
    gone = removed(sliced, labels)
    free = [
        segment
        for segment in new
        if not any(segment.shares(other) > 0.5 or other.shares(segment) > 0.5 for other in by_hand)
    ]
    additions = [segment for segment in free if not any(segment.shares(other) > 0.5 for other in gone)]
    return sorted([*by_hand, *additions], key=lambda segment: segment.start)
