"""From folders of sounds to a dataset: what is used, what was skipped and why, and on which side each sound is.

A dataset is one file, `HOME/NAME/manifest.json`. A sound is named by the sha256 of its bytes; one content
appears once, so that no duplicate can stand on both sides of the split. Making a dataset of the same name
again refreshes it: sounds known from before keep their side, and files that did not change are not read again.
"""

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from vaelab import audio, estimate, files, seen, segments, splitting
from vaelab.scan import LABELS, Found, Skipped, candidates, scan

HOME = Path("datasets")
FORMAT = 1
GROUPINGS = ("folder",)
MAX_NAME = 200  # bytes of a dataset's name


class DatasetError(Exception):
    """A dataset that cannot be made or found; the message says what was looked for, and where."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One sound of a dataset.

    Attributes:
        path: Relative to its root, with forward slashes.
        root: Index into the dataset's roots.
        sha256: Hash of the file's bytes.
        seconds: Duration.
        label: Class name, or None.
        split: "train" or "validation".
        tape: Index into the dataset's tapes, or None.
        start: Where on the tape it begins, seconds, or None.
        end: Where it ends.
    """

    path: str
    root: int
    sha256: str
    seconds: float
    label: str | None
    split: str
    tape: int | None = None
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class Dataset:
    """A named choice of sounds.

    Attributes:
        name: Its folder below HOME.
        roots: Absolute folders that the entries' paths are relative to.
        entries: The sounds used.
        skipped: {"path", "root", "reason"} of each file with a sound's suffix, each link and each folder that
            cannot be read, that is not used.
        tapes: {"path", "sha256", "seconds", "metadata"} of each tape that entries were cut from.
    """

    name: str
    roots: tuple[str, ...]
    entries: tuple[Entry, ...]
    skipped: tuple[dict[str, Any], ...]
    tapes: tuple[dict[str, Any], ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """Labels in alphabetical order; empty if none is known."""
        return tuple(sorted({entry.label for entry in self.entries if entry.label is not None}))

    def side(self, split: str) -> list[Entry]:
        """The entries on one side, "train" or "validation"."""
        return [entry for entry in self.entries if entry.split == split]

    def source(self, entry: Entry) -> Path:
        """Where an entry's file is."""
        return Path(self.roots[entry.root]) / entry.path

    def named_tapes(self) -> list[dict[str, Any]]:
        """The tapes as a model remembers them: by name, without the folders of this machine."""
        return [
            {
                "name": os.path.basename(tape["path"]),
                "sha256": tape["sha256"],
                "timecode": f"{segments.timecode(0)} - {segments.timecode(tape['seconds'])}",
                "metadata": tape["metadata"],
            }
            for tape in self.tapes
        ]

    def report(self) -> str:
        """What was found, in a few lines.

        Scanned = used + skipped, the sides, durations, classes, each reason with a count and an example, and
        about how long training will take.
        """
        seconds = np.array([entry.seconds for entry in self.entries])
        train, validation = len(self.side("train")), len(self.side("validation"))
        lines = [
            f"dataset {self.name}: {len(self.entries) + len(self.skipped)} scanned = "
            f"{len(self.entries)} used + {len(self.skipped)} skipped",
            f"  {train} train, {validation} validation; {_clock(seconds.sum())} of sound: shortest "
            f"{seconds.min():.2f} s, median {np.median(seconds):.2f} s, longest {_clock(seconds.max())}",
            *self._class_lines(),
            *self._tape_lines(),
        ]
        examples = {skip["reason"]: skip["path"] for skip in reversed(self.skipped)}
        for reason, count in Counter(skip["reason"] for skip in self.skipped).most_common():
            lines.append(f"  skipped {count}: {reason} (such as {audio.printable(examples[reason])})")
        lines.append(
            f"  training: about {_clock(estimate.training_seconds())} on this processor at the earliest, longer "
            "while the model still improves (estimated from this machine's speed at matrix products)"
        )
        return "\n".join(lines)

    def _tape_lines(self) -> list[str]:
        """How much of each tape there is."""
        lines = []
        for number, tape in enumerate(self.tapes):
            mine = [entry for entry in self.entries if entry.tape == number]
            title = tape["metadata"].get("title") or os.path.basename(tape["path"])
            cut = sum(entry.end - entry.start for entry in mine)
            lines.append(
                f"  tape {audio.printable(title)}: {len(mine)} segments, {_clock(cut)} of {_clock(tape['seconds'])}"
            )
        return lines

    def _class_lines(self) -> list[str]:
        """How many sounds each class has, and which classes are on one side only."""
        if not self.class_names:
            return []
        counts = Counter(entry.label for entry in self.entries)
        named = ", ".join(f"{audio.printable(name)} {counts[name]}" for name in self.class_names)
        lines = [f"  {len(self.class_names)} classes: {named}; unlabelled {counts[None]}"]
        for side, told in (("validation", "nothing to hold out, all in train"), ("train", "nothing to train on")):
            present = {entry.label for entry in self.side(side)}
            if missing := [audio.printable(name) for name in self.class_names if name not in present]:
                lines.append(f"  {told}: {', '.join(missing)}")
        return lines


def make_dataset(
    data_dirs: Sequence[str | os.PathLike],
    name: str,
    classes: bool = False,
    train_ratio: float = 0.9,
    seed: int = 0,
    home: str | os.PathLike = HOME,
    fresh: bool = False,
    progress: bool = True,
    labels: str | None = None,
    group_by: str | None = None,
    hold_out: Sequence[str] = (),
) -> Dataset:
    """Scan folders for sounds, split them, and write the manifest.

    Args:
        data_dirs: Folders, searched with their sub-folders; none may lie in another.
        name: Of the dataset.
        classes: Take the folders directly below a root as class names; the same as labels="folder".
        train_ratio: Share of each class that is trained on; the rest is held out.
        seed: Decides the split together with each sound's content.
        home: Where datasets live.
        fresh: Read every file and split anew, instead of keeping the contents and sides of an earlier dataset of this
            name for files that did not change.
        progress: Show a bar.
        labels: "folder"; "hydrogen-instrument" or "hydrogen-kit" read `drumkit.xml` files; None labels nothing.
            What a folder or kit does not name stays unlabelled.
        group_by: "folder" keeps whole packs on one side. A pack is the folder directly below a root (with
            folders as labels: below the class; with Hydrogen labels: the kit's folder).
        hold_out: Names of folders to hold out, and nothing else, instead of a share.

    Raises:
        DatasetError: A folder is missing, a choice is impossible, or fewer than two different sounds can be read.
    """
    labels = _checked_labels(classes, labels, group_by)
    check_name(name)
    if not 0 < train_ratio < 1:
        raise DatasetError(f"train ratio: expected between 0 and 1, found {train_ratio}")
    if isinstance(hold_out, str):
        raise DatasetError(f"hold out: expected a list of folders' names, found one: [{hold_out!r}]")
    roots = _roots(data_dirs)
    _check_place(Path(home) / name)  # before a scan that may take long
    contents = Path(home) / name / "seen.json"
    known_contents = seen.Seen() if fresh else seen.load(contents)
    found = list(scan(roots, labels, progress, known_contents))
    skipped = [{"path": one.path, "root": one.root, "reason": one.reason} for one in found if isinstance(one, Skipped)]
    sounds = [one for one in found if isinstance(one, Found)]
    entries, repeated = _one_per_content([_entry(one) for one in sounds])
    if len(entries) < 2:
        looked = ", ".join(audio.printable(root) for root in roots)
        raise DatasetError(
            f"{looked}: expected at least 2 different sounds ({' '.join(audio.EXTENSIONS)}), "
            f"found {len(entries)} among {len(found)} files with such names"
            + "".join(f"; {audio.printable(skip['path'])}: {skip['reason']}" for skip in skipped[:1])
        )
    known = {} if fresh else _known_sides(name, home)
    if hold_out:
        entries = _held_out_by_name(entries, roots, hold_out)
    else:
        packs = {(one.root, one.path): one.pack for one in sounds} if group_by else None
        entries = split(entries, train_ratio, seed, known, packs)
    tapes, places = _tapes(roots, entries)
    entries = [dataclasses.replace(entry, **places.get((entry.root, entry.path), {})) for entry in entries]
    texts = tuple(_text(root) for root in roots)
    dataset = Dataset(name, texts, tuple(entries), tuple(skipped + repeated), tuple(tapes))
    try:
        _write(dataset, home)
        known_contents.save(contents)
    except files.NoRoomError:
        raise
    except OSError as error:
        raise _no_place(contents.parent, error.strerror) from error
    return dataset


def load_dataset(name: str, home: str | os.PathLike = HOME) -> Dataset:
    """Read a dataset's manifest.

    Raises:
        DatasetError: There is none of this name, or its manifest is damaged.
    """
    check_name(name)
    path = Path(home) / name / "manifest.json"
    if not path.is_file():
        have = sorted(folder.parent.name for folder in Path(home).glob("*/manifest.json"))
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
        tapes = tuple(_tape(one) for one in manifest.get("tapes", []))
        if any(entry.tape is not None and not 0 <= entry.tape < len(tapes) for entry in entries):
            raise ValueError("a sound of a tape that is not named")
        return Dataset(str(manifest["name"]), tuple(map(str, manifest["roots"])), entries, skipped, tapes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DatasetError(f"{path}: expected a dataset's manifest, found damaged text: {error!r}") from error


def sound_files(root: str | os.PathLike) -> Iterator[Path]:
    """Files below a folder with a sound's suffix, in order of name; links out of the folder are not followed."""
    root = Path(root)
    return (root / path for path, reason in candidates(root) if reason is None)


def split(
    entries: Sequence[Entry],
    train_ratio: float,
    seed: int,
    known: dict[str, str] | None = None,
    groups: dict[tuple[int, str], str] | None = None,
) -> list[Entry]:
    """Assign sides, class by class, so that each class keeps the ratio as nearly as its size allows.

    See `splitting.sides`. Contents in `known` keep their side. With `groups`, the group of each (root, path),
    whole groups are drawn, and a group with a known content is on that content's side.

    Raises:
        DatasetError: There is one group only, or a known group stands on both sides.
    """
    known = known or {}
    keys = [groups[entry.root, entry.path] if groups else entry.sha256 for entry in entries]
    known_groups: dict[str, str] = {}
    for entry, key in zip(entries, keys, strict=True):
        side = known.get(entry.sha256)
        if side and known_groups.setdefault(key, side) != side:
            raise DatasetError(
                f"folder {key!a}: expected on one side, found on both in the earlier dataset; use --fresh"
            )
    sides = splitting.sides(keys, [entry.label for entry in entries], train_ratio, seed, known_groups)
    if splitting.VALIDATION not in sides.values():
        raise DatasetError(
            f"expected at least 2 folders to hold one out, found {len(sides)}"
            + (f" ({next(iter(sides))!a})" if len(sides) == 1 else "")
            + "; leave out --group-by, or name a folder that holds several packs"
        )
    return [dataclasses.replace(entry, split=sides[key]) for entry, key in zip(entries, keys, strict=True)]


def _checked_labels(classes: bool, labels: str | None, group_by: str | None) -> str | None:
    if labels is not None and labels not in LABELS:
        raise DatasetError(f"labels: expected one of {', '.join(LABELS)}, found {labels!r}")
    if group_by is not None and group_by not in GROUPINGS:
        raise DatasetError(f"group by: expected one of {', '.join(GROUPINGS)}, found {group_by!r}")
    if classes and labels not in (None, "folder"):
        raise DatasetError(f"labels: expected --classes or --labels {labels}, found both; leave out one")
    return "folder" if classes else labels


def _roots(data_dirs: Sequence[str | os.PathLike]) -> list[Path]:
    if isinstance(data_dirs, str | os.PathLike):
        raise DatasetError(f"data_dirs: expected a list of folders, found one: [{os.fsdecode(data_dirs)!r}]")
    roots = [Path(folder).resolve() for folder in data_dirs]
    for folder, root in zip(data_dirs, roots, strict=True):
        if not root.is_dir():
            raise DatasetError(f"{audio.printable(folder)}: expected a folder of sounds, found none")
    for index, root in enumerate(roots):
        for other in roots[:index] + roots[index + 1 :]:
            if root.is_relative_to(other):
                raise DatasetError(
                    f"{audio.printable(root)}: expected folders apart from each other, found it in "
                    f"{audio.printable(other)}; name one of the two"
                )
    return roots


def _tapes(roots: Sequence[Path], entries: Sequence[Entry]) -> tuple[list[dict], dict[tuple[int, str], dict]]:
    """What is known of tapes that entries were cut from; see `segments.around`."""
    try:
        return segments.around(roots, ((entry.root, entry.path) for entry in entries))
    except segments.CutError as error:
        raise DatasetError(f"{error}; slice the tape again, or remove the file") from error


def _tape(tape: dict[str, Any]) -> dict[str, Any]:
    """A manifest's tape, made sure of."""
    metadata = {str(key): str(value) for key, value in tape["metadata"].items()}
    return {
        "path": str(tape["path"]),
        "sha256": str(tape["sha256"]),
        "seconds": float(tape["seconds"]),
        "metadata": metadata,
    }


def _entry(found: Found) -> Entry:
    seconds = round(found.facts.seconds, 6)
    return Entry(found.path, found.root, found.facts.sha256, seconds, found.label, splitting.TRAIN)


def _one_per_content(entries: Sequence[Entry]) -> tuple[list[Entry], list[dict[str, Any]]]:
    """Keep the first of each content, without its label where two files disagree on it; name the others."""
    kept: dict[str, Entry] = {}
    repeated = []
    for entry in entries:
        first = kept.setdefault(entry.sha256, entry)
        if first is entry:
            continue
        if first.label != entry.label:
            kept[entry.sha256] = dataclasses.replace(first, label=None)
            reason = "same content as another file under another label; used once, unlabelled"
        else:
            reason = "same content as another file of the dataset"
        repeated.append({"path": entry.path, "root": entry.root, "reason": reason})
    return list(kept.values()), repeated


def _held_out_by_name(entries: Sequence[Entry], roots: Sequence[Path], names: Sequence[str]) -> list[Entry]:
    """Hold out the sounds below folders of these names."""
    unseen, split_entries = set(names), []
    for entry in entries:
        around = {*PurePosixPath(entry.path).parts[:-1], roots[entry.root].name}
        unseen -= around
        side = splitting.VALIDATION if around & set(names) else splitting.TRAIN
        split_entries.append(dataclasses.replace(entry, split=side))
    if unseen:
        raise DatasetError(f"hold out: expected folders with sounds, found none called {', '.join(sorted(unseen))!a}")
    if not any(entry.split == splitting.TRAIN for entry in split_entries):
        raise DatasetError("hold out: expected some sounds to train on, found all of them held out; name fewer folders")
    return split_entries


def _known_sides(name: str, home: str | os.PathLike) -> dict[str, str]:
    if not (Path(home) / name / "manifest.json").is_file():
        return {}
    return {entry.sha256: entry.split for entry in load_dataset(name, home).entries}


def _inside(entry: Entry, roots: Sequence[str]) -> Entry:
    """Refuse an entry that points out of its root: manifests are passed around."""
    for name, kind in (
        ("path", str),
        ("root", int),
        ("sha256", str),
        ("seconds", float),
        ("label", str | None),
        ("tape", int | None),
        ("start", float | None),
        ("end", float | None),
    ):
        if not isinstance(getattr(entry, name), kind):
            raise TypeError(f"{name} of a sound: {getattr(entry, name)!a}")
    parts = entry.path.split("/")
    if not 0 <= entry.root < len(roots) or entry.path.startswith("/") or ".." in parts:
        raise ValueError(f"a file outside of the dataset's folders: {entry.path!a}")
    if entry.split not in (splitting.TRAIN, splitting.VALIDATION):
        raise ValueError(f"a side called {entry.split!a}")
    return entry


def check_name(name: str) -> None:
    """Refuse a dataset's name that is no plain name of a folder.

    Raises:
        DatasetError: It is not.
    """
    plain = name.isprintable() and len(os.fsencode(name)) <= MAX_NAME
    if not plain or not name.strip() or name.startswith(".") or Path(name).name != name:
        raise DatasetError(f"dataset name: expected a plain folder name of 1 to {MAX_NAME} bytes, found {name!r}")


def _check_place(folder: Path) -> None:
    """Refuse a place where the dataset could not be written."""
    around = next(one for one in (folder, *folder.absolute().parents) if os.path.lexists(one))
    if not around.is_dir():
        raise _no_place(folder, f"{audio.printable(around)} is no folder")
    if not os.access(around, os.W_OK | os.X_OK):
        raise _no_place(folder, f"{audio.printable(around)} may not be written")


def _no_place(folder: Path, found: str) -> DatasetError:
    return DatasetError(
        f"{audio.printable(folder)}: expected a place to write the dataset, but {found}; choose another"
    )


def _text(path: str | os.PathLike) -> str:
    """A path as text; bytes that are not UTF-8 become lone surrogates, which ASCII JSON carries."""
    return os.fsdecode(path)


def _clock(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _write(dataset: Dataset, home: str | os.PathLike) -> None:
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
    with files.replacing(Path(home) / dataset.name / "manifest.json") as temporary:
        temporary.write_text(json.dumps(manifest, indent=1), encoding="ascii")
