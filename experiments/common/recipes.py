"""Recipes of the shipped models: sounds, split, labels and settings.

A new shipped model is one entry of `RECIPES`; `python -m experiments.release.pretrain NAME` makes it.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from experiments.common.real_sounds import (
    CLASSES,
    FLUID_HELD_OUT,
    GENERAL,
    HELD_OUT,
    HYDROGEN_KITS,
    VOICES_HELD_OUT,
    installed,
)
from vaelab import audio, data, slicing
from vaelab.audio import built_in_tape, synth
from vaelab.config import Config, ModelConfig, TrainConfig
from vaelab.datasets import cutting, manifest

BUILT_IN = ("built_in", "built_in_held_out")  # of different seeds: different sounds
SEEDS = (0, 7)
INDUSTRIAL = ("metal", "drone", "noise_burst", "machine")
TAPE_SECONDS = (4.0, 0.8)  # of tape for each built-in sound of a kind


@dataclass(frozen=True)
class Recipe:
    """Recipe of a shipped model.

    Attributes:
        about: It, in a sentence.
        use: What for.
        limits: What it cannot do.
        split: Which sounds are held out.
        sounds: Whose licences the card lists, of `cards.LICENCES`.
        gather: Makes its dataset of a name below a home.
        config: Knobs.
        size: Built-in sounds of each kind.
        results: Names of results in `results/` whose tables the card quotes.
    """

    about: str
    use: str
    limits: str
    split: str
    sounds: Sequence[str]
    gather: Callable[[str, Path, int], data.Dataset]
    config: Config = field(default_factory=Config)
    size: int = 30
    results: Sequence[str] = ()


def built_in(folder: Path, per_class: int, kinds: Sequence[str] | None = None) -> Path:
    """Built-in sounds to train on, and others to hold out, in folders of these names."""
    for name, seed, count in zip(BUILT_IN, SEEDS, (per_class, max(1, per_class // 5)), strict=True):
        synth.write_dataset(folder / name, count, seed=seed, kinds=kinds, progress=False)
    return folder


def _general(name: str, home: Path, size: int) -> data.Dataset:
    roots = [*installed(GENERAL), built_in(home / "sounds", size)]
    held_out = (*HELD_OUT, *FLUID_HELD_OUT, *VOICES_HELD_OUT, BUILT_IN[1])
    return data.make_dataset(roots, name, hold_out=held_out, home=home, progress=False)


def _drum_classes(name: str, home: Path, size: int) -> data.Dataset:
    whole_set = data.make_dataset(
        installed(HYDROGEN_KITS), name, labels="hydrogen-instrument", home=home, progress=False
    )
    entries = [
        dataclasses.replace(entry, label=entry.label if entry.label in CLASSES else None) for entry in whole_set.entries
    ]
    dataset = dataclasses.replace(whole_set, entries=tuple(entries))
    manifest.write(dataset, home)
    return dataset


def _drum_kits(name: str, home: Path, size: int) -> data.Dataset:
    return data.make_dataset(installed(HYDROGEN_KITS), name, labels="hydrogen-kit", home=home, progress=False)


def _industrial(name: str, home: Path, size: int) -> data.Dataset:
    roots = [built_in(home / "sounds", size, INDUSTRIAL)]
    for side, seed, seconds in zip(BUILT_IN, SEEDS, TAPE_SECONDS, strict=True):
        performance = built_in_tape.perform(seconds * size, seed, kinds=INDUSTRIAL)
        path = home / f"{side}_tape.wav"
        audio.write(path, performance.samples, performance.sample_rate, overwrite=True)
        folder = roots[0] / side / "tape"
        cutting.cut_tape(path, folder, slicing.PRESETS["one_shots"], metadata={"title": "built-in tape"})
    return data.make_dataset(roots, name, hold_out=(BUILT_IN[1],), home=home, progress=False)


DRUMS = Config(model=ModelConfig(latent_dim=64, components=96, hidden=256, flow_steps=2, flow_hidden=128))

RECIPES = {
    "general": Recipe(
        about="All kinds of short sounds: drum kits, instruments, ambiences, spoken words, built-in industrial sounds.",
        use="Making random sounds, mixing your own files, mapping a folder and searching it for similar sounds.",
        limits="Voices come back less exactly than drums and instruments, and longer sounds by their first 2 s only.",
        split="The packs BJA_Pacific, ElectricEmpireKit, Audiophob and VariBreaks, 15 instruments of the sound font, "
        "Russian words, and other built-in sounds.",
        sounds=("hydrogen", "sonic_pi", "fluid", "ktuberling", "built_in"),
        gather=_general,
        config=Config(
            model=ModelConfig(latent_dim=768, components=768),
            train=TrainConfig(learning_rate=1e-4, vary=0.75, component_rows=8192),
        ),
        results=("heard", "prior"),
    ),
    "drum_classes": Recipe(
        about="Drums, with a classifier of ten classes: " + ", ".join(CLASSES) + ".",
        use="Sorting one-shots into folders, and playing with drums alone.",
        limits="It was trained on 14 kits. Of drums of other makers it classifies seven of ten rightly; it confuses "
        "kicks with low toms, and often errs on rim shots, rides and crashes. "
        "`how_known` calls every fifth of them unknown.",
        split="A tenth of each class, drawn by content. The last tables are of other kits and makers.",
        sounds=("hydrogen",),
        gather=_drum_classes,
        config=DRUMS,
        results=("classes", "honesty_foreign"),
    ),
    "drum_kits": Recipe(
        about="Drums, with a classifier of the kit that a sound comes from.",
        use="An example of many classes with few sounds each, as `model_drum_machines` is in SampleVAE: that name "
        "opens it, too.",
        limits="It knows kits, and no classic drum machine: of one, it names the kit that sounds most like it. It "
        "mostly fails to recognise a kit by an instrument that it was not trained on: see `by instrument`.",
        split="A tenth of each kit, drawn by content.",
        sounds=("hydrogen",),
        gather=_drum_kits,
        config=DRUMS,
        results=("classify_kits",),
    ),
    "industrial": Recipe(
        about="Built-in metal, noise, drones and machines, and segments that the slicer cut from a tape of them.",
        use="Making industrial sounds without sound files of your own; all its training sounds are free of rights.",
        limits="Its training sounds are synthetic; `how_known` calls real machines at the edge or unknown.",
        split="Built-in sounds and a tape of another seed.",
        sounds=("built_in",),
        gather=_industrial,
        config=Config(model=ModelConfig(latent_dim=64, components=128)),
        size=150,
    ),
}
