"""A stretch of a tape played again by other sounds, in its own time: its model's, or its relatives' in a library."""

import os
from pathlib import Path

import numpy as np

from vaelab import audio
from vaelab.audio import Recipe, Sound, built_in_tape
from vaelab.datasets import segments
from vaelab.datasets.segments import CutError
from vaelab.play import checks, provenance
from vaelab.play.tool import SoundSampleTool
from vaelab.text import printable, timecode

OVERLAP = 0.25  # of the clips that a long segment is remade of
DETAIL = 0.5  # a segment at 1 would be itself
FADE_S = 0.005  # where the next sound begins


def transcode(
    tool: SoundSampleTool,
    folder: str | os.PathLike,
    start: float = 0.0,
    seconds: float = 60.0,
    *,
    relatives: bool = False,
    detail: float = DETAIL,
) -> Sound:
    """Replace each segment of a stretch of a tape; what replaces it begins when it does.

    Between segments there is silence, and each sound ends where the next segment begins.

    Args:
        tool: The model; for relatives, with a library.
        folder: What `cutting.cut_tape` made, with sounds.
        start: Of the stretch on the tape, seconds.
        seconds: Its length.
        relatives: Take the library's nearest sound, at the segment's level, instead of the model's version.
        detail: 0 to 1: how much of a segment's own detail the model's version keeps; at 1 it is the segment.

    Returns:
        A sound whose recipe names the stretch of each segment in "sources", and in "played" what replaced it.

    Raises:
        CutError: The folder holds no cut tape, or no sound begins in the stretch.
        ToolError: Relatives, but the tool has no library; a detail that does not fit.
        AudioError: A segment or a relative cannot be read.
    """
    detail = checks.detail_of(detail, of_files=True, seconds=None)
    folder, rate = Path(folder), tool.model.audio.sample_rate
    chosen = [part for part in segments.read(folder).segments if part.path and start <= part.start < start + seconds]
    if not chosen:
        raise CutError(
            f"{printable(folder)}: expected segments as files from {timecode(start)} to "
            f"{timecode(start + seconds)}, found none"
        )
    track = np.zeros(round(seconds * rate), np.float32)
    played = []
    for segment, end in zip(chosen, [*(after.start for after in chosen[1:]), start + seconds], strict=True):
        original = audio.read(folder / segment.path, rate)
        path = folder / segment.path
        replacement, what = _relative(tool, path, original) if relatives else _remade(tool, path, original, detail)
        onset = built_in_tape.onset_of(original, rate) - built_in_tape.onset_of(replacement, rate)
        at = round((segment.start - start) * rate) + onset
        _put(track, replacement, at, round((end - start) * rate), round(FADE_S * rate))
        played.append(what)
    recipe = Recipe(
        **provenance.stamp(),
        call="transcode",
        sources=[{**provenance.source(folder / part.path), "seconds": part.end - part.start} for part in chosen],
        played=played,
        model={"path": str(tool.path.resolve()), "sha256": tool.meta["sha256"]},
    )
    return Sound(track / max(1.0, float(np.abs(track).max())), rate, recipe)


def original(tool: SoundSampleTool, folder: str | os.PathLike, start: float = 0.0, seconds: float = 60.0) -> Sound:
    """The same stretch as it is on the tape, at the model's rate.

    Raises:
        CutError: The folder holds no cut tape.
        AudioError: The tape cannot be read, or is another one now.
    """
    cut, rate = segments.read(folder), tool.model.audio.sample_rate
    samples = audio.read(cut.path, rate, start, seconds, cut.sha256)
    return Sound(samples, rate, Recipe(call="read", sources=[cut.stretch(start, len(samples) / rate)]))


def _remade(tool: SoundSampleTool, path: Path, original: np.ndarray, detail: float) -> tuple[np.ndarray, dict]:
    """The model's version of a segment, of as many overlapping clips as it is long."""
    clip = tool.model.audio.samples
    step = clip - round(OVERLAP * clip)
    count = max(1, -(-(len(original) - clip) // step) + 1)
    remade = np.zeros(clip + (count - 1) * step, np.float32)
    for index in range(count):
        offset = index * step / tool.model.audio.sample_rate
        samples = tool.generate(audio_files=[path], offsets=[offset], detail=detail, seed=0).samples
        remade[index * step :][:clip] += samples * _joint(clip, clip - step, index > 0, index < count - 1)
    return remade, {"by": "model", "clips": count, "detail": detail}


def _joint(length: int, overlap: int, before: bool, after: bool) -> np.ndarray:
    """A gain (length,) that fades in from a clip before and out to one after, both together 1."""
    gain = np.ones(length, np.float32)
    rise = np.sin(0.5 * np.pi * (np.arange(overlap) + 0.5) / overlap) ** 2
    if before:
        gain[:overlap] = rise
    if after:
        gain[-overlap:] = rise[::-1]
    return gain


def _relative(tool: SoundSampleTool, path: Path, original: np.ndarray) -> tuple[np.ndarray, dict]:
    """The library's nearest sound, as loud at its loudest as the segment."""
    files, onsets, distances = tool.find_similar(path, 1)
    at = float(onsets[0])
    rate = tool.model.audio.sample_rate
    relative = audio.read(files[0], rate, at, max(tool.model.audio.clip_seconds, len(original) / rate))
    gain = np.sqrt(_loudest(original, rate) / max(_loudest(relative, rate), 1e-12))
    what = {"by": "relative", "name": files[0].name, "start": at, "distance": float(distances[0])}
    return (relative * gain).astype(np.float32), what


def _loudest(samples: np.ndarray, rate: int) -> float:
    """Power of the loudest 5 ms."""
    return float(built_in_tape.frame_powers(samples, rate).max())


def _put(track: np.ndarray, samples: np.ndarray, at: int, end: int, fade: int) -> None:
    """Play a sound on a track from a sample on, faded out where the next one begins."""
    samples = samples[max(0, -at) : max(0, end - at)].copy()
    at = max(0, at)
    if at + len(samples) >= end and (tail := min(fade, len(samples))):
        samples[-tail:] *= np.linspace(1, 0, tail)
    track[at : at + len(samples)] += samples[: len(track) - at]
