"""A trained model for measurements: one that is there, or one trained for the occasion on built-in sounds."""

import argparse
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from experiments.common import real_sounds
from vaelab import SoundSampleTool, data, training
from vaelab.audio import synth
from vaelab.config import Config, ModelConfig

# Of the models that tables are of: until these are measured anew, with the latents that were the default then.
MEASURED = Config(model=ModelConfig(latent_dim=64))
TINY_STEPS, TINY_PER_CLASS, TINY_EVALUATE_EVERY = 4, 6, 2
SEED_OF_TRAINING, SEED_HELD_OUT = 0, 7  # built-in sounds of different seeds are different sounds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of measurements that need a model."""
    parser.add_argument("--model", metavar="LOGDIR", help="of `vaelab train` (default: train one on built-in sounds)")
    parser.add_argument("--num-steps", type=int, default=2000, help="of the training (default 2000)")
    parser.add_argument("--per-class", type=int, default=90, help="built-in sounds of each kind (default 90)")


def shrink(config: Config) -> Config:
    """The same kind of model, small and on short clips."""
    audio = dataclasses.replace(config.audio, clip_seconds=0.25, n_mels=24)
    small = {"latent_dim": 4, "hidden": 8, "flow_hidden": 6, "components": 6, "width": 4}
    sizes = {name: min(getattr(config.model, name), size) for name, size in small.items()}
    training = dataclasses.replace(config.train, batch_size=4, evaluate_every=TINY_EVALUATE_EVERY)
    return Config(audio, dataclasses.replace(config.model, **sizes), training)


@contextmanager
def opened(options: argparse.Namespace) -> Iterator[tuple[SoundSampleTool, str]]:
    """A tool, and in words what its model is."""
    if options.model:
        yield SoundSampleTool(options.model), f"the model {Path(options.model).name}"
        return
    if options.tiny:
        options.num_steps, options.per_class = TINY_STEPS, TINY_PER_CLASS
    with TemporaryDirectory() as scratch:
        home, logdir = Path(scratch) / "datasets", Path(scratch) / "model"
        sounds = synth.write_dataset(Path(scratch) / "sounds", options.per_class, seed=SEED_OF_TRAINING, progress=False)
        data.make_dataset([sounds], "built_in", classes=True, home=home, progress=False)
        config = shrink(MEASURED) if options.tiny else MEASURED
        training.train(logdir, "built_in", config, num_steps=options.num_steps, home=home, raise_if_stopped=True)
        yield SoundSampleTool(logdir), f"trained for {options.num_steps} steps on {options.per_class} sounds of a kind"


@contextmanager
def on_real_sounds(tiny: bool = False) -> Iterator[tuple[SoundSampleTool, data.Dataset]]:
    """A tool whose model was trained on the real sounds until it ended, whole packs held out; and its dataset."""
    with TemporaryDirectory() as scratch:
        home, logdir = Path(scratch) / "datasets", Path(scratch) / "model"
        dataset = real_sounds.built_in(home) if tiny else real_sounds.dataset(home)
        short = {"config": shrink(MEASURED), "num_steps": TINY_STEPS} if tiny else {"config": MEASURED}
        training.train(logdir, dataset.name, home=home, raise_if_stopped=True, **short)
        yield SoundSampleTool(logdir, home=home), dataset
