"""Sounds of sources that a model never met: `python -m experiments.quality.foreign`.

For each source: how far reconstructed features are off where a sound is audible, in dB, and what share of its sounds
`how_known` calls unknown. No training and no held-out side has met these sources:

    drums, instruments, effects    samples of LMMS
    voices                         letters and syllables of KLettres, in 20 languages
    guitar                         strummed chords, of `hydrogen-drumkits-effects`
    tones                          sines of any pitch that die away

Another model's file may stand beside, such as that of an earlier version: `--against FILE`.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from experiments.common import commands, foreign_sounds, measures, real_sounds, trained
from experiments.common.real_sounds import GUITAR, LMMS, SPOKEN
from experiments.quality.heard import error_db
from vaelab import SoundSampleTool, spectral
from vaelab.audio import Sound, synth

COMMAND = "python -m experiments.quality.foreign"
SOURCES = {
    "drums (LMMS)": (LMMS / "drums", LMMS / "latin"),
    "instruments (LMMS)": (LMMS / "basses", LMMS / "instruments", LMMS / "stringsnpads"),
    "effects (LMMS)": (LMMS / "effects", LMMS / "misc"),
    "voices (KLettres)": (SPOKEN,),
    "guitar (Hydrogen)": (GUITAR,),
}
MOST, TINY = 120, 6
LONGEST_S = 4.0


def clips(sources: dict[str, Sequence[Path]], tool: SoundSampleTool, most: int) -> dict[str, np.ndarray]:
    """Clips (n, samples) of each source, evenly spaced among its files, and of tones."""
    config, chosen = tool.model.audio, {}
    for name, folders in sources.items():
        paths = list(measures.one_shots(folders, LONGEST_S))
        chosen[name] = measures.clips([paths[i] for i in spectral.evenly_spaced(len(paths), most)], config)
    rng = np.random.default_rng(0)
    tones = foreign_sounds.tones(rng, most, config.sample_rate, config.clip_seconds)
    return {**chosen, "tones": np.stack(list(tones))}


def unknown(tool: SoundSampleTool, sounds: np.ndarray) -> float | None:
    """Share of sounds (n, samples) that `how_known` calls unknown; None of a model whose training did not end."""
    if tool.reference is None:
        return None
    rate = tool.model.audio.sample_rate
    return float(np.mean([tool.how_known(Sound(samples, rate)).verdict == "unknown" for samples in sounds]))


def measure(tool: SoundSampleTool, sources: dict[str, np.ndarray], other: SoundSampleTool | None) -> list[list]:
    """Rows of the table, of clips (n, samples) of each source; the last one is their mean."""
    rows = []
    for name, sounds in sources.items():
        beside = [] if other is None else [error_db(other, sounds), unknown(other, sounds)]
        rows.append([name, len(sounds), error_db(tool, sounds), unknown(tool, sounds), *beside])
    figures = zip(*(row[2:] for row in rows), strict=True)
    means = [None if None in column else float(np.mean(column)) for column in figures]
    return [*rows, ["mean of the sources", sum(row[1] for row in rows), *means]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep the table of `general`."""
    parser = commands.parser(COMMAND, __doc__, "a model of a few steps, on built-in sounds")
    parser.add_argument(
        "--model", default="general", help="name, file or logdir (default general, whose table is kept)"
    )
    parser.add_argument("--against", metavar="MODEL", help="another model, in the same table")
    options = parser.parse_args(arguments)
    columns = ["source", "sounds", "error dB", "unknown"]
    if options.tiny:
        with trained.on_real_sounds(tiny=True) as (tool, _), TemporaryDirectory() as folder:
            sounds = synth.write_dataset(Path(folder), 2, sample_rate=16000, progress=False)
            rows = measure(tool, clips({"built-in kinds": (sounds,)}, tool, TINY), tool if options.against else None)
    else:
        for folders in SOURCES.values():
            real_sounds.installed(folders)
        tool, other = (SoundSampleTool(name) if name else None for name in (options.model, options.against))
        rows = measure(tool, clips(SOURCES, tool, MOST), other)
    if options.against:
        columns += ["before: error dB", "before: unknown"]
    note = (
        f"the model {options.model}: mean distance between features and their reconstruction where a sound is audible, "
        "and the share of sounds that `how_known` calls unknown. Targets: 3.3 dB over all, 4 dB for voices and tones"
    )
    is_stored = not options.tiny and options.model == "general"
    measures.report("foreign" if is_stored else None, COMMAND, columns, rows, note)


if __name__ == "__main__":
    main()
