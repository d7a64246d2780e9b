"""Datasets of folders and sound fonts: which sounds are used, which are skipped and why, and which are held out.

A sound is identified by the sha256 of its bytes. Each content is used once, and so are the same samples in several
files, so that no duplicate is both trained on and held out. Making a dataset of the same name again refreshes it:
sounds that were in it keep their side, and files that did not change are not read again. `vaelab.datasets.manifest`
describes a dataset and its file.
"""

import dataclasses
import os
import warnings
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from vaelab import audio, files
from vaelab.audio import soundfont
from vaelab.config import SliceConfig
from vaelab.datasets import cutting, manifest, scan_cache, segments, splitting, unpacking, windows
from vaelab.datasets.manifest import HOME, Dataset, DatasetError, Entry, check_name, load_dataset
from vaelab.datasets.scan import LABELS, ScannedSound, Skipped, candidates, scan
from vaelab.text import printable

__all__ = [
    "HOME",
    "Dataset",
    "DatasetError",
    "Entry",
    "check_name",
    "dataset_of_tapes",
    "load_dataset",
    "make_dataset",
    "sound_files",
]

GROUPINGS = ("folder",)
SIDES = {"train", "training", "test", "testing", "valid", "validation", "val", "dev", "eval", "holdout"}  # not classes


def make_dataset(
    data_dirs: Sequence[str | os.PathLike],
    name: str,
    *,
    classes: bool = False,
    train_ratio: float = 0.9,
    seed: int = 0,
    home: str | os.PathLike = HOME,
    fresh: bool = False,
    progress: bool = True,
    labels: str | None = None,
    group_by: str | None = None,
    hold_out: Sequence[str] = (),
    hop_seconds: float = 0.0,
    window_seconds: float = SliceConfig.window_seconds,
    overwrite: bool = False,
) -> Dataset:
    """Scan folders for sounds, split them, and write the manifest.

    Args:
        data_dirs: Folders, searched with their sub-folders; none may lie in another. Sound fonts (.sf2, .sf3) are
            unpacked into HOME/NAME/sounds, with their presets as folders; see `unpacking.unpack`.
        name: Of the dataset.
        classes: Take the folders directly below a root as class names; the same as labels="folder".
        train_ratio: Share of each class that is trained on; the rest is held out.
        seed: Decides the split together with each sound's content.
        home: Where datasets live.
        fresh: Read every file and split anew. Otherwise the unchanged files of an earlier dataset of this name are not
            read again and stay on their side.
        progress: Show a bar.
        labels: "folder"; "hydrogen-instrument" or "hydrogen-kit" read `drumkit.xml` files; None labels nothing.
            What a folder or kit does not name stays unlabelled.
        group_by: "folder" keeps whole packs on one side. A pack is the folder directly below a root (with
            folders as labels: below the class; with Hydrogen labels: the kit's folder).
        hold_out: Names of folders to hold out, and nothing else, instead of a share.
        hop_seconds: If above 0, files longer than `window_seconds` are used as all of their windows, so far apart,
            which are written below HOME/NAME/windows. None is trained on that overlaps one that is held out.
        window_seconds: Length of these windows, as a rule that of the model's clips.
        overwrite: Also replace unpacked sounds and windows of before that another program has changed.

    Raises:
        DatasetError: A folder is missing, a choice is impossible, or fewer than two different sounds can be read.
        AudioError: A sound font cannot be unpacked.
    """
    labels = _checked_labels(classes, labels, group_by)
    check_name(name)
    if not 0 < train_ratio < 1:
        raise DatasetError(
            f"train ratio: expected a share above 0 and below 1, found {train_ratio:g}; 0.9 trains on nine tenths, and "
            "some sounds must be held out to judge the model"
        )
    if isinstance(hold_out, str):
        raise DatasetError(f"hold out: expected a list of folders' names, found one: [{hold_out!r}]")
    home = files.from_home(home)
    cut = SliceConfig(hop_seconds=hop_seconds, window_seconds=window_seconds)
    roots = _roots(data_dirs, home / name)
    _check_place(home / name)  # before a scan that may take long
    unplayable = list(_unpacked(data_dirs, roots, overwrite, progress))
    contents = home / name / "seen.json"
    known_contents = scan_cache.Seen() if fresh else scan_cache.load(contents)
    scanned = [*unplayable, *scan(roots, labels, known_contents, progress)]
    skipped = [_skip(item) for item in scanned if isinstance(item, Skipped)]
    sounds = [item for item in scanned if isinstance(item, ScannedSound)]
    if hop_seconds:
        place = (home / name).resolve() / windows.FOLDER
        sounds, long, more = windows.cut_long_sounds(sounds, roots, place, cut, known_contents, overwrite, progress)
        roots, skipped = [*roots, *more], skipped + [_skip(item) for item in long]
    entries, repeated, twins = _one_per_content(sounds)
    if len(entries) < 2:
        looked = ", ".join(printable(root) for root in roots)
        raise DatasetError(
            f"{looked}: expected at least 2 different sounds ({' '.join(audio.EXTENSIONS)}), "
            f"found {len(entries)} among {len(scanned)} files with such names"
            + "".join(f"; {printable(skip['path'])}: {skip['reason']}" for skip in skipped[:1])
        )
    if labels == "folder":
        _check_classes(roots, {entry.label for entry in entries} - {None})
    tapes, places = _tapes(roots, entries)
    if hold_out:
        entries = _held_out_by_name(entries, roots, hold_out)
    else:
        sides = {} if fresh else _known_sides(name, home)
        for twin, used in twins:  # what has been trained on in another file is not held out
            if twin in sides:
                sides[used] = min(sides[twin], sides.get(used, sides[twin]))
        packs = {(sound.root, sound.path): sound.pack for sound in sounds} if group_by else None
        entries = _split(entries, train_ratio, seed, sides, packs or windows.groups(entries, tapes, places))
    entries, overlapping = windows.apart(entries, places)
    entries = [dataclasses.replace(entry, **places.get((entry.root, entry.path), {})) for entry in entries]
    texts = tuple(map(os.fsdecode, roots))  # bytes that are not UTF-8 become lone surrogates, which ASCII JSON carries
    dataset = Dataset(name, texts, tuple(entries), tuple(skipped + repeated + overlapping), tuple(tapes))
    try:
        manifest.write(dataset, home)
        known_contents.save(contents)
    except files.NoRoomError:
        raise
    except OSError as error:
        raise _no_place(contents.parent, error.strerror) from error
    return dataset


def dataset_of_tapes(
    tapes: Sequence[str | os.PathLike],
    name: str,
    *,
    data_dirs: Sequence[str | os.PathLike] = (),
    config: SliceConfig | None = None,
    metadata: Mapping[str, str] | None = None,
    drop: cutting.Drop | None = None,
    overwrite: bool = False,
    home: str | os.PathLike = HOME,
    **choices: Any,
) -> Dataset:
    """Cut tapes into HOME/NAME/segments, one folder each, and make a dataset of them; see `cutting.cut_tapes`.

    Raises what `cutting.cut_tape` and `make_dataset` do, and a CutError where two tapes have one name.
    """
    check_name(name)
    names = [Path(tape).stem for tape in tapes]
    if twice := sorted({stem for stem in names if names.count(stem) > 1}):
        raise segments.CutError(f"tapes: expected a name of its own for each, found {twice[0]!a} twice; rename one")
    root = files.from_home(home) / name / "segments"
    settings = {"metadata": metadata, "drop": drop, "overwrite": overwrite}
    for error in cutting.cut_tapes(tapes, [root / stem for stem in names], config, **settings):
        if error is not None:
            raise error
    folders = [*data_dirs, *(root / stem for stem in names)]
    return make_dataset(folders, name, home=home, overwrite=overwrite, **choices)


def sound_files(root: str | os.PathLike) -> Iterator[Path]:
    """Files below a folder with a sound's suffix, links to such files too, in order of name."""
    root = Path(root)
    return (root / path for path, reason in candidates(root) if reason is None)


def _split(
    entries: Sequence[Entry],
    train_ratio: float,
    seed: int,
    earlier: dict[str, str],
    groups: Mapping[tuple[int, str], Hashable],
) -> list[Entry]:
    """Assign sides by `splitting.sides`; contents with an earlier side keep it.

    Whole groups are drawn, that of each (root, path), and one with such a content is on its side.
    """
    keys = [groups[entry.root, entry.path] for entry in entries]
    earlier_groups: dict[Hashable, str] = {}
    for entry, key in zip(entries, keys, strict=True):
        side = earlier.get(entry.sha256)
        if side and earlier_groups.setdefault(key, side) != side:
            raise DatasetError(
                f"folder {key!a}: expected on one side, found on both in the earlier dataset; use --fresh"
            )
    sides = splitting.sides(keys, [entry.label for entry in entries], train_ratio, seed, earlier_groups)
    if splitting.VALIDATION not in sides.values():
        raise DatasetError(
            f"expected at least 2 folders to hold one out, found {len(sides)}"
            + (f" ({next(iter(sides))!a})" if len(sides) == 1 else "")
            + "; leave out --group-by, or name a folder that holds several packs; a recording by itself must be four "
            "windows long"
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


def _roots(data_dirs: Sequence[str | os.PathLike], place: Path) -> list[Path]:
    """The folders to scan, absolute: for a sound font, that below `place` which its sounds are unpacked into."""
    if isinstance(data_dirs, str | os.PathLike):
        raise DatasetError(f"data_dirs: expected a list of folders, found one: [{os.fsdecode(data_dirs)!r}]")
    roots = [files.from_home(folder).resolve() for folder in data_dirs]
    for number, (folder, root) in enumerate(zip(data_dirs, roots, strict=True)):
        if root.is_file() and soundfont.is_font(root):
            roots[number] = place.resolve() / "sounds" / root.stem
        elif root.is_file():
            raise DatasetError(
                f"{printable(folder)}: expected a folder of sounds, found a file; name its folder, or cut a recording "
                "with `vaelab slice` or `make-dataset --tape`"
            )
        elif not root.is_dir():
            raise DatasetError(f"{printable(folder)}: expected a folder of sounds, found none")
    for index, root in enumerate(roots):
        for other in roots[:index] + roots[index + 1 :]:
            if root.is_relative_to(other):
                raise DatasetError(
                    f"{printable(root)}: expected folders apart from each other, found it in "
                    f"{printable(other)}; name one of the two"
                )
    return roots


def _unpacked(
    data_dirs: Sequence[str | os.PathLike], roots: Sequence[Path], overwrite: bool, progress: bool
) -> Iterator[Skipped]:
    """Unpack the sound fonts among what is to be scanned; what of them is not used."""
    for number, (path, root) in enumerate(zip(data_dirs, roots, strict=True)):
        if files.from_home(path).is_file():
            font = unpacking.unpack(path, root, overwrite=overwrite, progress=progress)
            yield from (Skipped(number, name, reason) for name, reason in font.skipped.items())


def _check_classes(roots: Sequence[Path], classes: set[str]) -> None:
    """Tell, by a warning, of folders that make no classes, or hardly those that are meant."""
    looked = ", ".join(map(printable, roots))
    if not classes:
        warnings.warn(
            f"{looked}: expected folders in it as classes, found sounds without any; nothing is labelled: put the "
            "sounds of each class into a folder of its name there, or name the folder around",
            stacklevel=3,
        )
    elif {name.lower() for name in classes} <= SIDES:
        warnings.warn(
            f"{looked}: expected folders in it as classes, found {', '.join(sorted(classes))}, which look like sides "
            "of a split; where the classes are in them, name them as --data-dir",
            stacklevel=3,
        )


def _tapes(roots: Sequence[Path], entries: Sequence[Entry]) -> tuple[list[dict], dict[tuple[int, str], dict]]:
    try:
        return segments.around(roots, ((entry.root, entry.path) for entry in entries))
    except segments.CutError as error:
        raise DatasetError(f"{error}; slice the tape again, or remove the file") from error


def _entry(sound: ScannedSound) -> Entry:
    seconds = round(sound.facts.seconds, 6)
    return Entry(sound.path, sound.root, sound.facts.sha256, seconds, sound.label, splitting.TRAIN)


def _one_per_content(
    sounds: Sequence[ScannedSound],
) -> tuple[list[Entry], list[dict[str, Any]], list[tuple[str, str]]]:
    """Entries of the first of each content and of each samples, without its label where two files disagree on it.

    Returns:
        The entries; the other files, named with their reason; and the content hash of each of those that hold the same
        samples in another content, with the hash of that which is used.
    """
    unique: dict[str, Entry] = {}
    first_with: dict[str, str] = {}
    repeated, twins = [], []
    for sound in sounds:
        entry = _entry(sound)
        key = first_with.setdefault(sound.facts.samples or entry.sha256, entry.sha256)
        first = unique.setdefault(key, entry)
        if first is entry:
            continue
        same = "content" if first.sha256 == entry.sha256 else "samples"
        reason = f"same {same} as another file of the dataset"
        if first.label != entry.label:
            unique[key] = dataclasses.replace(first, label=None)
            reason = f"same {same} as another file under another label; used once, unlabelled"
        if same == "samples":
            twins.append((entry.sha256, key))
        repeated.append(_skip(Skipped(entry.root, entry.path, reason)))
    return list(unique.values()), repeated, twins


def _skip(item: Skipped) -> dict[str, Any]:
    return {"path": item.path, "root": item.root, "reason": item.reason}


def _held_out_by_name(entries: Sequence[Entry], roots: Sequence[Path], names: Sequence[str]) -> list[Entry]:
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


def _check_place(folder: Path) -> None:
    """Refuse a place where the dataset could not be written."""
    around = next(parent for parent in (folder, *folder.absolute().parents) if os.path.lexists(parent))
    if not around.is_dir():
        raise _no_place(folder, f"{printable(around)} is no folder")
    if not os.access(around, os.W_OK | os.X_OK):
        raise _no_place(folder, f"{printable(around)} may not be written")


def _no_place(folder: Path, obstacle: str) -> DatasetError:
    return DatasetError(f"{printable(folder)}: expected a place to write the dataset, but {obstacle}; choose another")
