"""From folders of sounds to a dataset: what is used, what was skipped and why, and on which side each sound is.

A dataset is one file, `HOME/NAME/manifest.json`. A sound is named by the sha256 of its bytes; one content
appears once, so that no duplicate can stand on both sides of the split. Making a dataset of the same name
again refreshes it: sounds known from before keep their side.
"""

import json
import os
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from vaelab import audio, files

HOME = Path("datasets")
FORMAT = 1


class DatasetError(Exception):
    """A dataset that cannot be made or found; the message says what was looked for, and where."""


@dataclass(frozen=True)
class Entry:
    """One sound of a dataset.

    Attributes:
        path: Relative to its root, with forward slashes.
        root: Index into the dataset's roots.
        sha256: Hash of the file's bytes.
        seconds: Duration.
        label: Class name, or None.
        split: "train" or "validation".
    """

    path: str
    root: int
    sha256: str
    seconds: float
    label: str | None
    split: str


@dataclass(frozen=True)
class Dataset:
    """A named choice of sounds.

    Attributes:
        name: Its folder below HOME.
        roots: Absolute folders that the entries' paths are relative to.
        entries: The sounds used.
        skipped: {"path", "reason"} of each file with a sound's suffix that is not used.
    """

    name: str
    roots: tuple[str, ...]
    entries: tuple[Entry, ...]
    skipped: tuple[dict[str, str], ...]

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

    def report(self) -> str:
        """What was found, in a few lines: scanned = used + skipped, sides, durations, classes, reasons."""
        seconds = np.array([entry.seconds for entry in self.entries])
        train, validation = len(self.side("train")), len(self.side("validation"))
        lines = [
            f"dataset {self.name}: {len(self.entries) + len(self.skipped)} scanned = "
            f"{len(self.entries)} used + {len(self.skipped)} skipped",
            f"  {train} train, {validation} validation; {seconds.sum() / 60:.1f} min of sound, "
            f"median {np.median(seconds):.2f} s",
        ]
        if self.class_names:
            counts = Counter(entry.label for entry in self.entries)
            named = ", ".join(f"{audio.printable(name)} {counts[name]}" for name in self.class_names)
            lines.append(f"  {len(self.class_names)} classes: {named}; unlabelled {counts[None]}")
        examples = {skip["reason"]: skip["path"] for skip in reversed(self.skipped)}
        for reason, count in Counter(skip["reason"] for skip in self.skipped).most_common():
            lines.append(f"  skipped {count}: {reason} (such as {audio.printable(examples[reason])})")
        return "\n".join(lines)


def make_dataset(
    data_dirs: Sequence[str | os.PathLike],
    name: str,
    classes: bool = False,
    train_ratio: float = 0.9,
    seed: int = 0,
    home: str | os.PathLike = HOME,
    fresh: bool = False,
    progress: bool = True,
) -> Dataset:
    """Scan folders for sounds, split them, and write the manifest.

    Args:
        data_dirs: Folders, searched with their sub-folders.
        name: Of the dataset.
        classes: Take the folders directly below a root as class names; sounds directly in it are unlabelled.
        train_ratio: Share of each class that is trained on; the rest is held out.
        seed: Decides the split together with each sound's content.
        home: Where datasets live.
        fresh: Split anew instead of keeping the sides of an earlier dataset of this name.
        progress: Show a bar.

    Raises:
        DatasetError: A folder is missing, or fewer than two different sounds can be read.
    """
    _check_name(name)
    if not 0 < train_ratio < 1:
        raise DatasetError(f"train ratio: expected between 0 and 1, found {train_ratio}")
    roots = [_root(folder) for folder in data_dirs]
    found = [(index, path) for index, root in enumerate(roots) for path in sound_files(root)]
    entries, skipped = [], []
    for index, path in tqdm(found, desc="reading", unit="file", disable=not progress):
        try:
            entries.append(_entry(roots[index], index, path, classes))
        except audio.AudioError as error:
            skipped.append({"path": _text(path), "reason": error.reason})
    entries, repeated = _one_per_content(entries)
    if len(entries) < 2:
        looked = ", ".join(audio.printable(root) for root in roots)
        raise DatasetError(
            f"{looked}: expected at least 2 different sounds ({' '.join(audio.EXTENSIONS)}), "
            f"found {len(entries)} among {len(found)} files with such names"
            + "".join(f"; {audio.printable(skip['path'])}: {skip['reason']}" for skip in skipped[:1])
        )
    known = {} if fresh else _known_sides(name, home)
    dataset = Dataset(
        name,
        tuple(_text(root) for root in roots),
        tuple(split(entries, train_ratio, seed, known)),
        tuple(skipped + repeated),
    )
    _write(dataset, home)
    return dataset


def load_dataset(name: str, home: str | os.PathLike = HOME) -> Dataset:
    """Read a dataset's manifest.

    Raises:
        DatasetError: There is none of this name, or its manifest is damaged.
    """
    _check_name(name)
    path = Path(home) / name / "manifest.json"
    if not path.is_file():
        have = sorted(folder.parent.name for folder in Path(home).glob("*/manifest.json"))
        raise DatasetError(
            f"no dataset {name!r}: looked for {path}; there "
            + (f"are: {', '.join(have)}" if have else "is none yet: make one with `vaelab make-dataset`")
        )
    try:
        manifest = json.loads(path.read_text(encoding="ascii"))
        return Dataset(
            manifest["name"],
            tuple(manifest["roots"]),
            tuple(Entry(**entry) for entry in manifest["files"]),
            tuple(manifest["skipped"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: expected a dataset's manifest, found damaged text: {error!r}") from error


def sound_files(root: Path) -> Iterator[Path]:
    """Files below a folder with a sound's suffix, in order of name; links to folders are not followed."""
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            if name.lower().endswith(audio.EXTENSIONS):
                yield Path(folder) / name


def split(entries: Sequence[Entry], train_ratio: float, seed: int, known: dict[str, str] | None = None) -> list[Entry]:
    """Assign sides, class by class, so that each class keeps the ratio as nearly as its size allows.

    The order within a class is a hash of (seed, content), so that neither file names nor the order of
    scanning matter. A class with one sound goes to train. Contents in `known` keep their side.
    """
    known = known or {}
    groups: dict[str | None, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.label, []).append(entry)
    sides = dict(known)
    for members in groups.values():
        fresh = [entry for entry in members if entry.sha256 not in known]
        held_out = sum(known.get(entry.sha256) == "validation" for entry in members)
        wanted = round(len(members) * (1 - train_ratio))
        wanted = max(wanted, 1 if len(members) >= 2 else 0)
        fresh.sort(key=lambda entry: _order(entry.sha256, seed))
        for rank, entry in enumerate(fresh):
            sides[entry.sha256] = "validation" if rank < min(wanted, len(members) - 1) - held_out else "train"
    return [Entry(**{**asdict(entry), "split": sides[entry.sha256]}) for entry in entries]


def _order(sha256: str, seed: int) -> tuple[int, str]:
    return zlib.crc32(f"{seed}:{sha256}".encode()), sha256


def _root(folder: str | os.PathLike) -> Path:
    path = Path(folder).resolve()
    if not path.is_dir():
        raise DatasetError(f"{audio.printable(folder)}: expected a folder of sounds, found none")
    return path


def _entry(root: Path, index: int, path: Path, classes: bool) -> Entry:
    """Probe a file: it must decode from its start to be used."""
    audio.read(path, 44100, seconds=0.5)
    relative = path.relative_to(root)
    label = _text(relative.parts[0]) if classes and len(relative.parts) > 1 else None
    return Entry(_text(relative.as_posix()), index, files.content_hash(path), audio.duration(path), label, "train")


def _one_per_content(entries: Sequence[Entry]) -> tuple[list[Entry], list[dict[str, str]]]:
    """Keep the first of each content, without its label where two files disagree on it; name the others."""
    kept: dict[str, Entry] = {}
    repeated = []
    for entry in entries:
        first = kept.setdefault(entry.sha256, entry)
        if first is entry:
            continue
        if first.label != entry.label:
            kept[entry.sha256] = Entry(**{**asdict(first), "label": None})
            reason = "same content as another file under another label; used once, unlabelled"
        else:
            reason = "same content as another file of the dataset"
        repeated.append({"path": entry.path, "reason": reason})
    return list(kept.values()), repeated


def _known_sides(name: str, home: str | os.PathLike) -> dict[str, str]:
    if not (Path(home) / name / "manifest.json").is_file():
        return {}
    return {entry.sha256: entry.split for entry in load_dataset(name, home).entries}


def _check_name(name: str) -> None:
    if not name or name.startswith(".") or Path(name).name != name:
        raise DatasetError(f"dataset name: expected a plain folder name, found {name!r}")


def _text(path: str | os.PathLike) -> str:
    """A path as text; bytes that are not UTF-8 become lone surrogates, which ASCII JSON carries."""
    return os.fsdecode(path)


def _write(dataset: Dataset, home: str | os.PathLike) -> None:
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "name": dataset.name,
        "roots": dataset.roots,
        "files": [asdict(entry) for entry in dataset.entries],
        "skipped": dataset.skipped,
    }
    with files.replacing(Path(home) / dataset.name / "manifest.json") as temporary:
        temporary.write_text(json.dumps(manifest, indent=1), encoding="ascii")
