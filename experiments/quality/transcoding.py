"""Levels of a transcoding against its tape: `python -m experiments.quality.transcoding`.

Each segment of built-in tapes (over hiss) is replaced by the sound of another collection that is nearest to it, moved
to its onset. Ways to give it the segment's level are compared on moments of 50 ms, those within 30 dB of a segment's
loudest moment ("audible") and the others ("quiet"). A gain that moves fast follows better and reshapes the sound more.
"""

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from experiments.common import commands, measures
from vaelab import SoundSampleTool, audio, cutting
from vaelab.audio import built_in_tape, synth
from vaelab.datasets import segments
from vaelab.play import levels

COMMAND = "python -m experiments.quality.transcoding"

MODEL = "drum_kits"
HISS_DBFS = -45.0
CHOSEN_ON, SCORED_ON = (1,), (2, 3)  # seeds of tapes
MOMENT_S, AUDIBLE_DB, NEAR_DB = 0.05, 30.0, 6.0
DEFAULT = f"level over {1000 * levels.WINDOW_S:g} ms, peaks too"
COLUMNS = (
    "way",
    "peak rises dB, 95 %",
    "at most",
    "audible dB, 95 %",
    "audible within 6 dB",
    "quiet dB, mean",
    "gain moves dB",
)

Way = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def at_its_loudest(samples: np.ndarray, model: np.ndarray, rate: int) -> np.ndarray:
    """A sound (samples,) with one gain, by the loudest 5 ms."""
    loudest = [built_in_tape.frame_powers(part, rate).max() for part in (model, samples)]
    return samples * np.sqrt(loudest[0] / max(loudest[1], 1e-12))


def short(way: Way) -> Way:
    """A way without a relative's second half again and again, where it ends before the segment."""
    return lambda samples, model, rate: way(levels.placed(samples, model, rate), model, rate)


def held(way: Way) -> Way:
    """A way with it."""

    def place(samples: np.ndarray, model: np.ndarray, rate: int) -> np.ndarray:
        long = levels.extended(samples, len(model) + built_in_tape.onset_of(samples, rate), rate)
        return way(levels.placed(long, model, rate), model, rate)

    return place


WAYS: dict[str, Way] = {
    "at its loudest": short(at_its_loudest),
    "at its loudest, held": held(at_its_loudest),
    **{
        f"level over {1000 * seconds:g} ms{', peaks too' if peaks else ''}": held(
            partial(levels.followed, window_s=seconds, peaks=peaks)
        )
        for seconds in (0.01, 0.03, 0.1)
        for peaks in (False, True)
    },
}


def moments(samples: np.ndarray, rate: int) -> np.ndarray:
    """Mean power of each 50 ms, dB."""
    size = round(MOMENT_S * rate)
    parts = samples[: len(samples) // size * size].reshape(-1, size).astype(float)
    return 10 * np.log10((parts**2).mean(axis=1) + 1e-10)


def movement(before: np.ndarray, after: np.ndarray, rate: int) -> float:
    """Deviation of the steps, from 5 ms to 5 ms, of the gain between a sound and what became of it, dB."""
    powers = [built_in_tape.frame_powers(part, rate) for part in (before, after)]
    audible = powers[0] >= powers[0].max() * 10 ** (-AUDIBLE_DB / 10)
    gains = 10 * np.log10((powers[1] + 1e-9) / (powers[0] + 1e-9))
    return float(np.std(np.diff(gains)[audible[1:] & audible[:-1]])) if audible.sum() > 2 else 0.0


def pairs(folder: Path, seeds: Sequence[int], seconds: float) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """Segments of tapes, and the relative of each: (segment, relative, rate)."""
    sounds = synth.write_dataset(folder / "other", 6, seed=9, progress=False)
    tool = SoundSampleTool(MODEL, library_dir=sounds, home=folder, progress=False)
    rate, gathered = tool.model.audio.sample_rate, []
    for seed in seeds:
        audio.write(folder / f"{seed}.wav", built_in_tape.perform(seconds, seed, hiss_dbfs=HISS_DBFS).samples, 44100)
        cut, _ = cutting.cut_tape(folder / f"{seed}.wav", folder / str(seed))
        gathered += [(folder / str(seed) / part.path, part) for part in cut.segments]
    return [(audio.read(path, rate), _relative(tool, path, part), rate) for path, part in gathered]


def _relative(tool: SoundSampleTool, path: Path, part: segments.Segment) -> np.ndarray:
    (nearest, *_), onsets, _ = tool.find_similar(path, 1)
    return audio.read(nearest, tool.model.audio.sample_rate, float(onsets[0]), max(2.0, part.seconds))


def row(name: str, way: Way, sounds: Sequence[tuple[np.ndarray, np.ndarray, int]]) -> list[Any]:
    """A way's figures."""
    peaks, audible, quiet, moves = [], [], [], []
    for segment, relative, rate in sounds:
        sound = way(relative, segment, rate)
        peaks.append(20 * np.log10(max(np.abs(sound).max(), 1e-5) / np.abs(segment).max()))
        wanted, apart = moments(segment, rate), moments(sound, rate) - moments(segment, rate)
        loud = wanted > wanted.max(initial=-np.inf) - AUDIBLE_DB
        audible, quiet = [*audible, *apart[loud]], [*quiet, *apart[~loud]]
        moves.append(movement(held(lambda samples, *_: samples)(relative, segment, rate), sound, rate))
    spread = [float(np.percentile(peaks, 95)), max(peaks), float(np.percentile(np.abs(audible), 95))]
    near = float(np.mean(np.abs(audible) < NEAR_DB))
    return [name, *spread, near, float(np.mean(quiet)) if quiet else None, float(np.median(moves))]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep the table."""
    options = commands.parser(COMMAND, __doc__, "a tape of eight seconds").parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        seconds = 8.0 if options.tiny else 120.0
        if not options.tiny:
            chosen = pairs(Path(scratch) / "chosen", CHOSEN_ON, seconds)
            print("tape that the way was chosen on")
            measures.report(None, COMMAND, COLUMNS, [row(name, way, chosen) for name, way in WAYS.items()], "")
        scored = pairs(Path(scratch) / "scored", SCORED_ON, seconds)
        rows = [row(name, way, scored) for name, way in WAYS.items()]
    note = (
        f"{len(scored)} segments of built-in tapes of {seconds:g} s over hiss of {HISS_DBFS:g} dBFS, replaced by the "
        f"nearest of {6 * len(synth.KINDS)} other built-in sounds (model {MODEL}). Differences to the segment: of the "
        "largest sample, and of the mean power of each 50 ms. Gain moves: deviation of its steps from 5 ms to 5 ms. "
        f"The default ({DEFAULT}) was chosen on another tape."
    )
    measures.report(None if options.tiny else "transcoding", COMMAND, COLUMNS, rows, note, on_real_sounds=False)


if __name__ == "__main__":
    main()
