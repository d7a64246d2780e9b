"""Train what ships with the package: `python -m experiments.release.pretrain [NAME ...]`.

For each name of `experiments.common.recipes`: make its dataset, train until training ends by itself, store the best
weights in half precision, and measure that very file on the sounds held out. What is left is
`vaelab/pretrained/NAME.safetensors`, and `NAME.md`, its card.
"""

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.common import commands, real_sounds
from experiments.common.latents import describe
from experiments.common.recipes import RECIPES
from experiments.common.trained import shrink
from experiments.release import cards
from vaelab import files, training
from vaelab.config import TrainConfig
from vaelab.data import Dataset
from vaelab.models import checkpoint, evaluate, familiarity, pretrained
from vaelab.training import probe

COMMAND = "python -m experiments.release.pretrain"

TINY_SIZE = 10  # built-in sounds of each kind
TINY_STEPS = 4
SAME = 0.01  # of an embedding: sounds that differ in the last bits only, as rendered ones do between processors


def make(name: str, folder: Path, tiny: bool = False) -> Path:
    """Train a model of the table and write it with its card; returns its file."""
    recipe = RECIPES[name]
    config = shrink(recipe.config) if tiny else recipe.config
    with tempfile.TemporaryDirectory() as scratch:
        home, logdir = Path(scratch) / "datasets", Path(scratch) / name
        home.mkdir()
        dataset = recipe.gather(name, home, TINY_SIZE if tiny else recipe.size)
        start = time.perf_counter()
        training.train(logdir, name, config, num_steps=TINY_STEPS if tiny else None, home=home, raise_if_stopped=True)
        trained = {
            "seconds": time.perf_counter() - start,
            "device": jax.devices()[0].device_kind,
            "cores": os.cpu_count(),
        }
        halve(logdir / "best.safetensors", folder / f"{name}.safetensors", dataset, home, trained)
    write_card(folder / f"{name}.safetensors")
    return folder / f"{name}.safetensors"


def halve(source: Path, target: Path, dataset: Dataset, home: Path, trained: dict[str, Any]) -> None:
    """Store a model in half precision, with what those very weights remember, and what its card tells of them."""
    whole, meta = checkpoint.load_model(source)
    inherited = {name: meta[name] for name in ("metrics", "seed", "trained_on") if name in meta}
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint.save_model(Path(scratch) / target.name, whole, {}, half=True)
        model, _ = checkpoint.load_model(Path(scratch) / target.name)
    sides = real_sounds.sides(dataset, home, model.audio, model.config)
    metrics, confusion = evaluate.evaluate(model, sides[1], TrainConfig(), jax.random.key(0))
    facts = {
        **trained,
        "step": meta["metrics"]["step"],
        "sounds": [len(side.features) for side in sides],
        "data": real_sounds.fingerprint(dataset),
        "metrics": metrics,
        "confusion": {name: confusion.tolist() for name, _ in model.config.labels},
        "latents": describe(model, sides[1]),
    }
    remembered = familiarity.measure(model, *sides, probe.fit(model, sides[0].features))._asdict()
    checkpoint.save_model(target, model, {**inherited, "card": facts}, remembered, half=True)


def remeasure(name: str, folder: Path, tiny: bool = False) -> Path:
    """Measure anew what a model of the table remembers of its sounds; its weights stay as they are, to the byte.

    Raises:
        ValueError: The sounds are others than those that it was made from.
    """
    recipe, path = RECIPES[name], folder / f"{name}.safetensors"
    model, meta = checkpoint.load_model(path)
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        dataset = recipe.gather(name, home, TINY_SIZE if tiny else recipe.size)
        sides = real_sounds.sides(dataset, home, model.audio, model.config)
    before = meta[checkpoint.REFERENCE]
    remembered = familiarity.measure(model, *sides, before.get("probe"))._asdict()
    _check_same(path, before["embeddings"], remembered["embeddings"])
    tensors, header = checkpoint.load(path)
    weights, _ = checkpoint.split(tensors)
    own = ("versions", "format", "sha256")
    inherited = {key: value for key, value in header.items() if key not in own}
    checkpoint.save(path, {**weights, checkpoint.REFERENCE: remembered}, inherited)
    return path


def _check_same(path: Path, before: np.ndarray, now: np.ndarray) -> None:
    if before.shape != now.shape or np.abs(before.astype(np.float32) - now.astype(np.float32)).max() > SAME:
        raise ValueError(
            f"{path}: expected the {len(before)} sounds that it was made from, found {len(now)} of which some are "
            "others; make the model again"
        )


def write_card(model: Path) -> None:
    """Write the card of a model's file beside it."""
    files.write_text(model.with_suffix(".md"), cards.card(model), "utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the models named, or all."""
    parser = commands.parser(COMMAND, __doc__, "a few steps of small models, into a folder that is removed")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RECIPES)} (default: all)")
    parser.add_argument(
        "--out", type=Path, default=pretrained.FOLDER, metavar="DIR", help="where to (default: the package)"
    )
    parser.add_argument("--measure", action="store_true", help="measure what the models that are there remember, anew")
    parser.add_argument("--cards", action="store_true", help="write the cards anew, from the files and the results")
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.names) - set(RECIPES)):
        parser.error(f"expected names of {', '.join(RECIPES)}, found {', '.join(unknown)}")
    if options.cards:
        for name in options.names or RECIPES:
            write_card(options.out / f"{name}.safetensors")
        return
    if options.measure:
        for name in options.names or RECIPES:
            print(f"measured {remeasure(name, options.out)}", flush=True)
        return
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.names or RECIPES:
            path = make(name, Path(scratch) if options.tiny else options.out, options.tiny)
            print(f"{path}: {path.stat().st_size / 1e6:.1f} MB", flush=True)


if __name__ == "__main__":
    main()
