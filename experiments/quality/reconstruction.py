"""Reconstruction of sounds by a trained model: `python -m experiments.quality.reconstruction [--model LOGDIR]`.

Spectral convergence as in `experiments.quality.inversion`, through the model, with the source's phase against none. A
picture of a few originals and their reconstructions is kept as reconstruction.png beside this file.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from experiments.common import commands, measures, trained
from experiments.common.results import FOLDER
from vaelab import spectral
from vaelab.audio import synth
from vaelab.ui import plots

COMMAND = "python -m experiments.quality.reconstruction"

SHOWN = ("kick", "snare", "metal", "drone")
PICTURE = FOLDER / "reconstruction.png"


def held_out(rate: int, per_kind: int) -> tuple[list[str], list[np.ndarray]]:
    """Built-in sounds of a seed that no training uses."""
    wanted = [(kind, trained.SEED_HELD_OUT * 10**6 + i) for kind in synth.KINDS for i in range(per_kind)]
    return [kind for kind, _ in wanted], [synth.sound(kind, seed, rate)[0] for kind, seed in wanted]


def draw(kinds: Sequence[str], rows: dict[str, np.ndarray], config) -> Figure:
    """Spectrograms: a row for each way, a column for each kind."""
    columns = [list(kinds).index(kind) for kind in SHOWN if kind in kinds]
    clips = np.concatenate([samples[columns] for samples in rows.values()])
    features = np.asarray(spectral.mel(clips, config)[0])
    titles = [f"{kinds[column]}, {way}" for way in rows for column in columns]
    return plots.spectrograms(features, config, titles, columns=len(columns))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep the table and the picture."""
    parser = commands.parser(COMMAND, __doc__)
    trained.add_arguments(parser)
    parser.add_argument("--per-kind", type=int, default=10, help="sounds of each kind (default 10)")
    parser.add_argument("--data-dir", nargs="+", type=Path, metavar="DIR", help="real one-shots instead")
    options = parser.parse_args(arguments)
    if options.tiny:
        options.per_kind = 1
    with trained.opened(options) as (tool, model):
        config = tool.model.audio
        if options.data_dir:
            paths = list(measures.one_shots(options.data_dir))[: 10 * options.per_kind]
            kinds, clips = [path.stem for path in paths], measures.clips(paths, config)
        else:
            kinds, sounds = held_out(config.sample_rate, options.per_kind)
            clips = np.stack([spectral.fit_length(samples, config) for samples in sounds])
        features, gains = measures.stored_features(clips, config)
        rebuilt = tool.reconstruct(features)

        def with_phase(batch, sources):
            return spectral.invert(batch, config, np.angle(spectral.stft(sources, config)))

        rebuilt_samples = {
            "original": clips,
            "features alone, no phase": measures.in_batches(lambda f: spectral.invert(f, config), features),
            "features alone, the source's phase": measures.in_batches(with_phase, features, clips),
            "through the model, no phase": measures.in_batches(lambda f: spectral.invert(f, config), rebuilt),
            "through the model, the source's phase": measures.in_batches(with_phase, rebuilt, clips),
        }
        rows = []
        for name, samples in list(rebuilt_samples.items())[1:]:
            convergence = measures.spectral_convergence(clips, gains * samples)
            rows.append([name, convergence.mean(), float(np.median(convergence))])
        shown = {
            "original": clips,
            "no phase": rebuilt_samples["through the model, no phase"],
            "own phase": rebuilt_samples["through the model, the source's phase"],
        }
        picture = draw(kinds, shown, config)
        if not options.tiny:
            picture.savefig(PICTURE, dpi=60)
    error_db = float(np.abs(rebuilt - features).mean()) * config.top_db
    which = "real one-shots" if options.data_dir else "built-in sounds of a seed not trained on"
    note = (
        f"{len(clips)} {which}, {config.sample_rate} Hz; model {model}, mean error of its features {error_db:.2f} "
        "dB; mean spectral convergence over windows of 128 to 2048 samples, lower is better. Picture: "
        "reconstruction.png."
    )
    columns = ["way", "convergence", "median"]
    name = None if options.tiny else "reconstruction"
    measures.report(name, COMMAND, columns, rows, note)


if __name__ == "__main__":
    main()
