"""Windows of long files as sounds of a dataset: cut beside it, and never overlapping between training and validation.

A stretch of a tape is one side's as a whole, and training segments that reach into held-out ones are left out.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from vaelab import audio
from vaelab.config import SliceConfig
from vaelab.datasets import cutting, splitting
from vaelab.datasets.manifest import Entry
from vaelab.datasets.scan import ScannedSound, Skipped, scan
from vaelab.datasets.scan_cache import Seen
from vaelab.datasets.segments import CutError
from vaelab.progress import progress_bar

FOLDER = "windows"  # of a dataset, where its long files are cut
FEWEST, MOST = 2, 10  # lengths of a window that a stretch has
PARTS = 10  # of a tape, if its stretches have that length
CUT = "longer than a window; its windows are used"
SLACK_S = 0.01  # that a window may be longer by
SHOWN = 12  # digits of a hash
OVERLAPS = "overlaps a held-out segment of its tape"

Place = tuple[int, str]  # of a sound: its root, and its path below it


def cut_long_sounds(
    sounds: Sequence[ScannedSound],
    roots: Sequence[Path],
    folder: Path,
    config: SliceConfig,
    cache: Seen,
    overwrite: bool = False,
    progress: bool = True,
) -> tuple[list[ScannedSound], list[Skipped], list[Path]]:
    """Cut sounds that are longer than a window into windows, each into a folder of its own below `folder`.

    Args:
        sounds: Of a scan of the roots.
        roots: Folders of the sounds.
        folder: Where windows are written.
        config: How to cut.
        cache: Takes the contents of the windows.
        overwrite: Also replace windows of before that another program has changed.
        progress: Show a bar.

    Returns:
        Short sounds, and the windows with their files' labels and packs; the files that were cut, or could not be; and
        the folders to add to the roots.
    """
    short = [sound for sound in sounds if sound.facts.seconds <= config.window_seconds + SLACK_S]
    long = [sound for sound in sounds if sound.facts.seconds > config.window_seconds + SLACK_S]
    skipped, sources = [], {}
    # A file that has changed is cut anew.
    places = [PurePosixPath(str(sound.root), sound.path, sound.facts.sha256[:SHOWN]) for sound in long]
    tapes = [roots[sound.root] / sound.path for sound in long]
    errors = cutting.cut_tapes(tapes, [folder / place for place in places], config, overwrite=overwrite)
    for sound, place, error in zip(
        progress_bar(long, show=progress, desc="cutting", unit="file"), places, errors, strict=True
    ):
        sources[str(place)] = sound
        skipped.append(Skipped(sound.root, sound.path, _reason(error)))
    added = sorted({folder / str(sound.root) for sound in long if (folder / str(sound.root)).is_dir()})
    windows = []
    for item in scan(added, None, cache, progress):
        source = sources.get(f"{added[item.root].name}/{item.path.rpartition('/')[0]}")
        if isinstance(item, ScannedSound) and source is not None:
            placed = {"root": len(roots) + item.root, "label": source.label, "pack": source.pack}
            windows.append(dataclasses.replace(item, **placed))
    return [*short, *windows], skipped, added


def _reason(error: Exception | None) -> str:
    """For a file to be skipped: that it was cut, or could not be; errors that say neither are raised."""
    if error is None:
        return CUT
    if isinstance(error, CutError):
        return str(error)
    if isinstance(error, audio.AudioError):
        return error.reason
    raise error


def groups(entries: Sequence[Entry], tapes: Sequence[dict], places: Mapping[Place, dict]) -> dict[Place, Hashable]:
    """The group of each sound that one side gets whole: its content, or a stretch of a tape whose segments overlap."""
    together: dict[Place, Hashable] = {(entry.root, entry.path): entry.sha256 for entry in entries}
    for tape, of_tape in _by_tape(places).items():
        of_tape.sort(key=lambda place: places[place]["start"])
        starts, ends = (np.array([places[place][edge] for place in of_tape]) for edge in ("start", "end"))
        if not np.any(starts[1:] < np.maximum.accumulate(ends)[:-1]):
            continue
        longest = float(np.max(ends - starts))
        stretch = max(FEWEST * longest, min(MOST * longest, tapes[tape]["seconds"] / PARTS))
        for place, start in zip(of_tape, starts, strict=True):
            together[place] = f"{tapes[tape]['sha256']} {int(start // stretch)}"
    return together


def apart(entries: Sequence[Entry], places: Mapping[Place, dict]) -> tuple[list[Entry], list[dict[str, Any]]]:
    """The entries without those of the training side that reach into held-out segments; these, with the reason."""
    held_out = {(entry.root, entry.path) for entry in entries if entry.split == splitting.VALIDATION}
    reaching: set[Place] = set()
    for of_tape in _by_tape(places).values():
        judged = sorted((places[place]["start"], places[place]["end"]) for place in of_tape if place in held_out)
        if not judged:
            continue
        starts, ends = np.array(judged).T
        ends = np.maximum.accumulate(ends)
        for place in of_tape:
            before = int(np.searchsorted(starts, places[place]["end"])) - 1  # the last that begins before it ends
            if place not in held_out and before >= 0 and ends[before] > places[place]["start"]:
                reaching.add(place)
    remaining = [entry for entry in entries if (entry.root, entry.path) not in reaching]
    return remaining, [{"path": path, "root": root, "reason": OVERLAPS} for root, path in sorted(reaching)]


def _by_tape(places: Mapping[Place, dict]) -> dict[int, list[Place]]:
    tapes: dict[int, list[Place]] = defaultdict(list)
    for place, described in places.items():
        tapes[described["tape"]].append(place)
    return tapes
