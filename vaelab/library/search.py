"""Exact nearest neighbours by one matrix product, and near-duplicates: fast enough that nothing need be approximate."""

from collections.abc import Iterator

import numpy as np
import scipy

METRICS = ("euclidean", "cosine")
RANKED_AT_ONCE = 1 << 24  # scores of queries times points that are held in memory
MEASURED_AT_ONCE = 1 << 16  # points whose distance is taken in float64


def nearest(
    embeddings: np.ndarray,
    query: np.ndarray,
    k: int,
    metric: str = "euclidean",
    within: np.ndarray | None = None,
    squares: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest embeddings to each query, exactly as a search in float64 finds them.

    Points p are ranked in float32 by |p|^2 - 2 q.p (cosine: -q.p / |p|), one matrix product. All that rounding could
    have put among the first k, by its bound (latent + 4) eps (|p|^2 + |q|^2), are then measured in float64; equal
    distances come in the order of the embeddings.

    Args:
        embeddings: float32 (sounds, latent), finite; a memory map will do.
        query: (latent,) or (n, latent).
        k: How many, at most the number of sounds.
        metric: "euclidean", or "cosine": 1 - cos of the angle between, from 0 to 2.
        within: bool (sounds,), where to search; None is everywhere.
        squares: `squared(embeddings)`, if it is at hand.

    Returns:
        indices and distances, best first: (k,) each for one query, (n, k) for n.

    Raises:
        ValueError: Another k, metric, or shape.
    """
    if metric not in METRICS:
        raise ValueError(f"metric: expected one of {', '.join(METRICS)}, found {metric!r}")
    count = len(embeddings) if within is None else int(np.count_nonzero(within))
    if not 1 <= k <= count:
        raise ValueError(f"k: expected 1 to {count} (the number of sounds), found {k}")
    points, queries = np.asarray(embeddings, np.float32), np.atleast_2d(np.asarray(query, np.float32))
    if queries.shape[1:] != points.shape[1:]:
        raise ValueError(f"query: expected {points.shape[1]} numbers, as many as an embedding has, found {query.shape}")
    squares = squared(points) if squares is None else squares
    best = [
        _best(points, vector, ranks, k, metric)
        for vector, ranks in _ranked(points, queries, squares, metric, within, k)
    ]
    indices, distances = (np.stack(part) for part in zip(*best, strict=True))
    return (indices[0], distances[0]) if np.ndim(query) == 1 else (indices, distances)


def squared(embeddings: np.ndarray) -> np.ndarray:
    """|p|^2 of each embedding: (sounds, latent) -> float32 (sounds,)."""
    return np.einsum("sl,sl->s", embeddings, embeddings)


def groups(embeddings: np.ndarray, distance: float) -> list[np.ndarray]:
    """Indices of each group of sounds (sounds, latent) that lie together, largest first.

    A group is a chain of at least two neighbours, at most a Euclidean `distance` apart.
    """
    points = np.asarray(embeddings, np.float32)
    pairs = [np.zeros((2, 0), int), *_pairs(points, squared(points), distance)]
    first, second = np.concatenate(pairs, axis=1)
    graph = scipy.sparse.coo_array((np.ones(len(first), bool), (first, second)), shape=(len(points), len(points)))
    _, member = scipy.sparse.csgraph.connected_components(graph, directed=False)
    order = np.argsort(member, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(member[order])) + 1)
    return sorted((part for part in parts if len(part) > 1), key=len, reverse=True)


def _ranked(
    points: np.ndarray, queries: np.ndarray, squares: np.ndarray, metric: str, within: np.ndarray | None, k: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each query and the indices of all points that may be among its k nearest."""
    roundings = (points.shape[1] + 4) * np.finfo(np.float32).eps
    lengths = np.sqrt(np.maximum(squares, np.finfo(np.float32).tiny))
    at_once = max(1, RANKED_AT_ONCE // len(points))
    for start in range(0, len(queries), at_once):
        part = queries[start : start + at_once]
        for query, product in zip(part, part @ points.T, strict=True):
            if metric == "cosine":
                ranking, error = -product / lengths, roundings * np.linalg.norm(query)
            else:
                ranking, error = squares - 2 * product, roundings * (squares + query @ query)
            if within is not None:
                ranking[~within] = np.inf
            enough = np.partition(ranking + error, k - 1)[k - 1]
            yield query, np.flatnonzero(ranking - error <= enough)


def _best(points: np.ndarray, query: np.ndarray, among: np.ndarray, k: int, metric: str) -> tuple:
    """Indices and float64 distances of the k nearest of some points."""
    parts = [among[start : start + MEASURED_AT_ONCE] for start in range(0, len(among), MEASURED_AT_ONCE)]
    distances = np.concatenate([_distance(points[part].astype(float), query.astype(float), metric) for part in parts])
    order = np.argsort(distances, kind="stable")[:k]
    return among[order], distances[order]


def _distance(points: np.ndarray, query: np.ndarray, metric: str) -> np.ndarray:
    if metric == "euclidean":
        return np.linalg.norm(points - query[None], axis=1)
    lengths = np.linalg.norm(points, axis=1) * np.linalg.norm(query)
    return 1 - np.clip(points @ query / np.maximum(lengths, np.finfo(float).tiny), -1, 1)


def _pairs(points: np.ndarray, squares: np.ndarray, distance: float) -> Iterator[np.ndarray]:
    """Pairs (2, n) at most so far apart, each once."""
    at_once = max(1, RANKED_AT_ONCE // len(points))
    roundings = (points.shape[1] + 4) * np.finfo(np.float32).eps
    for start in range(0, len(points), at_once):
        block = slice(start, start + at_once)
        apart = squares[block, None] + squares[None, start:] - 2 * points[block] @ points[start:].T
        error = roundings * (squares[block, None] + squares[None, start:])
        first, second = np.nonzero(apart - error <= distance**2)
        once = first < second
        pairs = np.stack([first[once], second[once]]) + start
        exact = np.linalg.norm(points[pairs[0]].astype(float) - points[pairs[1]], axis=1)
        yield pairs[:, exact <= distance]
