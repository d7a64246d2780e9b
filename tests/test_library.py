"""Search: exact, best first, and clear about what could not be read."""

import numpy as np
import pytest

from vaelab import library

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(200, 16)).astype(np.float32)


@pytest.mark.parametrize("k", [1, 7, 200])
def test_nearest_equals_brute_force(k):
    queries = RNG.normal(size=(9, 16))
    indices, distances = library.nearest(POINTS, queries, k)
    brute = np.linalg.norm(POINTS[None].astype(float) - queries[:, None], axis=2)
    np.testing.assert_allclose(distances, np.sort(brute, axis=1)[:, :k], atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(brute, indices, 1), distances, atol=1e-6)


def test_one_query_gives_flat_arrays():
    indices, distances = library.nearest(POINTS, POINTS[17], 3)
    assert indices.shape == distances.shape == (3,)
    assert indices[0] == 17
    assert distances[0] == 0


@pytest.mark.parametrize("k", [0, 201])
def test_too_many_neighbours_are_refused(k):
    with pytest.raises(ValueError, match="k: expected 1 to 200"):
        library.nearest(POINTS, POINTS[0], k)


def embed(paths):
    """One number for each file, its size; `bad.wav` cannot be read."""
    good = [path for path in paths if path.stem != "bad"]
    sizes = np.array([[path.stat().st_size] for path in good], np.float32).reshape(-1, 1)
    return sizes, {path: "expected a sound file" for path in paths if path.stem == "bad"}


def test_build_reports_what_it_skips(tmp_path):
    for name, size in (("a", 10), ("bad", 20), ("b", 30)):
        (tmp_path / f"{name}.wav").write_bytes(b"x" * size)
    built = library.build(tmp_path, embed)
    assert [path.stem for path in built.files] == ["a", "b"]
    assert [skip["reason"] for skip in built.skipped] == ["expected a sound file"]
    files, onsets, distances = built.similar(np.array([29.0]), 10)
    assert [path.stem for path in files] == ["b", "a"]
    assert list(distances) == [1, 19]
    assert list(onsets) == [0, 0]


def test_a_library_needs_sounds(tmp_path):
    with pytest.raises(library.LibraryError, match="expected a folder of sounds as library"):
        library.build(tmp_path / "nowhere", embed)
    with pytest.raises(library.LibraryError, match="found none in 0 files"):
        library.build(tmp_path, embed)
    (tmp_path / "bad.wav").write_bytes(b"")
    with pytest.raises(library.LibraryError, match="found none in 1 files"):
        library.build(tmp_path, embed)
