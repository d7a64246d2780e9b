"""A map's coordinates evened out, so that the map fills its picture and each sound has a place of its own."""

import numpy as np
from scipy.stats import qmc

from vaelab.library.index import LibraryError

ASPECT = 1.75  # width of the picture by its height
FAR = (2, 98)  # percentiles: sounds further out lie at the edge
ROUNDS = 40
GOLDEN = np.pi * (np.sqrt(5) - 1) / 2  # radians between the directions of two rounds


def evened(coordinates: np.ndarray, share: float = 0.6) -> np.ndarray:
    """Coordinates (n, 2) a share of the way to an even density, float32 (n, 2) in [0, `ASPECT`] x [0, 1].

    The way is a sliced optimal transport to points spread evenly over the picture: in each of many directions, the
    sounds keep their order and take the places of these points. Islands stay islands, gaps shrink, and sounds at one
    place move apart. A share of 0 leaves the coordinates as they are, 1 fills the picture evenly.

    Raises:
        LibraryError: A share outside [0, 1], or coordinates of another shape.
    """
    points = np.asarray(coordinates, float)
    if points.ndim != 2 or points.shape[1] != 2:
        raise LibraryError(f"map: expected coordinates (sounds, 2), found shape {points.shape}")
    if not 0 <= share <= 1:
        raise LibraryError(f"map: expected a share of 0 to 1 by which it is evened, found {share}")
    if share == 0 or not len(points):
        return points.astype(np.float32)
    low, high = np.percentile(points, FAR, axis=0)
    fitted = np.clip((points - low) / np.maximum(high - low, 1e-9), 0, 1) * [ASPECT, 1]
    return (share * _spread(fitted) + (1 - share) * fitted).astype(np.float32)


def _spread(points: np.ndarray) -> np.ndarray:
    """Points (n, 2) moved to an even density, by as many pairs of directions as there are rounds."""
    places = qmc.Halton(2, scramble=False).random(len(points)) * [ASPECT, 1]
    for angle in GOLDEN * np.arange(ROUNDS):
        first = np.array([np.cos(angle), np.sin(angle)])
        for direction in (first, np.array([-first[1], first[0]])):
            points = points + np.outer(_steps(points @ direction, places @ direction), direction) / 2
    return np.clip(points, 0, [ASPECT, 1])


def _steps(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """From each value (n,) to that of the wanted ones (n,) which has its rank."""
    steps = np.empty(len(values))
    steps[np.argsort(values, kind="stable")] = np.sort(wanted)
    return steps - values
