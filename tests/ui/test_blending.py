"""Weights for places: exact within the sources, on their edge beyond, and a source alone where it lies."""

import numpy as np
import pytest

from vaelab.ui.blending import mean_place, weights_at

SQUARE = np.array([[0, 0], [4, 0], [4, 4], [0, 4], [1, 1]], float)


@pytest.mark.parametrize("place", [[2, 2], [0.5, 3], [3.9, 0.1], [1, 1.2]])
def test_the_mean_of_the_weights_is_the_place(place):
    weights = weights_at(SQUARE, place)
    assert weights.max() == 1
    assert weights.min() >= 0
    np.testing.assert_allclose(mean_place(SQUARE, weights), place, atol=0.02)


@pytest.mark.parametrize("number", range(len(SQUARE)))
def test_a_source_is_alone_where_it_lies(number):
    weights = weights_at(SQUARE, SQUARE[number])
    np.testing.assert_allclose(weights, np.eye(len(SQUARE))[number], atol=0.01)


def test_beyond_the_sources_it_is_their_edge():
    np.testing.assert_allclose(mean_place(SQUARE, weights_at(SQUARE, [9, 2])), [4, 2], atol=0.05)
    np.testing.assert_allclose(weights_at(SQUARE[:1], [9, 2]), [1])
    np.testing.assert_allclose(weights_at(SQUARE[:2], [3, 7]), [1 / 3, 1], atol=0.02)


def test_weights_change_smoothly():
    line = np.array([weights_at(SQUARE, [x, 2.5]) for x in np.linspace(0.2, 3.8, 60)])
    shares = line / line.sum(axis=1, keepdims=True)
    assert np.abs(np.diff(shares, axis=0)).max() < 0.08


def test_weights_that_cancel_have_no_place():
    assert mean_place(SQUARE[:2], [1, -1]) is None
    np.testing.assert_allclose(mean_place(SQUARE[:2], [2, -1]), [-4, 0])
