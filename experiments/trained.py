"""A trained model for measurements: one that is there, or one trained for the occasion on built-in sounds."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from experiments import real_sounds
from vaelab import SoundSampleTool, data, synth, train

SEED_OF_TRAINING, SEED_HELD_OUT = 0, 7  # built-in sounds of different seeds are different sounds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of measurements that need a model."""
    parser.add_argument("--model", metavar="LOGDIR", help="of `vaelab train` (default: train one on built-in sounds)")
    parser.add_argument("--num-steps", type=int, default=2000, help="of the training (default 2000)")
    parser.add_argument("--per-class", type=int, default=90, help="built-in sounds of each kind (default 90)")


@contextmanager
def opened(options: argparse.Namespace) -> Iterator[tuple[SoundSampleTool, str]]:
    """A tool, and in words what its model is."""
    if options.model:
        yield SoundSampleTool(options.model), f"the model {Path(options.model).name}"
        return
    with TemporaryDirectory() as scratch:
        home, logdir = Path(scratch) / "datasets", Path(scratch) / "model"
        sounds = synth.write_dataset(Path(scratch) / "sounds", options.per_class, SEED_OF_TRAINING, progress=False)
        data.make_dataset([sounds], "built_in", classes=True, home=home, progress=False)
        train.train(logdir, "built_in", num_steps=options.num_steps, home=home)
        yield SoundSampleTool(logdir), f"trained for {options.num_steps} steps on {options.per_class} sounds of a kind"


@contextmanager
def on_real_sounds() -> Iterator[tuple[SoundSampleTool, data.Dataset]]:
    """A tool whose model was trained on the real sounds until it ended, whole packs held out; and its dataset."""
    with TemporaryDirectory() as scratch:
        home, logdir = Path(scratch) / "datasets", Path(scratch) / "model"
        dataset = real_sounds.dataset(home)
        train.train(logdir, dataset.name, home=home)
        yield SoundSampleTool(logdir, home=home), dataset
