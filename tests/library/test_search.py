"""Search: exact whatever the numbers are like, in blocks, among some, and near-duplicates."""

import numpy as np
import pytest

from vaelab.library import search
from vaelab.library.search import nearest

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(200, 16)).astype(np.float32)


def brute(points, queries, metric="euclidean"):
    """Distances (queries, points) in float64, one by one."""
    points, queries = points.astype(float), np.atleast_2d(queries).astype(float)
    if metric == "euclidean":
        return np.array([[np.sqrt(((p - q) ** 2).sum()) for p in points] for q in queries])
    return np.array([[1 - p @ q / np.sqrt((p @ p) * (q @ q)) for p in points] for q in queries])


@pytest.mark.parametrize("metric", search.METRICS)
@pytest.mark.parametrize("k", [1, 7, 200])
def test_nearest_equals_brute_force(k, metric):
    queries = RNG.normal(size=(9, 16)).astype(np.float32)
    indices, distances = nearest(POINTS, queries, k, metric)
    expected = brute(POINTS, queries, metric)
    np.testing.assert_array_equal(indices, np.argsort(expected, axis=1, kind="stable")[:, :k])
    np.testing.assert_allclose(distances, np.sort(expected, axis=1)[:, :k], atol=1e-12)


@pytest.mark.parametrize("far", [0.0, 100.0, 3000.0])
def test_rounding_hides_no_neighbour(far):
    """Points far from zero and close together: float32 alone ranks them wrongly."""
    points = (far + 1e-3 * RNG.normal(size=(500, 8))).astype(np.float32)
    expected = brute(points, points[3])[0]
    indices, _ = nearest(points, points[3], 5)
    np.testing.assert_array_equal(indices, np.argsort(expected, kind="stable")[:5])


def test_equal_points_come_in_order(monkeypatch):
    monkeypatch.setattr(search, "MEASURED_AT_ONCE", 7)
    indices, distances = nearest(np.ones((50, 4), np.float32), np.ones(4), 20)
    assert indices.tolist() == list(range(20))
    assert not distances.any()


def test_one_query_gives_flat_arrays():
    indices, distances = nearest(POINTS, POINTS[17], 3)
    assert indices.shape == distances.shape == (3,)
    assert indices[0] == 17
    assert distances[0] == 0


def test_only_some_are_searched(monkeypatch):
    monkeypatch.setattr(search, "RANKED_AT_ONCE", 500)
    within = np.arange(200) % 3 == 1
    indices, _ = nearest(POINTS, POINTS[:9], 4, within=within)
    expected = np.where(within[None], brute(POINTS, POINTS[:9]), np.inf)
    np.testing.assert_array_equal(indices, np.argsort(expected, axis=1, kind="stable")[:, :4])


def test_a_zero_vector_has_no_direction():
    points = np.stack([np.zeros(3), [1, 0, 0], [-1, 0, 0]]).astype(np.float32)
    indices, distances = nearest(points, np.array([2.0, 0, 0]), 3, "cosine")
    assert indices.tolist() == [1, 0, 2]
    np.testing.assert_allclose(distances, [0, 1, 2], atol=1e-12)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"k": 0}, "k: expected 1 to 200"),
        ({"k": 201}, "k: expected 1 to 200"),
        ({"k": 4, "within": np.arange(200) < 3}, "k: expected 1 to 3"),
        ({"k": 1, "metric": "manhattan"}, "metric: expected one of euclidean, cosine, found 'manhattan'"),
        ({"k": 1, "query": np.zeros(3)}, "query: expected 16 numbers"),
    ],
)
def test_what_cannot_be_searched_is_refused(how, message):
    with pytest.raises(ValueError, match=message):
        nearest(**{"embeddings": POINTS, "query": POINTS[0], **how})


def test_groups_are_chains_of_neighbours(monkeypatch):
    monkeypatch.setattr(search, "RANKED_AT_ONCE", 30)
    line = np.array([0, 0.4, 0.8, 5, 5.3, 9], np.float32)[:, None]
    found = search.groups(line, 0.5)
    assert [sorted(group.tolist()) for group in found] == [[0, 1, 2], [3, 4]]
    assert search.groups(line, 0.1) == []
