"""Random points about training sounds."""

import jax
import numpy as np
import pytest

from vaelab.play import prior

RNG = np.random.default_rng(0)


def test_points_vary_as_the_neighbours_do():
    """Two far clusters, each stretched along its own axis: points stay in both, and keep to the stretch."""
    stretch = np.array([[3.0, 0.1], [0.1, 3.0]])
    sounds = np.concatenate([RNG.normal(size=(200, 2)) * stretch[n] + 100 * n for n in (0, 1)])
    points = prior.around(sounds, jax.random.key(0), 2000, temperature=0.75)
    second = points[:, 0] > 50
    assert second.mean() == pytest.approx(0.5, abs=0.05)
    for members, expected in ((points[~second], stretch[0]), (points[second], stretch[1])):
        wider = members.std(axis=0) / expected
        assert ((wider > 0.9) & (wider < 1.6)).all()
    assert points.dtype == np.float32


def test_the_spread_is_that_of_the_formula():
    """Of one sound whose neighbours are known: covariance = temperature^2 / k sum d d^T."""
    around = np.eye(4)
    sounds = np.concatenate([np.zeros((1, 4)), around])
    points = prior.around(sounds, jax.random.key(1), 40_000, temperature=0.75)
    which = np.asarray(jax.random.randint(jax.random.split(jax.random.key(1))[0], (40_000,), 0, 5))
    expected = 0.75**2 / 4 * around.T @ around
    np.testing.assert_allclose(np.cov(points[which == 0].T), expected, atol=0.01)


def test_one_sound_is_all_there_is():
    points = prior.around(np.ones((1, 3)), jax.random.key(0), 5)
    np.testing.assert_array_equal(points, np.ones((5, 3), np.float32))
    assert points.dtype == np.float32


def test_normal_points_are_normal():
    points = prior.normal(3, jax.random.key(0), 20_000, temperature=2.0)
    np.testing.assert_allclose(np.cov(points.T), 4 * np.eye(3), atol=0.15)
