"""A mix as a place on the map: the mean place of its sources by their weights, and weights for a place."""

import numpy as np
from scipy.optimize import nnls

EXACT = 100.0  # how much more the place counts than the nearness of sources
NEAREST = 1e-3  # of the map: sources nearer than this count as being at the place


def mean_place(places: np.ndarray, weights: np.ndarray) -> np.ndarray | None:
    """The mean place (2,) of sources at places (n, 2) by their weights (n,); None where these sum to 0 or less."""
    weights = np.asarray(weights, float)
    total = weights.sum()
    return None if total <= 1e-9 else weights @ np.asarray(places, float) / total


def weights_at(places: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Weights (n,) from 0 to 1, the largest 1, whose mean place is as near to a place (2,) as sources (n, 2) allow.

    Of all such weights, they favour sources near the place: at a source, that source is alone. They solve
    min sum(d_i^2 w_i^2) with sum(w_i) = 1 and sum(w_i p_i) = place for w_i >= 0, where d_i is the distance to source i.
    """
    away = np.asarray(places, float) - np.asarray(place, float)[None, :]
    distances = np.linalg.norm(away, axis=1)
    reach = max(float(distances.max()), 1e-9)
    rows = [EXACT * away.T / reach, np.full((1, len(away)), EXACT), np.diag(distances / reach + NEAREST)]
    wanted = np.zeros(3 + len(away))
    wanted[2] = EXACT
    weights, _ = nnls(np.concatenate(rows), wanted)
    return weights / weights.max()
