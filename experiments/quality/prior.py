"""Quality of generated sounds: `python -m experiments.quality.prior`.

Sounds made by the shipped model `general` are compared with real sounds that it never met, as many as these, in the
first eight principal components of its training sounds' features:

    Frechet distance    |m1 - m2|^2 + trace(C1 + C2 - 2 (C1 C2)^(1/2))      means m, covariances C
    coverage            share of real sounds with a made one as near as their fifth real neighbour

each as mean and 95 % interval over draws. Training sounds in place of made ones are the floor: real against real.
Beside them stands how new the sounds are to the model: a set of copies has the best distance.

Sources: Heusel et al. 2017, https://arxiv.org/abs/1706.08500; Naeem et al. 2020, "Reliable fidelity and diversity
metrics for generative models", https://arxiv.org/abs/2002.09797.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import scipy
from scipy.spatial.distance import cdist

from experiments.common import commands, measures, real_sounds, trained
from experiments.common.latents import describe, draws
from experiments.common.recipes import RECIPES
from vaelab import SoundSampleTool, pca
from vaelab.data import Dataset
from vaelab.model import Model
from vaelab.models import familiarity
from vaelab.models.evaluate import Sounds
from vaelab.models.familiarity import Reference
from vaelab.play import prior
from vaelab.spectral import dequantise

COMMAND = "python -m experiments.quality.prior"

AXES, NEIGHBOUR, REPEATS, TINY_REPEATS = 8, 5, 50, 3
VARIANCE = 0.25
VERDICTS = ("a copy", "a relative", "new")
COLUMNS = ("sounds", "Frechet distance", "95 %", "of the floor", "coverage", "95 %", "of the floor", *VERDICTS)


def frechet(first: np.ndarray, other: np.ndarray) -> float:
    """Frechet distance of Gaussians fitted to two sets of points (n, axes)."""
    covariances = [np.cov(points.T) for points in (first, other)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    apart = ((first.mean(axis=0) - other.mean(axis=0)) ** 2).sum()
    return float(apart + np.trace(covariances[0] + covariances[1] - 2 * root))


def coverage(real: np.ndarray, generated: np.ndarray) -> float:
    """Share of real points (n, axes) that have a made one within the distance of their fifth real neighbour."""
    radius = np.sort(cdist(real, real), axis=1)[:, min(NEIGHBOUR, len(real) - 1)]
    return float((cdist(real, generated).min(axis=1) <= radius).mean())


def decoded(model: Model, z: np.ndarray) -> np.ndarray:
    """Features (n, frames * mels) of latents (n, latent)."""
    parts = [np.asarray(model.decode(z[start : start + 64].astype(np.float32))) for start in range(0, len(z), 64)]
    return np.concatenate(parts).reshape(len(z), -1)


def ways(remembered: Reference, count: int) -> dict[str, Callable[[int], np.ndarray]]:
    """Ways to make sounds: from a seed to latents (count, latent)."""
    sounds = remembered.embeddings.astype(np.float32)

    def some(rng: np.random.Generator) -> np.ndarray:
        return sounds[rng.choice(len(sounds), count)]

    def mixed(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return (some(rng) + some(rng)) / 2

    def varied(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return some(rng) + np.sqrt(VARIANCE) * rng.standard_normal((count, sounds.shape[1]))

    ways: dict[str, Callable[[int], np.ndarray]] = {}
    for warmth in (1.0, 0.7, 1.3):
        ways[f"random, temperature {warmth:g}"] = lambda seed, t=warmth: prior.around(
            sounds, jax.random.key(seed), count, t
        )
    for warmth in (1.0, 0.8):
        ways[f"random of the normal prior, temperature {warmth:g}"] = lambda seed, t=warmth: prior.normal(
            sounds.shape[1], jax.random.key(seed), count, t
        )
    return {**ways, "mixes of two": mixed, f"one, with variance {VARIANCE:g}": varied}


def measure(model: Model, remembered: Reference, sides: tuple[Sounds, Sounds], repeats: int) -> list[list[Any]]:
    """Rows of the table."""
    training, held_out = (side.features for side in sides)
    axes = pca.fit(training, AXES, AXES, logits=False).axes.reshape(AXES, -1)
    count = len(held_out)

    def points(features: np.ndarray) -> np.ndarray:
        return features.reshape(len(features), -1) @ axes.T

    real = points(dequantise(held_out))
    training_points = points(dequantise(training))
    posterior = draws(model, sides[1], jax.random.key(0))[0]

    def judged(make: Callable[[int], np.ndarray]) -> list[tuple[float, float]]:
        return [(frechet(drawn, real), coverage(real, drawn)) for drawn in map(make, range(repeats))]

    def chosen(seed: int) -> np.ndarray:
        return training_points[
            np.random.default_rng(seed).choice(len(training_points), count, replace=count > len(training_points))
        ]

    floor = judged(chosen)
    rows = [_row("training sounds: the floor", floor, floor)]
    rebuilt = judged(lambda seed: points(decoded(model, posterior[seed % len(posterior)])))
    rows.append(_row("reconstructions of the held-out sounds", rebuilt, floor))
    for name, way in ways(remembered, count).items():
        measured = judged(lambda seed, way=way: points(decoded(model, way(seed))))
        verdicts = [newness.verdict for newness in familiarity.newness(remembered, way(0))]
        rows.append(_row(name, measured, floor, [verdicts.count(verdict) / count for verdict in VERDICTS]))
    return rows


def _row(name: str, measured: Sequence, floor: Sequence, shares: Sequence[float | None] = (None,) * 3) -> list[Any]:
    cells: list[Any] = [name]
    for values, least in zip(np.transpose(measured), np.transpose(floor), strict=True):
        low, high = np.percentile(values, [2.5, 97.5])
        cells += [float(values.mean()), f"{low:.3g} to {high:.3g}", float(values.mean() / least.mean())]
    return [*cells, *shares]


@contextmanager
def opened(name: str, tiny: bool) -> Iterator[tuple[SoundSampleTool, Dataset]]:
    """A shipped model and its dataset, or a tiny model trained for the occasion and its own."""
    if tiny:
        with trained.on_real_sounds(tiny=True) as opened_tool:
            yield opened_tool
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield SoundSampleTool(name), RECIPES[name].gather(name, Path(scratch), RECIPES[name].size)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep."""
    parser = commands.parser(COMMAND, __doc__, "a model of a few steps, on built-in sounds")
    parser.add_argument(
        "--model", default="general", choices=RECIPES, help="shipped model (default general, whose table is kept)"
    )
    options = parser.parse_args(arguments)
    with opened(options.model, options.tiny) as (tool, dataset), tempfile.TemporaryDirectory() as scratch:
        sides = real_sounds.sides(dataset, Path(scratch), tool.model.audio)
    repeats = TINY_REPEATS if options.tiny else REPEATS
    description = describe(tool.model, sides[1])
    note = (
        f"generated sounds against as many held-out ones ({len(sides[1].features)}), mean of {repeats} draws and 95 % "
        f"interval; the model {options.model}, data {real_sounds.fingerprint(dataset)}. Frechet distance: lower is "
        "better. Coverage: share of held-out sounds with a generated one nearby; higher is better. The floor is real "
        "training sounds in place of generated ones. Copies come closest to it, so the last columns say how many "
        f"are copies, relatives and new. All posteriors together are {description['gap_nats']} nats from the normal "
        "prior. Targets for random sounds: a distance of at most 1.5 floors, a coverage of at least 0.8"
    )
    rows = measure(tool.model, tool.reference, sides, repeats)
    asked_for = "" if options.model == "general" else f" --model {options.model}"
    result_name = None if options.tiny or asked_for else "prior"  # the table of the README is that of `general`
    measures.report(result_name, f"{COMMAND}{asked_for}", COLUMNS, rows, note)


if __name__ == "__main__":
    main()
