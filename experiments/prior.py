"""Are random sounds as good as the reconstruction allows? `python -m experiments.prior`.

Trains the default model on the real sounds, and compares features by their Frechet distance to the held-out sounds, in
the first eight principal components of the training sounds:

    |m1 - m2|^2 + trace(C1 + C2 - 2 (C1 C2)^(1/2))        means m, covariances C

of training sounds (the floor: real against real), reconstructions of held-out sounds (what the decoder allows), and
decoded draws of the prior at several temperatures. Source: Heusel et al. 2017, https://arxiv.org/abs/1706.08500.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import scipy

from experiments import real_sounds
from experiments.latents import describe, draws
from vaelab import checkpoint, files, principal, train
from vaelab.config import Config
from vaelab.model import LEVELS, Model

RESULT = Path(__file__).parent / "results" / "prior.json"
TEMPERATURES = (1.2, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
AXES, REPEATS, STEPS = 8, 5, 1400
NOTE = (
    "mean and standard deviation of 5 draws of as many sounds as are held out; temperature scales the prior's draws; "
    "the aggregate posterior has this scale and distance"
)


def frechet(one: np.ndarray, other: np.ndarray) -> float:
    """Frechet distance of Gaussians fitted to two sets of points (n, axes)."""
    covariances = [np.cov(points.T) for points in (one, other)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    apart = ((one.mean(axis=0) - other.mean(axis=0)) ** 2).sum()
    return float(apart + np.trace(covariances[0] + covariances[1] - 2 * root))


def decoded(model: Model, z: np.ndarray) -> np.ndarray:
    """Features (n, frames * mels) of latents (n, latent)."""
    parts = [np.asarray(model.decode(z[start : start + 64].astype(np.float32))) for start in range(0, len(z), 64)]
    return np.concatenate(parts).reshape(len(z), -1)


def measure(model: Model, sides: tuple, seed: int = 0) -> list[list]:
    """Rows of the table: what, distance, its standard deviation."""
    training, held_out = (side.features for side in sides)
    axes = principal.fit(training, AXES, AXES, logits=False).axes.reshape(AXES, -1)
    rng = np.random.default_rng(seed)
    count = len(held_out)

    def points(features: np.ndarray) -> np.ndarray:
        return features.reshape(len(features), -1) @ axes.T

    real = points(held_out.astype(np.float32) / LEVELS)
    some = [training[rng.choice(len(training), count, replace=False)] / np.float32(LEVELS) for _ in range(REPEATS)]
    posterior = draws(model, sides[1], jax.random.key(seed))[0][:REPEATS]
    found = {
        "training sounds (floor)": [frechet(points(one), real) for one in some],
        "reconstructions": [frechet(points(decoded(model, z)), real) for z in posterior],
    }
    for temperature in TEMPERATURES:
        latents = rng.standard_normal((REPEATS, count, model.config.latent_dim)) * temperature
        found[f"prior, temperature {temperature}"] = [frechet(points(decoded(model, z)), real) for z in latents]
    return [[name, round(np.mean(values), 1), round(np.std(values, ddof=1), 1)] for name, values in found.items()]


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m experiments.prior", description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of training (default {STEPS})")
    options = parser.parse_args(arguments)
    config = Config()
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        sides = real_sounds.sides(real_sounds.dataset(home), home, config.audio)
        model = train.fit(*sides, config, home / "model", num_steps=options.steps)
    rows, told = measure(model, sides), describe(model, sides[1])
    for row in rows:
        print(f"{row[0]:28s} {row[1]:8.1f} ± {row[2]:.1f}")
    outcome = {
        "name": "Random sounds against reconstructions",
        "command": "python -m experiments.prior",
        "columns": ["features of", "Frechet distance to held-out sounds", "deviation"],
        "rows": rows,
        "versions": checkpoint.versions(),
        "note": f"{NOTE}: {told['scale']}, {told['gap_nats']} nats from the prior",
    }
    with files.replacing(RESULT) as temporary:
        temporary.write_text(json.dumps(outcome, indent=1) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
