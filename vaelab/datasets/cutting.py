"""A tape to a folder of segments: files or references, with time codes, labels to edit, and the tape's metadata."""

import dataclasses
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vaelab import VaelabError, audio, files, slicing
from vaelab.audio import workers
from vaelab.config import AudioConfig, SliceConfig
from vaelab.datasets import segments
from vaelab.datasets.segments import CutError, CutTape, Segment
from vaelab.text import printable, timecode

SHORTEST_S = AudioConfig().clip_seconds
COMPARED = (40, 5)  # a duplicate has the same so many moments, each so many frames long
DEPTH_DB, ALIKE_DB = 50.0, 3.0  # below a segment's loudest moment; mean distance of near-duplicates
LENGTHS = 1.25  # of near-duplicates differ by this factor at most
CLICK_IN, CLICK_OUT = 2e-2, 5e-3  # steps from and to silence that are heard; an attack hides the first
FADE_IN_S, FADE_OUT_S = 0.001, 0.005
LOUD_MOMENT = 10  # frames


@dataclasses.dataclass(frozen=True)
class Drop:
    """Segments to leave out: those no louder than hiss, and near-duplicates of earlier ones."""

    silence: bool = False
    duplicates: bool = False


def cut_tape(
    path: str | os.PathLike,
    out_dir: str | os.PathLike,
    config: SliceConfig | None = None,
    *,
    metadata: Mapping[str, str] | None = None,
    references: bool = False,
    drop: Drop | None = None,
    labels: str | os.PathLike | None = None,
    overwrite: bool = False,
) -> tuple[CutTape, slicing.BandLevels]:
    """Slice a tape into a folder: a wav for each segment, `tape.json`, and `labels.txt` for Audacity.

    Where the folder was made before, what a person did to `labels.txt` since then counts: segments that were moved,
    added or named stay as they are, those deleted do not come back; the rest is sliced anew.

    Args:
        path: An audio file, or a video with `vaelab[video]`.
        out_dir: Folder of the segments.
        config: How to slice.
        metadata: Of the tape, for every recipe; adds to that of an earlier run.
        references: Write no wavs: `tape.json` alone says where the segments are.
        drop: What to leave out; nothing that a person made is.
        labels: Another label file, to be used as it is, without slicing.
        overwrite: Also replace or remove segments of before that another program has changed.

    Returns:
        The segments, and the recording's levels, for a picture.

    Raises:
        AudioError: The tape cannot be read.
        TakenError: A segment would take the place of a sound that vaelab did not write.
        CutError: It is silent or shorter than a clip, `labels` cannot be read, or the folder belongs to another tape.
    """
    path, folder, config = files.from_home(path), files.from_home(out_dir), config or SliceConfig()
    sha256 = audio.examine(path).sha256
    before = _before(folder, sha256)
    if before is None and not overwrite:
        _check_labels(folder, labels)
    recording = slicing.analyse_file(path)
    shortest = config.window_seconds if config.hop_seconds else SHORTEST_S
    if recording.seconds < shortest:
        raise CutError(
            f"{printable(path)}: expected a tape of at least {shortest:g} s, which is one clip, found "
            f"{recording.seconds:.2f} s; put single sounds in a folder and use make-dataset --data-dir"
        )
    sliced = [Segment(round(start, 6), round(end, 6)) for start, end in slicing.cuts(recording, config)]
    chosen, removed = _chosen(sliced, before, folder, labels, recording.seconds)
    if not chosen and labels is not None:
        raise CutError(f"{printable(labels)}: expected labels, found none; export them from Audacity again")
    if not chosen and not removed:
        loudest = float(slicing.loudness(recording).max())
        raise CutError(
            f"{printable(path)}: expected sound that rises above hiss, found none in {recording.seconds:.1f} s "
            f"(nothing louder than {loudest:.0f} dBFS); check the recording, or raise the sensitivity"
        )
    automatic = {segment.place for segment in sliced}
    wanted, dropped = _without(chosen, automatic, recording, config, drop or Drop())
    if not references:
        wanted = [dataclasses.replace(segment, path=_name(path.stem, segment, automatic)) for segment in wanted]
    cut = CutTape(
        os.path.realpath(path),
        sha256,
        round(recording.seconds, 6),
        {**(before.metadata if before else {}), **(metadata or {})},
        tuple(wanted),
        (*(segment for segment in wanted if segment.place in automatic and not segment.label), *removed),
        dropped,
    )
    names = {segment.path for segment in wanted} - {None}
    stale = {segment.path for segment in before.segments} - {None} - names if before else set()
    for name in sorted(names | stale):
        audio.check_replaceable(folder / name, [path], overwrite=overwrite)
    files.make_folder(folder)
    for unfinished in folder.glob(f"{files.TEMPORARY}*"):  # of a worker that was ended
        unfinished.unlink(missing_ok=True)
    for name in stale:
        (folder / name).unlink(missing_ok=True)
    if not references:
        _write_sounds(path, cut, folder, overwrite)
    segments.write(cut, folder)
    return cut, recording


def cut_tapes(
    tapes: Sequence[str | os.PathLike],
    folders: Sequence[str | os.PathLike],
    config: SliceConfig | None = None,
    **settings: Any,
) -> Iterator[VaelabError | OSError | None]:
    """Slice tapes as `cut_tape` does, several side by side: by joblib's active backend, a tape in each worker.

    Workers read the tapes and write the segments: on a cluster, both must lie under the same paths for all.

    Args:
        tapes: Audio files.
        folders: Of the segments of each.
        config: How to slice.
        settings: As of `cut_tape`.

    Yields:
        For each tape, in order, the error by which it was refused, or None. What a tape warned of is a warning.
    """
    places = [[os.path.abspath(files.from_home(path)) for path in pair] for pair in zip(tapes, folders, strict=True)]
    items = [(tape, folder, config, settings) for tape, folder in places]
    results = workers.long_outcomes(_cut, items, VaelabError)
    for (tape, folder), (result, reason) in zip(places, results, strict=True):
        warned, error = result or ([], CutError(f"{printable(tape)}: {reason}"))
        for text in warned:
            warnings.warn(text, stacklevel=2)
        if error is None and not (Path(folder) / segments.FILE).exists():
            error = CutError(f"{printable(folder)}: expected segments, found none; workers and session must share it")
        yield error


def _cut(
    tape: str, folder: str, config: SliceConfig | None, settings: Mapping[str, Any]
) -> tuple[list[str], VaelabError | OSError | None]:
    """In a worker: cut a tape. Returns what was warned of, and the error by which it was refused."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            cut_tape(tape, folder, config, **settings)
            error = None
        except (VaelabError, OSError) as refused:
            error = refused
    return [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)], error


def _before(folder: Path, sha256: str) -> CutTape | None:
    if not (folder / segments.FILE).exists():
        return None
    before = segments.read(folder)
    if before.sha256 != sha256:
        raise CutError(
            f"{printable(folder)}: expected segments of this tape, found those of "
            f"{printable(before.path)}; choose another folder"
        )
    return before


def _check_labels(folder: Path, labels: str | os.PathLike | None) -> None:
    """Refuse to replace labels that belong to no cut of before."""
    place = folder / segments.LABELS
    if os.path.lexists(place) and not (labels is not None and os.path.samefile(place, labels)):
        raise CutError(
            f"{printable(place)}: expected none, since no tape was cut into this folder, found a file; choose "
            "another folder, cut at these labels (labels=FILE, --labels FILE), or replace them (overwrite=True, "
            "--overwrite)"
        )


def _chosen(
    sliced: list[Segment], before: CutTape | None, folder: Path, labels: str | os.PathLike | None, seconds: float
) -> tuple[list[Segment], list[Segment]]:
    """The segments found, but for what a person says, and those that a person removed."""
    if labels is not None:
        return segments.read_labels(labels, seconds), []
    if before is None or not (folder / segments.LABELS).exists():
        return sliced, []
    left = segments.read_labels(folder / segments.LABELS, seconds)
    return segments.edited(sliced, before.found, left), segments.removed(before.found, left)


def _without(
    chosen: list[Segment],
    automatic: set[tuple[float, float]],
    recording: slicing.BandLevels,
    config: SliceConfig,
    drop: Drop,
) -> tuple[list[Segment], dict[str, int]]:
    """The chosen segments without the automatic ones to drop, and the number of these by reason."""
    wanted, dropped = [], {"silence": 0, "duplicates": 0}
    looks: list[tuple[np.ndarray, float]] = []
    loudness = slicing.loudness(recording)
    for segment in chosen:
        frames = slice(round(segment.start / recording.hop_s), max(1, round(segment.end / recording.hop_s)))
        if segment.place in automatic:
            if drop.silence and _loudest_moment(loudness[frames]) < config.hiss_dbfs:
                dropped["silence"] += 1
                continue
            look = _look(recording.levels[frames]), segment.seconds
            if drop.duplicates and any(_alike(look, other) for other in looks):
                dropped["duplicates"] += 1
                continue
            looks.append(look)
        wanted.append(segment)
    return wanted, dropped


def _loudest_moment(loudness: np.ndarray) -> float:
    """The largest median of 50 ms, dBFS."""
    parts = np.array_split(loudness, max(1, len(loudness) // LOUD_MOMENT))
    return max(float(np.median(part)) for part in parts)


def _look(levels: np.ndarray) -> np.ndarray:
    """The beginning of a segment in dB below its loudest spot: (moments, bands)."""
    moments, frames = COMPARED
    look = np.full((moments * frames, levels.shape[1]), -np.inf, np.float32)
    look[: len(levels)] = levels[: len(look)]
    look = np.clip(look - look.max(), -DEPTH_DB, 0)
    return look.reshape(moments, frames, -1).mean(axis=1)


def _alike(first: tuple[np.ndarray, float], second: tuple[np.ndarray, float]) -> bool:
    """True if two segments are near-duplicates by spectrum and length; cells that are silent in both do not count."""
    (look, seconds), (other, other_seconds) = first, second
    if max(seconds, other_seconds) > LENGTHS * min(seconds, other_seconds):
        return False
    audible = np.maximum(look, other) > 1 - DEPTH_DB
    return float(np.abs(look - other)[audible].mean()) < ALIKE_DB


def _name(stem: str, segment: Segment, automatic: set[tuple[float, float]]) -> str:
    """A file's name: where the segment begins, and where it ends if a person decided so."""
    start, end = (timecode(moment).replace(":", "-").replace(".", "-") for moment in (segment.start, segment.end))
    return f"{stem}_{start}.wav" if segment.place in automatic else f"{stem}_{start}_{end}.wav"


def _write_sounds(path: Path, cut: CutTape, folder: Path, overwrite: bool) -> None:
    for segment, (samples, rate) in zip(cut.segments, _pieces(path, cut.segments), strict=True):
        stretch = cut.stretch(segment.start, round(segment.seconds, 6))
        recipe = {"format": 1, "call": "slice", "label": segment.label, "sources": [stretch]}
        samples = _without_clicks(np.clip(samples, -1, 1), rate)
        audio.write(folder / segment.path, samples, rate, recipe, overwrite=overwrite)


def _without_clicks(samples: np.ndarray, rate: int) -> np.ndarray:
    """Samples (samples,) that begin and end near zero: an end within a sound is faded, one that is quiet is not."""
    faded = samples.copy()
    for end, seconds, click in ((faded, FADE_IN_S, CLICK_IN), (faded[::-1], FADE_OUT_S, CLICK_OUT)):
        length = min(round(seconds * rate), len(end) // 4)
        if length and abs(end[0]) > click:
            end[:length] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(length) / length)
    return faded


def _pieces(path: Path, wanted: Sequence[Segment]) -> Iterator[tuple[np.ndarray, int]]:
    """The samples of each segment, in the order of their starts, read in one go, and their rate."""
    with audio.stream(path) as (rate, _, blocks):
        held, first = np.zeros(0, np.float32), 0  # samples in hand, and the place of the first on the tape
        for segment in wanted:
            start, end = round(segment.start * rate), round(segment.end * rate)
            while first + len(held) < end and (block := next(blocks, None)) is not None:
                useless = min(len(held), max(0, start - first))
                held, first = np.concatenate([held[useless:], block]), first + useless
            yield held[max(0, start - first) : end - first], rate
