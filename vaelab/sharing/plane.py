"""The map of a page: outliers drawn in, places for a grid of sounds, and who is near to whom."""

import numpy as np

from vaelab.library import nearest

NEAR = 6  # sounds that are named beside another
INNER = (2, 98)  # percentiles within which the map's own size is measured
BEYOND = 0.15  # of that size: how far out a sound is drawn
LATTICE = 28  # places on each side of the map, before those far from every sound go
REACH = 3  # cells from the nearest sound up to which a place is kept


def drawn_in(coordinates: np.ndarray) -> np.ndarray:
    """Coordinates (n, 2) with outliers at the edge: a few far out would leave the others a fifth of the picture."""
    low, high = np.percentile(coordinates, INNER, axis=0)
    margin = BEYOND * np.maximum(high - low, 1e-6)
    return np.clip(coordinates, (low - margin)[None], (high + margin)[None]).astype(np.float32)


def lattice(coordinates: np.ndarray) -> np.ndarray:
    """Evenly spaced places (places, 2) where sounds (n, 2) are near."""
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    sides = [np.linspace(start, end, LATTICE) for start, end in zip(low, high, strict=True)]
    places = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, 2)
    cell = np.maximum((high - low) / (LATTICE - 1), 1e-9)
    steps = places / cell[None]
    far = np.array([np.linalg.norm(coordinates / cell[None] - step[None], axis=1).min() for step in steps])
    return places[far <= REACH].astype(np.float32)


def neighbours(embeddings: np.ndarray, queries: np.ndarray, *, itself: bool) -> np.ndarray:
    """The nearest sounds (n, latent) of each query (q, latent), uint32 (q, count), nearest first.

    With `itself` the queries are the sounds, and none is its own neighbour.
    """
    count = min(NEAR + itself, len(embeddings))
    numbers = nearest(embeddings, queries, count)[0]
    if not itself:
        return numbers.astype(np.uint32)
    others = [[other for other in row if other != number][: count - 1] for number, row in enumerate(numbers)]
    return np.array(others, np.uint32).reshape(len(embeddings), count - 1)
