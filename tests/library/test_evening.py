"""A map that is evened out: full, repeatable, with its islands and their order."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from vaelab.library import LibraryError, evened
from vaelab.library.evening import ASPECT


@pytest.fixture(scope="module")
def islands():
    """Two islands, and one sound very far out."""
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(200, 2)), rng.normal(size=(100, 2)) * 0.1 + [12, 1], [[400.0, -90.0]]])
    return points.astype(np.float32)


def filled(points):
    """The share of 14 x 8 cells of the picture in which a sound lies."""
    cells, _, _ = np.histogram2d(*points.T, bins=(14, 8), range=[[0, ASPECT], [0, 1]])
    return (cells > 0).mean()


def neighbours(points):
    return cKDTree(points).query(points, 11)[1][:, 1:]


def test_fills_the_picture(islands):
    squeezed = (islands - islands.min(axis=0)) / np.ptp(islands, axis=0) * [ASPECT, 1]
    assert filled(squeezed) < 0.1
    shown = evened(islands)
    assert shown.dtype == np.float32
    assert shown.min() >= 0
    assert (shown.max(axis=0) <= [ASPECT, 1]).all()
    assert filled(shown) > 0.5
    assert filled(evened(islands, 1)) > 0.85


def test_neighbours_mostly_stay(islands):
    before, after = neighbours(islands), neighbours(evened(islands))
    alike = np.mean([len(set(first) & set(second)) / 10 for first, second in zip(before, after, strict=True)])
    assert alike > 0.5
    own = np.r_[np.zeros(200), np.ones(100)]
    assert np.mean(own[neighbours(evened(islands[:-1]))] == own[:, None]) > 0.97


def test_copies_move_apart_and_the_same_map_comes_again(islands):
    copies = np.repeat(islands[:3], 20, axis=0)
    assert len(np.unique(evened(copies), axis=0)) == len(copies)
    np.testing.assert_array_equal(evened(islands), evened(islands))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_hardly_any_sounds(count):
    assert evened(np.zeros((count, 2))).shape == (count, 2)


def test_a_share_of_none_changes_nothing(islands):
    np.testing.assert_array_equal(evened(islands, 0), islands)


@pytest.mark.parametrize(
    ("coordinates", "share", "message"),
    [(np.zeros((3, 3)), 0.5, r"coordinates \(sounds, 2\), found shape \(3, 3\)"), (np.zeros((3, 2)), 1.5, "found 1.5")],
)
def test_what_is_no_map_is_refused(coordinates, share, message):
    with pytest.raises(LibraryError, match=message):
        evened(coordinates, share)
