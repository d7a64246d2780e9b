"""Directions in latent space with names: differences of labels, and descriptors fitted on measured sounds.

A descriptor y of embeddings z is fitted by ridge regression, y = w z + b, and judged on sounds left out. The
direction is not w, which may leave the sounds' own region, but how z changes with the fitted descriptor in the data:

    direction = Cov(z) w / (w' Cov(z) w),  so that one unit of it raises the fitted y by one.

Source: Haufe et al. 2014, "On the interpretation of weight vectors of linear models in multivariate neuroimaging".
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vaelab import VaelabError

FOLDS = 5
RIDGES = tuple(10.0**power for power in range(-3, 4))  # in units of the mean variance of a latent
LEAST_SOUNDS = 20


class DirectionError(VaelabError, ValueError):
    """A direction that cannot be found; the message says which there are and what to do."""


@dataclass(frozen=True)
class Direction:
    """A way to move in latent space.

    Attributes:
        name: As in "brightness" or "clap - snare".
        vector: float32 (latent,); amount 1 adds it.
        meaning: What amount 1 does.
        r2: Share of the descriptor's variance that is predicted for sounds left out of the fit; None for labels.
        deviation: Of the descriptor among the fitted sounds; None for labels.
    """

    name: str
    vector: np.ndarray
    meaning: str
    r2: float | None = None
    deviation: float | None = None

    def __str__(self) -> str:
        quality = "" if self.r2 is None else f", held-out R2 {self.r2:.2f}"
        return f"{self.name}: 1 is {self.meaning}{quality}"


class Directions(dict[str, Direction]):
    """Directions by name; shows itself as a list, one a line."""

    def __repr__(self) -> str:
        return "\n".join(map(str, self.values())) or "no directions"

    def shift(self, amounts: Mapping[str, float]) -> np.ndarray:
        """The sum of directions times their amounts: (latent,).

        Raises:
            DirectionError: An unknown name, or an amount that is not finite.
        """
        for name, amount in amounts.items():
            if name not in self:
                raise DirectionError(
                    f"directions: expected one of {', '.join(map(repr, self)) or 'none yet'}; found {name!r}; "
                    "tool.directions(files, labels) finds them"
                )
            if not np.isfinite(amount):
                raise DirectionError(f"directions: expected a finite amount of {name!r}, found {amount}")
        return sum(np.float32(amount) * self[name].vector for name, amount in amounts.items())


def check(count: int, labels: Sequence[str | None] | None, expressions: Sequence[str] = ()) -> None:
    """Refuse labels that do not fit `count` sounds, and too few sounds, before any work.

    Raises:
        DirectionError: What does not fit.
    """
    if count < LEAST_SOUNDS:
        raise DirectionError(f"directions: expected at least {LEAST_SOUNDS} sounds, found {count}")
    if labels is not None and len(labels) != count:
        raise DirectionError(f"labels: expected {count}, one a file, found {len(labels)}")
    if expressions and labels is None:
        raise DirectionError("expressions: expected labels, found none; give one name a file")


def find(
    embeddings: np.ndarray,
    measured: Sequence[Mapping[str, float]],
    units: Mapping[str, str],
    labels: Sequence[str | None] | None = None,
    expressions: Sequence[str] = (),
) -> Directions:
    """A direction for each descriptor in `units`, each label and each expression; see `fit` and `between`."""
    fitted = {
        name: fit(name, embeddings, np.array([values[name] for values in measured]), unit)
        for name, unit in units.items()
    }
    names = [*sorted({label for label in labels or () if label is not None}), *expressions]
    return Directions(fitted | {name: between(embeddings, labels, name) for name in names})


def between(embeddings: np.ndarray, labels: Sequence[str | None], expression: str) -> Direction:
    """From class means: "clap - snare" leads from snares to claps, "clap" from the mean of all to claps.

    Args:
        embeddings: (n, latent).
        labels: n names, None where unknown.
        expression: Labels joined by " + " and " - "; the labels on each side are averaged.

    Raises:
        DirectionError: A label that no sound has.
    """
    terms = re.split(r"\s([+-])\s", expression.strip())
    signs = ["+", *terms[1::2]]
    ends = {"+": [], "-": []}
    for sign, name in zip(signs, terms[::2], strict=True):
        chosen = [index for index, label in enumerate(labels) if label == name]
        if not chosen:
            names = ", ".join(sorted({label for label in labels if label is not None})) or "none"
            raise DirectionError(f"directions: expected labels among {names}; found {name!r} in {expression!r}")
        ends[sign].append(np.asarray(embeddings)[chosen].mean(axis=0))
    start = np.mean(ends["-"], axis=0) if ends["-"] else np.mean(embeddings, axis=0)
    vector = (np.mean(ends["+"], axis=0) - start).astype(np.float32)
    return Direction(expression, vector, "from there to here, as the classes' means lie")


def fit(name: str, embeddings: np.ndarray, values: np.ndarray, unit: str = "") -> Direction:
    """From measured values: amount 1 is one standard deviation of the descriptor among these sounds.

    Args:
        name: Of the descriptor.
        embeddings: (n, latent).
        values: (n,); NaN where it cannot be measured.
        unit: Of the values.

    Raises:
        DirectionError: Fewer than 20 measured sounds, or all alike.
    """
    measured = np.isfinite(values)
    z, y = np.asarray(embeddings, float)[measured], np.asarray(values, float)[measured]
    if len(y) < LEAST_SOUNDS:
        raise DirectionError(f"{name}: expected at least {LEAST_SOUNDS} sounds to measure, found {len(y)}")
    if not (deviation := y.std()) > 1e-9:
        raise DirectionError(f"{name}: expected sounds that differ in it, found {len(y)} that are alike")
    scores = [_held_out_r2(z, y, ridge) for ridge in RIDGES]
    weights = _ridge(z - z.mean(axis=0), y - y.mean(), RIDGES[int(np.argmax(scores))])
    along = np.cov(z.T).reshape(len(weights), len(weights)) @ weights
    vector = along * deviation / max(weights @ along, 1e-12)
    return Direction(name, vector.astype(np.float32), f"{deviation:.3g} {unit}".rstrip(), max(scores), float(deviation))


def _ridge(z: np.ndarray, y: np.ndarray, ridge: float) -> np.ndarray:
    """Weights of a regression on centred data; the ridge counts in mean variances of a latent, times n."""
    gram = z.T @ z
    penalty = ridge * max(np.trace(gram) / len(gram), 1e-12)
    return np.linalg.solve(gram + penalty * np.eye(len(gram)), z.T @ y)


def _held_out_r2(z: np.ndarray, y: np.ndarray, ridge: float) -> float:
    """1 - squared error / variance, each sound predicted by a fit on the other folds; folds are drawn, not in order."""
    fold = np.random.default_rng(0).permutation(len(y)) % FOLDS
    predicted = np.zeros_like(y)
    for number in range(FOLDS):
        rest = fold != number
        centre, mean = z[rest].mean(axis=0), y[rest].mean()
        predicted[~rest] = mean + (z[~rest] - centre) @ _ridge(z[rest] - centre, y[rest] - mean, ridge)
    return float(1 - np.square(y - predicted).sum() / np.square(y - y.mean()).sum())
