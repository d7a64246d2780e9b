"""Directions: those of labels are the classes' means, those of descriptors move what they name and say how sure."""

import numpy as np
import pytest

from vaelab.play import directions
from vaelab.play.directions import DirectionError

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(200, 6)) @ np.diag([3.0, 2.0, 1.0, 1.0, 0.5, 0.1])
LABELS = ["clap", "snare", "kick", None] * 50


def test_between_labels():
    found = directions.between(Z, LABELS, "clap - snare")
    np.testing.assert_allclose(found.vector, Z[::4].mean(axis=0) - Z[1::4].mean(axis=0), rtol=1e-5)
    two = directions.between(Z, LABELS, "clap + kick - snare")
    np.testing.assert_allclose(
        two.vector, (Z[::4].mean(axis=0) + Z[2::4].mean(axis=0)) / 2 - Z[1::4].mean(axis=0), rtol=1e-5
    )
    np.testing.assert_allclose(
        directions.between(Z, LABELS, "kick").vector, Z[2::4].mean(axis=0) - Z.mean(axis=0), 1e-4
    )


def test_one_unit_raises_a_linear_descriptor_by_a_deviation():
    weights = np.array([1.0, -0.5, 0.0, 0.0, 2.0, 0.0])
    values = Z @ weights + 7
    found = directions.fit("brightness", Z, values, "octaves")
    assert found.r2 > 0.99
    assert found.vector @ weights == pytest.approx(values.std(), rel=0.02)
    assert f"{values.std():.3g} octaves" in str(found)
    assert "held-out R2 1.00" in str(found)


def test_the_direction_is_the_way_the_data_go():
    """Two latents that always move together share the direction, even where one alone would explain the values."""
    z = np.column_stack([Z[:, 0], Z[:, 0] + 0.01 * RNG.normal(size=200)])
    vector = directions.fit("x", z, Z[:, 0]).vector
    assert vector[1] == pytest.approx(vector[0], rel=0.02)


def test_noise_has_no_r2_and_what_cannot_be_measured_is_left_out():
    values = RNG.normal(size=200)
    assert directions.fit("noise", Z, values).r2 < 0.1
    values = Z[:, 0].copy()
    values[::3] = np.nan
    assert directions.fit("x", Z, values).r2 > 0.99


def test_shift_is_the_weighted_sum():
    known = {name: directions.between(Z, LABELS, name) for name in ("clap", "kick")}
    np.testing.assert_allclose(
        directions.Directions(known).shift({"clap": 2, "kick": -1}),
        2 * known["clap"].vector - known["kick"].vector,
        rtol=1e-6,
    )


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda: directions.between(Z, LABELS, "clap - cow"), "expected labels among clap, kick, snare; found 'cow'"),
        (lambda: directions.fit("x", Z[:5], np.arange(5.0)), "x: expected at least 20 sounds to measure, found 5"),
        (lambda: directions.fit("x", Z, np.ones(200)), "expected sounds that differ in it"),
        (lambda: directions.Directions().shift({"x": 1}), "expected one of none yet; found 'x'; tool.directions"),
        (
            lambda: directions.Directions({"x": directions.fit("x", Z, Z[:, 0])}).shift({"x": float("nan")}),
            "expected a finite amount of 'x'",
        ),
        (lambda: directions.check(200, ["a"]), "labels: expected 200, one a file, found 1"),
        (lambda: directions.check(3, None), "expected at least 20 sounds, found 3"),
        (lambda: directions.check(20, None, ["a - b"]), "expected labels, found none"),
    ],
)
def test_what_cannot_be_found_is_named(work, message):
    with pytest.raises(DirectionError, match=message):
        work()
