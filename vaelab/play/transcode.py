"""A tape played again by other sounds, in its own time: its model's, or its relatives' in a library."""

import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from vaelab import audio
from vaelab.audio import Recipe, Sound, built_in_tape
from vaelab.datasets import segments
from vaelab.datasets.segments import CutError, Segment
from vaelab.models import pretrained
from vaelab.play import checks, levels, provenance
from vaelab.play.tool import SoundSampleTool
from vaelab.progress import progress_bar
from vaelab.text import printable, timecode

OVERLAP = 0.25  # of the clips that a long segment is remade of
DETAIL = 0.5  # a segment at 1 would be itself
TOUCHING_S = 0.01  # that segments may overlap by
FADE_S = 0.005  # at the end of each sound


def transcode(
    tool: SoundSampleTool,
    folder: str | os.PathLike,
    start: float = 0.0,
    seconds: float | None = None,
    *,
    relatives: bool = False,
    detail: float = DETAIL,
    progress: bool = False,
) -> Sound:
    """Replace each segment of a tape, or of a stretch of it, by a sound with the segment's onset and level over time.

    Between segments there is silence.

    Args:
        tool: The model; for relatives, with a library.
        folder: What `cutting.cut_tape` made, with sounds.
        start: Of the stretch on the tape, seconds.
        seconds: Its length; None is to the tape's end.
        relatives: Take the library's nearest sound instead of the model's version.
        detail: 0 to 1: how much of a segment's own detail the model's version keeps; at 1 it is the segment.
        progress: Show a bar, where a terminal or a notebook has room for one.

    Returns:
        A sound whose recipe names the segments in "sources", with the stretch of the tape that each comes from, and
        then the relatives; "played" says when each segment begins, in seconds, and what replaces it.

    Raises:
        CutError: The folder holds no cut tape, or one cut into windows, or no sound begins in the stretch.
        ToolError: Relatives, but the tool has no library; a detail that does not fit.
        AudioError: A segment or a relative cannot be read.
    """
    detail = checks.detail_of(detail, of_files=True, seconds=None)
    folder, cut = Path(folder), segments.read(folder)
    seconds = max(1.0, cut.seconds - start) if seconds is None else seconds
    if not (start >= 0 and seconds > 0):
        raise CutError(f"{printable(folder)}: expected a stretch of the tape, found {seconds:g} s from {start:g} s on")
    chosen = [part for part in cut.segments if part.path and start <= part.start < start + seconds]
    if not chosen:
        raise CutError(
            f"{printable(folder)}: expected segments as files from {timecode(start)} to "
            f"{timecode(start + seconds)}, found none"
        )
    if sum(later.start < earlier.end - TOUCHING_S for earlier, later in pairwise(chosen)) > len(chosen) / 2:
        raise CutError(
            f"{printable(folder)}: expected segments one after the other, found windows that overlap, of which each "
            "moment would be heard several times; slice the tape into another folder without --hop-seconds"
        )
    sources = [{**provenance.source(folder / part.path), "seconds": part.seconds} for part in chosen]
    played: list[dict[str, Any]] = [{"at": part.start - start, "by": "model"} for part in chosen]
    if relatives:
        nearest = [_nearest(tool, folder, part) for part in chosen]
        played = [
            {"at": part.start - start, "by": "relative", "source": len(chosen) + number, "distance": distance}
            for number, (part, (_, distance)) in enumerate(zip(chosen, nearest, strict=True))
        ]
        sources += [source for source, _ in nearest]
    recipe = Recipe(
        **provenance.stamp(),
        call="transcode",
        start=float(start),
        seconds=float(seconds),
        detail=detail,
        sources=sources,
        played=played,
        model={
            "name": pretrained.name_of(tool.path),
            "path": str(tool.path.resolve()),
            "sha256": tool.meta["sha256"],
        },
    )
    return follow(tool, recipe, progress)


def follow(tool: SoundSampleTool, recipe: Recipe, progress: bool = False) -> Sound:
    """The sound of a transcoding's recipe, with full paths.

    Raises:
        KeyError: It lacks something.
        AudioError: A segment or a relative cannot be read.
    """
    rate, sources, played = tool.model.audio.sample_rate, recipe["sources"], recipe["played"]
    if not played:
        raise KeyError("played")
    track = np.zeros(round(recipe["seconds"] * rate), np.float32)
    bar = progress_bar(played, show=progress, desc="transcoding", unit="sound", total=len(played))
    for part, segment in zip(bar, sources, strict=False):  # behind the segments stand the relatives
        original = audio.read(segment["path"], rate)
        if part["by"] == "relative":
            replacement = _relative(sources[part["source"]], len(original), rate)
        else:
            replacement = _remade(tool, segment["path"], len(original), recipe["detail"])
        at = round(part["at"] * rate)
        sound = _in_place_of(original, replacement, rate)[: len(track) - at]
        track[at : at + len(sound)] += sound
    return Sound(track / max(1.0, float(np.abs(track).max())), rate, recipe)


def original(
    tool: SoundSampleTool, folder: str | os.PathLike, start: float = 0.0, seconds: float | None = None
) -> Sound:
    """The same stretch as it is on the tape, at the model's rate.

    Raises:
        CutError: The folder holds no cut tape.
        AudioError: The tape cannot be read, or is another one now.
    """
    cut, rate = segments.read(folder), tool.model.audio.sample_rate
    samples = audio.read(cut.path, rate, start, seconds, cut.sha256)
    return Sound(samples, rate, Recipe(call="read", sources=[cut.stretch(start, len(samples) / rate)]))


def _remade(tool: SoundSampleTool, path: str, length: int, detail: float) -> np.ndarray:
    """The model's version of a segment of a length in samples, of as many overlapping clips as it takes."""
    clip = tool.model.audio.samples
    step = clip - round(OVERLAP * clip)
    count = max(1, -(-(length - clip) // step) + 1)
    remade = np.zeros(clip + (count - 1) * step, np.float32)
    for index in range(count):
        offset = index * step / tool.model.audio.sample_rate
        samples = tool.generate(audio_files=[path], offsets=[offset], detail=detail, seed=0).samples
        remade[index * step :][:clip] += samples * _joint(clip, clip - step, index > 0, index < count - 1)
    return remade


def _joint(length: int, overlap: int, before: bool, after: bool) -> np.ndarray:
    """A gain (length,) that fades in from a clip before and out to one after, both together 1."""
    gain = np.ones(length, np.float32)
    rise = np.sin(0.5 * np.pi * (np.arange(overlap) + 0.5) / overlap) ** 2
    if before:
        gain[:overlap] = rise
    if after:
        gain[-overlap:] = rise[::-1]
    return gain


def _nearest(tool: SoundSampleTool, folder: Path, part: Segment) -> tuple[dict[str, Any], float]:
    """The library's sound nearest to a segment, as a recipe's source, and its distance."""
    (path, *_), onsets, distances = tool.find_similar(folder / part.path, 1)
    seconds = max(tool.model.audio.clip_seconds, part.seconds)
    return provenance.source(path, float(onsets[0]), seconds), float(distances[0])


def _relative(source: dict[str, Any], length: int, rate: int) -> np.ndarray:
    """A library's sound from its onset on, long enough for a segment of a length in samples."""
    samples = audio.read(source["path"], rate, source["start"], source["seconds"])
    return levels.extended(samples, length + built_in_tape.onset_of(samples, rate), rate)


def _in_place_of(original: np.ndarray, replacement: np.ndarray, rate: int) -> np.ndarray:
    """A sound with the onset, length and level over time of a segment (samples,), faded out at its end."""
    sound = levels.followed(levels.placed(replacement, original, rate), original, rate)
    tail = min(round(FADE_S * rate), len(sound))
    sound[len(sound) - tail :] *= np.linspace(1, 0, tail, dtype=np.float32)
    return sound
