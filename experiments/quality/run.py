"""Train what a question asks for, and keep what came out: `python -m experiments.quality.run QUESTION`.

A question is a file `configs/QUESTION.json`: what is asked, a preset of the front end, and runs, each with overrides
of the knobs (`vaelab.config`), a number of steps, and seeds. Each run goes through `vaelab.training.fit`, as a user's
does; its wall-clock is all that a user waits for: start, steps, evaluations and files. The outcome is
`results/QUESTION.json`, one record a run and seed, with the whole config, versions and a hash of the data.
"""

import dataclasses
import json
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.common import commands, posteriors, real_sounds, samplevae_2d
from experiments.common.latents import describe
from experiments.common.results import CONFIGS, RESULTS, write
from experiments.common.trained import TINY_EVALUATE_EVERY, shrink
from vaelab import model as models
from vaelab import training
from vaelab.config import AudioConfig, Config
from vaelab.models import checkpoint
from vaelab.models.evaluate import Sounds
from vaelab.spectral import AUDIBLE, dequantise, map_stored
from vaelab.training import Evaluation

COMMAND = "python -m experiments.quality.run"

PRESETS = {"default": AudioConfig(), "samplevae": AudioConfig.samplevae()}
MAKERS = {"vaelab": models.create, "samplevae_2d": samplevae_2d.create, **posteriors.MAKERS}
# No run of a table ends before its number of steps: a plateau lowers the rate, but never to the end.
ENDLESS = {"stop_rate": 1e-9}
FIGURES = ("loss", "recon", "kl", "bits_per_dim", "error_db", "audible_db")


def questions() -> list[str]:
    """The names of all questions."""
    return sorted(path.stem for path in CONFIGS.glob("*.json"))


def read(question: str) -> dict[str, Any]:
    """A question's file."""
    return json.loads((CONFIGS / f"{question}.json").read_text(encoding="utf-8"))


def config_of(asked: dict[str, Any], run: dict[str, Any]) -> Config:
    """The knobs of one run: preset, what all runs share, the run's own."""
    shared, own = asked.get("config", {}), run.get("config", {})
    parts = {part: {**shared.get(part, {}), **own.get(part, {})} for part in ("model", "train")}
    parts["train"] = {**ENDLESS, **parts["train"]}
    audio = dataclasses.replace(PRESETS[asked["preset"]], **run.get("audio", {}))
    return dataclasses.replace(Config.from_dict(parts), audio=audio)


def learn(
    run: dict[str, Any], config: Config, sides: tuple[Sounds, Sounds], seed: int, steps: int, progress: bool
) -> dict[str, Any]:
    """Train once; the record of it."""
    curve = []
    start = time.perf_counter()

    def note(seen: Evaluation) -> None:
        metrics = {name: seen.metrics[name] for name in FIGURES}
        curve.append({"step": seen.step, "seconds": round(time.perf_counter() - start, 2), **metrics})

    with tempfile.TemporaryDirectory() as logdir:
        create = MAKERS[run.get("maker", "vaelab")]
        model = training.fit(
            *sides,
            config,
            logdir,
            seed=seed,
            num_steps=steps,
            on_evaluation=note,
            progress=progress,
            create=create,
            raise_if_stopped=True,
        )
        begun = training.start(sides[0], config, Path(logdir), jax.random.key(seed), create)
    best = min(curve, key=lambda seen: seen[config.train.follow])
    return {
        "run": run["name"],
        "seed": seed,
        "steps": curve[-1]["step"],
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(models.trainable(model.params)[0])),
        "best": best,
        "audible_db": {"start": audible_db(begun, sides[1]), "best": audible_db(model, sides[1])},
        "seconds": curve[-1]["seconds"],
        "latents": describe(model, sides[1]),
        "shape": posteriors.shape(model, sides[1], jax.random.key(seed)),
        "curve": curve,
        "config": config.to_dict(),
    }


def audible_db(model: models.Model, sounds: Sounds) -> float:
    """Mean error of reconstructions (at eps = 0) where sounds are audible, mean of the sounds, dB."""

    def error(levels: np.ndarray) -> jax.Array:
        features = dequantise(levels)
        away = np.abs(np.asarray(model.decode(model.encode(features))) - features)
        return away.mean(axis=(1, 2), where=features > AUDIBLE)

    return float(map_stored(error, sounds.features).mean() * model.audio.top_db)


def answer(question: str, only: Sequence[str] = (), tiny: bool = False, progress: bool = True) -> dict[str, Any]:
    """Run a question's runs.

    Args:
        question: Its name.
        only: Names of runs; none is all.
        tiny: A few steps on a few built-in sounds, to see that all of it works.
        progress: Show bars.
    """
    asked = read(question)
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        dataset = real_sounds.built_in(home) if tiny else real_sounds.dataset(home)
        records = []
        for run in asked["runs"]:
            if only and run["name"] not in only:
                continue
            config = config_of(asked, run)
            if tiny:
                config = shrink(config)
            sides = real_sounds.sides(dataset, home, config.audio)
            seeds = [0] if tiny else run.get("seeds", asked.get("seeds", [0]))
            for seed in seeds:
                steps = TINY_EVALUATE_EVERY if tiny else run.get("steps", asked.get("steps"))
                records.append(learn(run, config, sides, seed, steps, progress))
                print(summary(records[-1]), flush=True)
    return {
        "question": question,
        "asks": asked["asks"],
        "command": f"{COMMAND} {question}",
        "data": {
            "hash": real_sounds.fingerprint(dataset),
            "train": len(sides[0].features),
            "held_out": len(sides[1].features),
        },
        "versions": checkpoint.versions(),
        "machine": {
            "cores": os.cpu_count(),
            "device": jax.devices()[0].device_kind,
            "python": platform.python_version(),
        },
        "records": records,
    }


def summary(record: dict[str, Any]) -> str:
    """A record in a line."""
    best, audible = record["best"], record["audible_db"]
    return (
        f"{record['run']:28s} seed {record['seed']}  step {best['step']:5d} of {record['steps']}  "
        f"{record['seconds']:7.1f} s  loss {best['loss']:9.1f} = {best['recon']:9.1f} + {best['kl']:5.1f}  "
        f"{best['error_db']:.2f} dB, audible {audible['start']:.2f} to {audible['best']:.2f} dB"
    )


def keep(outcome: dict[str, Any], only: Sequence[str]) -> Path:
    """Write an outcome; runs that were not asked for this time stay as they were."""
    path = RESULTS / f"{outcome['question']}.json"
    if only and path.exists():
        fresh = {record["run"] for record in outcome["records"]}
        before = json.loads(path.read_text(encoding="utf-8"))
        if before["data"] != outcome["data"]:
            raise SystemExit(f"{path}: holds runs on other data; run the whole question")
        earlier = [record for record in before["records"] if record["run"] not in fresh]
        outcome["records"] = earlier + outcome["records"]
    return write(outcome["question"], outcome)


def main(arguments: Sequence[str] | None = None) -> None:
    """Answer one question."""
    parser = commands.parser(COMMAND, __doc__, "a few steps on built-in sounds")
    parser.add_argument("question", choices=questions())
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="RUN", help="these runs; the others keep their results"
    )
    options = parser.parse_args(arguments)
    outcome = answer(options.question, options.only, options.tiny)
    if not options.tiny:
        print(f"wrote {keep(outcome, options.only)}")


if __name__ == "__main__":
    main()
