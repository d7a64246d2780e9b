"""Shared by the notebooks: sounds, a dataset and a model in the working folder, made when they are missing.

Each notebook opens on its own: it asks here for what an earlier one would have made. Environment:

    VAELAB_SOUNDS   a folder of sounds to use instead of the built-in ones
    VAELAB_TAPE     a recording, or a video with vaelab[video], to use instead of the built-in tape
    VAELAB_FAST=1   short runs of a small model, for tests

Each choice of these has a name, under which its dataset (`datasets/NAME`) and its model (`models/NAME`)
are kept, so that none is taken for another's.
"""

import json
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import jax
import numpy as np

from vaelab import audio, data, spectral, training
from vaelab.audio import Sound, synth
from vaelab.audio import built_in_tape as tapes
from vaelab.config import AudioConfig, Config, ModelConfig, TrainConfig
from vaelab.datasets.feature_store import FeatureStore
from vaelab.model import Model
from vaelab.models import devices, evaluate
from vaelab.play import SoundSampleTool
from vaelab.spectral import AUDIBLE, LEVELS
from vaelab.text import printable

BUILT_IN = Path("sounds")
MODELS = Path("models")
GENERATED = Path("generated")
CLONE = Path("vaelab-source")


def fast() -> bool:
    """True if runs are to be short (`VAELAB_FAST`)."""
    return os.environ.get("VAELAB_FAST", "") not in ("", "0")


def name() -> str:
    """The name of this choice of sounds and speed, as dataset and model bear it."""
    short = "_fast" if fast() else ""
    folder = os.environ.get("VAELAB_SOUNDS")
    return (_named(folder) if folder else "built_in") + short


def _named(path: str) -> str:
    """A name for a path: readable, and its own."""
    whole = Path(path).resolve()
    readable = re.sub(r"\W+", "_", whole.name, flags=re.ASCII).strip("_")[:40] or "sounds"
    return f"{readable}_{zlib.crc32(os.fsencode(whole)):08x}"


def logdir() -> Path:
    """The folder of the model that notebook 02 trains."""
    return MODELS / name()


def tape() -> Path:
    """The tape, absolute: VAELAB_TAPE, or a built-in performance written to `sounds/`."""
    if path := os.environ.get("VAELAB_TAPE"):
        if not Path(path).is_file():
            raise audio.AudioError(path, "VAELAB_TAPE: expected a recording, found none")
        return Path(path).resolve()
    path = BUILT_IN.resolve() / ("tape_fast.wav" if fast() else "tape.wav")
    if not path.exists():
        performance = tapes.perform(40 if fast() else 240, seed=1987, sample_rate=config().audio.sample_rate)
        audio.write(path, performance.samples, performance.sample_rate)
    return path


def tape_name() -> str:
    """The name that the tape's dataset and model bear."""
    path = os.environ.get("VAELAB_TAPE")
    return ("tape_" + _named(path) if path else "tape") + ("_fast" if fast() else "")


def tape_folder() -> Path:
    """The folder of the tape's segments."""
    return data.HOME / tape_name() / "segments" / tape().stem


def sounds() -> Path:
    """The folder of sounds, absolute: VAELAB_SOUNDS, or built-in ones written to `sounds/`, one folder a class."""
    if folder := os.environ.get("VAELAB_SOUNDS"):
        if not Path(folder).is_dir():
            raise data.DatasetError(f"VAELAB_SOUNDS: expected a folder of sounds, found none at {folder}")
        return Path(folder).resolve()
    root = BUILT_IN.resolve() / name()
    if not (root / "parameters.json").exists():
        synth.write_dataset(root, per_class=8 if fast() else 100, sample_rate=config().audio.sample_rate)
    return root


def in_classes() -> bool:
    """True if some sounds lie in folders below that of all sounds: their classes."""
    return any(label(path) is not None for path in data.sound_files(sounds()))


def config() -> Config:
    """The notebooks' knobs: the defaults, or a small model when runs are to be short."""
    if fast():
        return Config(
            AudioConfig(sample_rate=16000, clip_seconds=1.0, n_fft=1024, hop_length=256, n_mels=64),
            ModelConfig(latent_dim=16, components=64, depth=1, hidden=64, flow_steps=1, flow_hidden=32),
            TrainConfig(warmup_steps=10, evaluate_every=20),
        )
    return Config()


def num_steps() -> int:
    """Steps after which the notebooks stop training at the latest."""
    return 60 if fast() else 4000


def dataset() -> data.Dataset:
    """The dataset that notebook 01 makes."""
    if (data.HOME / name() / "manifest.json").exists():
        return data.load_dataset(name())
    return data.make_dataset([sounds()], name(), classes=in_classes())


def tool(library: bool = False) -> SoundSampleTool:
    """The model that notebook 02 trains; with `library`, all sounds are embedded for search.

    What JAX compiles from here on is kept for later kernels.
    """
    devices.cache_where_possible()
    if not (logdir() / "best.safetensors").exists():
        dataset()
        training.train(logdir(), name(), config(), num_steps=num_steps())
    return SoundSampleTool(logdir(), library_dir=sounds() if library else None)


def history(folder: Path | None = None) -> list[dict[str, float]]:
    """The metrics of every evaluation so far of the model, or of one in another folder, oldest first."""
    path = (folder or logdir()) / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()] if path.exists() else []


def examples(count: int = 10, side: str | None = None) -> list[Path]:
    """Files that show what a dataset, or a side of it, holds: one of each class in turn, `count` at most."""
    shown = dataset()
    entries = shown.entries if side is None else shown.side(side)
    turns: dict[str | None, list[data.Entry]] = {}
    for entry in entries:
        turns.setdefault(entry.label, []).append(entry)
    groups = [spread_out(turns[label], count) for label in sorted(turns, key=lambda label: (label is None, label))]
    if len(groups) > count:
        groups = spread_out(groups, count)
    in_turn = (group[turn] for turn in range(count) for group in groups if turn < len(group))
    return [shown.source(entry) for entry, _ in zip(in_turn, range(count), strict=False)]


def spread_out(items: Sequence, count: int) -> list:
    """At most `count` items, evenly spaced from the first to the last."""
    return [items[index] for index in spectral.evenly_spaced(len(items), count)]


def label(path: Path) -> str | None:
    """The class of a sound below `sounds()`: the first folder on the way to it, or None."""
    parts = path.relative_to(sounds()).parts
    return parts[0] if len(parts) > 1 else None


def sounds_at_rate(paths: Iterable[Path], config: AudioConfig) -> list[Sound]:
    """Sounds at the model's sample rate: mono, padded or cut to one clip."""
    read = [audio.read_clip(path, config.sample_rate, None, config.clip_seconds) for path in paths]
    return [Sound(spectral.fit_length(samples, config), config.sample_rate) for _, samples in read]


def features(sounds: Sequence[Sound], config: AudioConfig) -> np.ndarray:
    """Mel features of sounds (n, frames, mels) in [0, 1]."""
    clips = np.stack([spectral.fit_length(sound.mono, config) for sound in sounds])
    return np.asarray(spectral.mel(clips, config)[0])


def judge(trained: SoundSampleTool) -> tuple[dict[str, float], np.ndarray]:
    """Metrics and the confusion matrix of a model on the held-out sounds; see `evaluate.evaluate`.

    Classes of the dataset that the model does not know do not count, and are named.
    """
    names = trained.class_names
    if unknown := [printable(name) for name in dataset().class_names if names and name not in names]:
        print(f"unknown to {trained.path}, and not counted: {', '.join(unknown)}; train in a new folder to learn them")
    return evaluate.evaluate(trained.model, _side("validation", trained.model), config().train, jax.random.key(0))


def average_error(trained: SoundSampleTool) -> float:
    """Held-out error, in dB where sounds are audible, of answering every sound with the average training sound."""
    average = _side("train", trained.model).features.mean(axis=0)
    sounds = _side("validation", trained.model).features
    loud = sounds > AUDIBLE * LEVELS
    distances = (np.abs(sounds - average) * loud).sum(axis=(1, 2)) / np.maximum(loud.sum(axis=(1, 2)), 1)
    return float(distances.mean() / LEVELS * trained.model.audio.top_db)


def checkout() -> Path:
    """The folder of the project's repository, put first among the places to import from.

    The wheel holds `vaelab` alone. What was measured, and how, is `experiments/` in the repository: where vaelab was
    installed from, above the working folder, or where VAELAB_SOURCE says: a folder, or a git URL, which is cloned.

    Raises:
        FileNotFoundError: None of these is one.
    """
    source = os.environ.get("VAELAB_SOURCE", "")
    places = [Path(__file__).parents[1], *Path.cwd().parents, Path.cwd(), Path(source), CLONE]
    if not any(map(_has_experiments, places)) and "://" in source:
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", source.removeprefix("git+"), CLONE], check=True)
    for place in filter(_has_experiments, places):
        if str(place.resolve()) not in sys.path:
            sys.path.insert(0, str(place.resolve()))
        return place.resolve()
    raise FileNotFoundError(
        "expected the repository's experiments/, which no wheel holds, found none; open this notebook in a checkout, "
        "or set VAELAB_SOURCE to one or to its git URL"
    )


def _has_experiments(folder: Path) -> bool:
    return (folder / "experiments" / "results").is_dir()


def _side(side: str, model: Model) -> evaluate.Sounds:
    whole, store = dataset(), FeatureStore(data.HOME / ".store", model.audio)
    store.build({entry.sha256: whole.source(entry) for entry in whole.side(side)})
    return training.gather(whole, side, store, model.config)
