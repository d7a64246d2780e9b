"""Latent play: the arithmetic is exact, and weights that cannot be used are refused."""

import jax
import numpy as np
import pytest

from vaelab import model as models
from vaelab.play import latent
from vaelab.play.latent import LatentError

POINTS = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)


def test_mix_is_the_mean_by_default():
    np.testing.assert_allclose(latent.normalized(3, None) @ POINTS, POINTS.mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize("weights", [[1, 2, 3], [1, -1, 2], [-1, -1, -1], [0, 0, 5]])
def test_mix_normalises_by_the_signed_sum(weights):
    expected = np.asarray(weights, float) @ POINTS / sum(weights)
    np.testing.assert_allclose(latent.normalized(3, weights) @ POINTS, expected, rtol=1e-5)


@pytest.mark.parametrize("weights", [[1, -1, 0], [2, 2, 2], [0, 0, 0]])
def test_arithmetic_without_normalising(weights):
    np.testing.assert_allclose(latent.normalized(3, weights, False) @ POINTS, np.asarray(weights) @ POINTS, rtol=1e-6)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, -1, 0], r"sum to 0 and cannot be normalised.*normalize_weights=False"),
        ([1e9, -1e9, 1], "cannot be normalised"),
        ([1, 2], "expected 3 numbers, one for each sound, found"),
        ([1, 2, 3, 4], "expected 3 numbers"),
        ([1, float("nan"), 1], "expected finite numbers"),
        ([1, float("inf"), 1], "expected finite numbers"),
    ],
)
def test_unusable_weights_are_refused(weights, message):
    with pytest.raises(LatentError, match=message):
        latent.normalized(3, weights)


def test_noise_has_the_variance():
    drawn = np.asarray(latent.noise(jax.random.key(0), (4000, 16), 0.25))
    assert drawn.var() == pytest.approx(0.25, rel=0.02)
    assert drawn.mean() == pytest.approx(0, abs=0.01)
    assert not np.asarray(latent.noise(jax.random.key(0), (3,), 0.0)).any()


@pytest.mark.parametrize("variance", [-0.1, float("nan"), float("inf")])
def test_unusable_variances_are_refused(variance):
    with pytest.raises(LatentError, match="variance: expected"):
        latent.noise(jax.random.key(0), (2,), variance)


def test_slerp_keeps_ends_and_lengths():
    path = latent.slerp(POINTS[0], POINTS[1], 7)
    np.testing.assert_allclose(path[[0, -1]], POINTS[:2], rtol=1e-5)
    lengths = np.linalg.norm(path, axis=1)
    np.testing.assert_allclose(np.diff(lengths), np.diff(lengths)[0], atol=1e-5)
    units = path / lengths[:, None]
    turns = np.arccos((units[:-1] * units[1:]).sum(axis=1))
    np.testing.assert_allclose(turns, turns[0], atol=1e-3)


@pytest.mark.parametrize(
    "end", [POINTS[0], -POINTS[0], 2 * POINTS[0], np.zeros(5)], ids=["same", "opposite", "longer", "0"]
)
def test_slerp_without_a_single_arc_is_straight(end):
    path = latent.slerp(POINTS[0], end, 3)
    assert np.isfinite(path).all()
    np.testing.assert_allclose(path[1], (POINTS[0] + end) / 2, atol=1e-5)


def test_a_path_passes_through_its_points():
    for straight in (False, True):
        way = latent.path(POINTS, 9, straight=straight)
        np.testing.assert_allclose(way[[0, 4, 8]], POINTS, rtol=1e-5)
    np.testing.assert_allclose(latent.path(POINTS, 5, straight=True)[1], POINTS[:2].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(latent.path(POINTS, 9)[:5], latent.slerp(POINTS[0], POINTS[1], 5), rtol=1e-5)
    np.testing.assert_allclose(latent.path(POINTS, 2), POINTS[[0, 2]], rtol=1e-6)
    for points, steps, message in ((POINTS[:1], 5, "at least 2 points"), (POINTS, 1, "at least 2 steps, found 1")):
        with pytest.raises(LatentError, match=message):
            latent.path(points, steps)


def test_a_walk_stays_among_usual_points():
    way = latent.walk(jax.random.key(0), np.zeros(64), 2000, 0.3)
    assert not way[0].any()
    assert np.square(way[200:]).mean() == pytest.approx(1, abs=0.1)
    assert np.square(np.diff(way[200:], axis=0)).mean() == pytest.approx(0.3**2, rel=0.1)
    assert (latent.walk(jax.random.key(0), POINTS[0], 3, 0.0) == POINTS[0]).all()
    with pytest.raises(LatentError, match="step size from 0 to 1, found 2"):
        latent.walk(jax.random.key(0), POINTS[0], 3, 2)
    with pytest.raises(LatentError, match="at least 1 step"):
        latent.walk(jax.random.key(0), POINTS[0], 0, 0.1)


def test_refining_is_never_worse_and_finds_what_there_is(tiny):
    model = models.create(tiny.model, tiny.audio, jax.random.key(0))
    true = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    features = model.decode(true)
    z, before, after = latent.refine(model, features, true + 0.3, 60)
    assert (np.asarray(after) < 0.7 * np.asarray(before)).all()
    np.testing.assert_allclose(np.abs(model.decode(z) - features).mean(axis=(1, 2)), after, rtol=1e-4)
    kept, _, unchanged = latent.refine(model, features, true, 60)
    assert np.abs(np.asarray(unchanged)).max() < 1e-6
    np.testing.assert_allclose(kept, true, atol=1e-6)
