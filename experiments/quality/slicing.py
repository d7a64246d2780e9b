"""Onsets on tapes and loops of real sounds, beside librosa's: `python -m experiments.quality.slicing`.

Tapes are assembled from one-shots at known times, with hiss and hum of equal power, and dropouts; loops are programmed
of one-shots, and played in two layers in a room. The F-measure is mir_eval's: one found onset to one true one, at most
50 ms apart. What decides on dense material was chosen on Hydrogen's kits; drums of LMMS and Sonic Pi judge it.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from experiments.common import commands, loops, measures
from vaelab import audio, slicing
from vaelab.audio import built_in_tape, synth
from vaelab.datasets.hydrogen import drum_class

COMMAND = "python -m experiments.quality.slicing"

RATE, LIBROSAS_RATE = 44100, 22050  # Hz
WINDOW_S = 0.05
LONGEST_S = 4.0
SIGNAL_TO_NOISE_DB = (60, 30, 20, 15, 10)
DROPOUTS_PER_MINUTE = 3.0
FEW = 40
END_S = 4.0  # of hiss, at both ends
LOOPS_SNR_DB = 40
DENSE = {"programmed loop": loops.programmed, "two layers in a room": loops.layered}
SUPERFLUX = {"n_fft": 1024, "hop_length": 220, "n_mels": 138, "fmin": 27.5, "fmax": 16000.0}  # of librosa's gallery
TAPES = {  # seconds from the onset of a sound to the next, or from its end; its peak, dBFS
    "one after the other": ("end", (0.1, 1.2), (-15.0, -3.0)),
    "soft and loud": ("end", (0.1, 1.2), (-27.0, -3.0)),
    "overlapping": ("onset", (0.25, 1.5), (-15.0, -3.0)),
    "far apart": ("end", (1.0, 5.0), (-15.0, -3.0)),
}


def sounds(most: int | None = None) -> list[Path]:
    """The real sounds to draw from."""
    candidates = (path for path in measures.one_shots(seconds=LONGEST_S) if not path.name.startswith("loop_"))
    return list(islice(candidates, most))


def few(folder: Path) -> list[Path]:
    """Forty sounds, for a short run: real ones where they are installed, else built-in ones, written to a folder."""
    if all(place.is_dir() for place in measures.FOLDERS):
        return sounds(FEW)
    written = synth.write_dataset(folder, FEW // len(synth.KINDS), sample_rate=RATE, progress=False)
    return sorted(written.rglob("*.wav"))


def class_of(path: Path) -> str | None:
    """The class of a drum by its folder, as built-in sounds have it, or its name."""
    return drum_class(path.parent.name) or drum_class(path.stem)


def roles() -> dict[str, dict[str, list[Path]]]:
    """Sounds by role: those that settings were chosen on, and those that judge them."""
    return {"Hydrogen (chosen on)": loops.kits(), "LMMS, Sonic Pi": loops.foreign()}


def scores(true: np.ndarray, detected: np.ndarray) -> tuple[float, float, float]:
    """F-measure, precision and recall of onsets in seconds, both (n,) and sorted.

    On a line, taking the earliest pair that fits is a largest matching.
    """
    hits = first = second = 0
    while first < len(true) and second < len(detected):
        apart = detected[second] - true[first]
        hit = abs(apart) <= WINDOW_S
        hits += hit
        first += hit or apart > 0
        second += hit or apart < 0
    precision, recall = hits / max(1, len(detected)), hits / max(1, len(true))
    return 2 * precision * recall / max(precision + recall, 1e-9), precision, recall


def record(pool: Sequence[Path], seed: int, spacing: str, snr_db: float, count: int) -> built_in_tape.Tape:
    """A tape of sounds drawn from a pool of files; the ratio is of mean powers over the whole tape."""
    rng = np.random.default_rng([seed, 9])
    counted_from, gap, level_db = TAPES[spacing]
    played, at = [], END_S
    for index in rng.choice(len(pool), count, replace=False):
        samples = audio.read(pool[index], RATE)
        samples = samples * (10 ** (rng.uniform(*level_db) / 20) / np.abs(samples).max())
        played.append((at, pool[index].name, samples))
        at += rng.uniform(*gap) + (len(samples) / RATE if counted_from == "end" else 0)
    seconds = max(start + len(samples) / RATE for start, _, samples in played) + END_S
    clean = built_in_tape.assemble(played, seconds, RATE, rng).samples
    noise_dbfs = 10 * np.log10(np.mean(np.square(clean, dtype=float))) - snr_db - 10 * np.log10(2)
    return built_in_tape.assemble(played, seconds, RATE, rng, noise_dbfs, noise_dbfs, DROPOUTS_PER_MINUTE)


def ours(samples: np.ndarray) -> np.ndarray:
    """Starts of segments, default settings."""
    return np.array([start for start, _ in slicing.slice_recording(samples, RATE)])


def librosas(samples: np.ndarray, backtrack: bool = False) -> np.ndarray:
    """Onsets as librosa finds them by default, at its own rate; or the minima before them, where it would cut."""
    import librosa

    resampled = librosa.resample(samples, orig_sr=RATE, target_sr=LIBROSAS_RATE)
    return librosa.onset.onset_detect(y=resampled, sr=LIBROSAS_RATE, units="time", backtrack=backtrack)


def superflux(samples: np.ndarray) -> np.ndarray:
    """Onsets by SuperFlux, as librosa's gallery sets it up."""
    import librosa

    power = librosa.feature.melspectrogram(y=samples, sr=RATE, **SUPERFLUX)
    how = {"sr": RATE, "hop_length": SUPERFLUX["hop_length"]}
    strength = librosa.onset.onset_strength(S=librosa.power_to_db(power, ref=np.max), lag=2, max_size=3, **how)
    return librosa.onset.onset_detect(onset_envelope=strength, units="time", **how)


OTHERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "librosa F": librosas,
    "backtracked F": partial(librosas, backtrack=True),
    "SuperFlux F": superflux,
}
COLUMNS = ["F", "P", "R", *OTHERS]


def measure(pool: Sequence[Path], spacing: str, snr_db: float, tapes: int, count: int) -> list[float]:
    """Scores on tapes of sounds of a pool; see `compared`."""
    return compared([partial(record, pool, seed, spacing, snr_db, count) for seed in range(tapes)])


def compared(recordings: Sequence[Callable[[], built_in_tape.Tape]]) -> list[float]:
    """F-measure, precision and recall of ours, then F-measures of OTHERS, the mean over recordings."""
    measured = []
    for recording in (make() for make in recordings):
        true = np.array([event.start for event in recording.events])
        theirs = [scores(true, way(recording.samples))[0] for way in OTHERS.values()]
        measured.append([*scores(true, ours(recording.samples)), *theirs])
    return np.mean(measured, axis=0).tolist()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep the table."""
    parser = commands.parser(COMMAND, __doc__, "one tape of six sounds for each row")
    parser.add_argument("--tapes", type=int, default=5, help="for each row (default 5)")
    parser.add_argument("--sounds", type=int, default=50, help="on each tape (default 50)")
    options = parser.parse_args(arguments)
    if options.tiny:
        options.tapes, options.sounds = 1, 6
    with tempfile.TemporaryDirectory() as scratch:
        pool = few(Path(scratch)) if options.tiny else sounds()
        report(options, pool)
        report_dense(options, {"a few": loops.by_role(pool, class_of)} if options.tiny else roles())


def report(options: argparse.Namespace, pool: Sequence[Path]) -> None:
    """Measure tapes of sounds of a pool, print, keep."""
    rows = []
    for snr_db in SIGNAL_TO_NOISE_DB:
        each = [measure(pool, spacing, snr_db, options.tapes, options.sounds) for spacing in TAPES]
        rows += [[spacing, snr_db, *numbers] for spacing, numbers in zip(TAPES, each, strict=True)]
        rows.append(["all", snr_db, *np.mean(each, axis=0)])
    note = (
        f"F-measure, precision and recall of onsets within {1000 * WINDOW_S:g} ms, one to one, higher is better; "
        f"{options.tapes} tapes of {options.sounds} sounds a row, drawn from {len(pool)} real sounds of up to "
        f"{LONGEST_S:g} s (Hydrogen, Sonic Pi without its loops), peaks at -15 to -3 dBFS (soft and loud: from -27), "
        f"hiss and hum of equal power, {DROPOUTS_PER_MINUTE:g} dropouts a minute; SNR: ratio of mean powers over the "
        "tape, dB. A true onset is a sound's first 5 ms frame within 30 dB of its loudest, one for each file, "
        "though some hold several strokes. F, P, R: vaelab with default settings; then librosa's onset_detect with "
        "defaults, with backtracking, and with SuperFlux as its gallery sets it up. Target: F of 0.9 at 30 dB; of 0.8 "
        "at 15 dB and 0.1 more than librosa's onset_detect"
    )
    name = None if options.tiny else "slicing"
    measures.report(name, COMMAND, ["sounds", "SNR", *COLUMNS], rows, note)


def report_dense(options: argparse.Namespace, pools: dict[str, dict[str, list[Path]]]) -> None:
    """Measure loops, and tapes beside them, of sounds of pools by role; print, keep."""
    rows = []
    for title, pool in pools.items():
        for material, play in DENSE.items():
            recordings = [partial(play, pool, seed, LOOPS_SNR_DB) for seed in range(2 * options.tapes)]
            rows.append([material, title, *compared(recordings)])
        flat = sorted({path for paths in pool.values() for path in paths})
        each = [measure(flat, spacing, 30, options.tapes, options.sounds) for spacing in TAPES]
        rows.append(["one-shots at 30 dB", title, *np.mean(each, axis=0)])
    note = (
        f"Columns as above. {2 * options.tapes} loops a row: {loops.BARS} times a bar of {loops.STEPS} steps, "
        f"{loops.TEMPO[0]:g} to {loops.TEMPO[1]:g} quarters a minute, of a kick, a snare, a hat and another sound, in "
        f"the second layer two more; hits at 0 to {loops.SOFTEST_DB:g} dB, those within {1000 * loops.TOGETHER_S:g} ms "
        f"are one onset; hiss {LOOPS_SNR_DB} dB below. One-shots: the mean of the four kinds of tapes. Settings for "
        "dense material were chosen on Hydrogen's kits. Target: F of 0.95 on loops, nothing lost on one-shots"
    )
    name = None if options.tiny else "slicing_dense"
    measures.report(name, COMMAND, ["material", "sounds", *COLUMNS], rows, note)


if __name__ == "__main__":
    main()
