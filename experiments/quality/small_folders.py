"""Training on a folder of 300 sounds, as people have them: `python -m experiments.quality.small_folders`.

Each setting is trained until training ends by itself, as `vaelab train` does, on 300 sounds of a collection, a tenth of
which end the training, and judged by other sounds of that collection: the error where they are audible, at the start
(the best linear model) and at the end. A larger model that overfits ends above a smaller one. Seconds are those of the
whole command but for reading the sounds, of the clock and of the processors, which say more on a busy machine. The
first setting is what was the default before silence counted as inaudible.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import numpy as np

from experiments.common import commands, foreign_sounds, measures, real_sounds
from experiments.common.trained import TINY_STEPS, shrink
from experiments.quality.run import audible_db
from vaelab import data, training
from vaelab.audio import synth
from vaelab.config import AudioConfig, Config
from vaelab.datasets import unpacking
from vaelab.models.evaluate import Sounds

COMMAND = "python -m experiments.quality.small_folders"
SIZE, MOST_JUDGED, LONGEST_S = 300, 150, 10.0
TINY_SIZE = 12
COLUMNS = ("setting", "collection", "seconds", "processor s", "steps", "start dB", "end dB")

SETTINGS: dict[str, dict[str, Any]] = {
    "of before: 64 latents, laplace, loss": {
        "model": {"latent_dim": 64, "likelihood": "laplace"},
        "train": {"follow": "loss", "variants": 0},
    },
    "64 latents": {"model": {"latent_dim": 64}},
    "128 latents": {"model": {"latent_dim": 128}},
    "128 latents, trained on variants": {"model": {"latent_dim": 128}, "train": {"vary": 0.75}},
    "256 latents": {"model": {"latent_dim": 256}},
}


def collections(scratch: Path, tiny: bool) -> dict[str, list[Path]]:
    """Sounds by collection; the sound font is unpacked below `scratch`.

    Raises:
        MissingSounds: A collection is not installed.
    """
    if tiny:
        return {"built-in": sorted(synth.write_dataset(scratch / "built_in", 3, progress=False).rglob("*.wav"))}
    real_sounds.installed((real_sounds.FLUID,))
    unpacking.unpack(real_sounds.FLUID, scratch / "font", progress=False)
    folders = {
        "drum kits": real_sounds.HYDROGEN_KITS,
        "instruments": sorted(place for place in (scratch / "font").iterdir() if place.is_dir()),
    }
    return {name: list(measures.one_shots(roots, LONGEST_S)) for name, roots in folders.items()}


def parted(paths: Sequence[Path], size: int) -> tuple[list[Path], list[Path]]:
    """So many sounds to train on, and others to judge by, drawn at random."""
    order = np.random.default_rng(0).permutation(len(paths))
    judged = order[size : size + MOST_JUDGED]
    return [paths[i] for i in order[:size]], [paths[i] for i in judged]


def linked(paths: Sequence[Path], folder: Path) -> Path:
    """A folder of links to these files."""
    folder.mkdir(parents=True)
    for number, path in enumerate(paths):
        (folder / f"{number:04d}{path.suffix}").symlink_to(path)
    return folder


def unlabelled(paths: list[Path], config: AudioConfig) -> Sounds:
    """Sounds without classes."""
    features = foreign_sounds.gather(paths, lambda _: None, config).features
    labels = np.full(len(features), -1, np.int32)
    return Sounds(features, labels, labels.astype(np.float32))


def trained(settings: Config, folder: Path, judged: Sounds, steps: int | None) -> list[float]:
    """Seconds, those of the processors, steps, and the errors at the start and the end, of training on a folder."""
    with TemporaryDirectory() as scratch:
        home, logdir = Path(scratch) / "datasets", Path(scratch) / "model"
        dataset = data.make_dataset([folder], "sounds", home=home, progress=False)
        sides = real_sounds.sides(dataset, home, settings.audio)  # reads the sounds: not timed
        evaluated = []
        start, busy = time.perf_counter(), time.process_time()
        model = training.train(
            logdir,
            "sounds",
            settings,
            num_steps=steps,
            home=home,
            on_evaluation=evaluated.append,
            progress=False,
            raise_if_stopped=True,
        )
        spent = time.perf_counter() - start, time.process_time() - busy
        begun = training.start(sides[0], settings, Path(scratch) / "start", jax.random.key(0))
    return [*spent, evaluated[-1].step, audible_db(begun, judged), audible_db(model, judged)]


def measure(tiny: bool) -> list[list[Any]]:
    """Rows of the table."""
    size, rows = TINY_SIZE if tiny else SIZE, []
    with TemporaryDirectory() as scratch:
        for collection, paths in collections(Path(scratch), tiny).items():
            learnt, others = parted(paths, size)
            folder = linked(learnt, Path(scratch) / "links" / collection.replace(" ", "_"))
            judged = unlabelled(others, shrink(Config()).audio if tiny else Config().audio)
            for name, overrides in list(SETTINGS.items())[: 2 if tiny else None]:
                settings = Config.from_dict(overrides)
                settings = shrink(settings) if tiny else settings
                rows.append([name, collection, *trained(settings, folder, judged, TINY_STEPS if tiny else None)])
                print(*rows[-1], flush=True)
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, judge, print, keep the table."""
    options = commands.parser(COMMAND, __doc__).parse_args(arguments)
    rows = measure(options.tiny)
    note = (
        f"{SIZE} sounds of each collection, a tenth of which end the training; errors in dB where audible, of up to "
        f"{MOST_JUDGED} other sounds of the collection, at the start (components, no training) and at the end"
    )
    measures.report(None if options.tiny else "small_folders", COMMAND, COLUMNS, rows, note)


if __name__ == "__main__":
    main()
