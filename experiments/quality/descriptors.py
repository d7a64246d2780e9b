"""Does a slider move what it names: `python -m experiments.quality.descriptors [--model LOGDIR]`.

Directions are fitted on built-in sounds of the seed that training uses. Built-in sounds of another seed are then moved
along each by -2 to 2 standard deviations, decoded, and measured: the slope is the measured change (in standard
deviations) for each one asked for, R2 the share of the measured change's variance that the amount explains.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.common import commands, measures, trained
from vaelab.audio import descriptors, synth

COMMAND = "python -m experiments.quality.descriptors"

AMOUNTS = (-2.0, -1.0, 0.0, 1.0, 2.0)
TARGET_R2, TARGET_COUNT = 0.5, 3
TRUTH = {  # the parameters of built-in sounds that should agree with what is measured
    "brightness": ("brightness_hz", "centre_hz"),
    "attack": ("attack_s",),
    "noisiness": ("noisiness",),
    "pitch": ("pitch_hz",),
    "decay": ("decay_s",),
}
NOTE = (
    "{count} built-in sounds not used in the fit, each moved by {amounts} standard deviations of a descriptor "
    "({model}). 'truth': squared correlation, within kinds of sounds, of the measured descriptor with the parameter "
    "that the sound was synthesised with; 'embedding': R2 of the fit for sounds left out; 'slope' and 'R2': of the "
    "measured change over the requested one. 1 is best in all four. Target: R2 of {target} for at least {least} "
    "descriptors; reached by {reached}."
)


def within_kinds(
    measured: np.ndarray, true_values: Sequence[float | None], kinds: Sequence[str], log: bool
) -> float | None:
    """Squared correlation of two columns after each kind's mean is taken away; None where nothing is known."""
    pairs = {}
    for value, truth, kind in zip(measured, true_values, kinds, strict=True):
        if truth is not None and np.isfinite(value):
            pairs.setdefault(kind, []).append((value, np.log(truth) if log else truth))
    if not pairs:
        return None
    centred = [np.array(pair) - np.mean(pair, axis=0) for pair in pairs.values()]
    values, truths = np.concatenate([part / np.maximum(part.std(axis=0), 1e-9) for part in centred]).T
    return float(np.corrcoef(values, truths)[0, 1] ** 2)


def truth_of(parameters: dict[str, float], name: str) -> float | None:
    """The parameter that a descriptor should follow, if the kind has one."""
    return next((parameters[key] for key in TRUTH[name] if key in parameters), None)


def slider(tool, z: np.ndarray, direction, name: str) -> tuple[float, float]:
    """Slope and R2 of the measured change, in standard deviations, against the amount."""
    measured = np.array(
        [
            [
                descriptors.measure(sound.samples, sound.sample_rate)[name]
                for sound in tool.decode(z + a * direction.vector)
            ]
            for a in AMOUNTS
        ]
    )
    change = (measured - measured[AMOUNTS.index(0.0)]) / direction.deviation
    asked = np.repeat(np.array(AMOUNTS)[:, None], change.shape[1], axis=1)
    fine = np.isfinite(change)
    slope = float((asked[fine] @ change[fine]) / (asked[fine] @ asked[fine]))
    return slope, float(np.corrcoef(asked[fine], change[fine])[0, 1] ** 2)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and keep the table."""
    parser = commands.parser(COMMAND, __doc__)
    trained.add_arguments(parser)
    parser.add_argument("--moved", type=int, default=40, help="sounds that are moved (default 40)")
    options = parser.parse_args(arguments)
    if options.tiny:
        options.moved = len(synth.KINDS)
    with trained.opened(options) as (tool, model), tempfile.TemporaryDirectory() as scratch:
        rate, folder = tool.model.audio.sample_rate, Path(scratch)
        fitted = synth.write_dataset(
            folder / "fit", options.per_class, seed=trained.SEED_OF_TRAINING, sample_rate=rate, progress=False
        )
        named = tool.directions(sorted(fitted.rglob("*.wav")))
        per_kind = -(-options.moved // len(synth.KINDS))
        others = [
            (kind, *synth.sound(kind, trained.SEED_HELD_OUT * 10**6 + i, rate))
            for kind in synth.KINDS
            for i in range(per_kind)
        ]
        for number, (_, samples, _) in enumerate(others):
            measures.audio.write(folder / "moved" / f"{number:04d}.wav", samples, rate)
        z = tool.embed(sorted((folder / "moved").iterdir()))
        many = [
            (kind, *synth.sound(kind, trained.SEED_HELD_OUT * 10**6 + i, rate))
            for kind in synth.KINDS
            for i in range(2 if options.tiny else 30)
        ]
        measured = [descriptors.measure(samples, rate) for _, samples, _ in many]
        rows = []
        for name, unit in descriptors.UNITS.items():
            truth = within_kinds(
                np.array([sound_values[name] for sound_values in measured]),
                [truth_of(parameters, name) for _, _, parameters in many],
                [kind for kind, _, _ in many],
                log=name != "noisiness",
            )
            slope, r2 = slider(tool, z, named[name], name)
            rows.append([name, unit, truth, named[name].r2, slope, r2])
    reached = sum(row[-1] >= TARGET_R2 for row in rows)
    note = NOTE.format(
        count=len(z),
        amounts=f"{AMOUNTS[0]:g} to {AMOUNTS[-1]:g}",
        model=model,
        target=TARGET_R2,
        least=TARGET_COUNT,
        reached=reached,
    )
    columns = ["descriptor", "unit", "truth", "embedding", "slope", "R2"]
    name = None if options.tiny else "descriptors"
    measures.report(name, COMMAND, columns, rows, note)


if __name__ == "__main__":
    main()
