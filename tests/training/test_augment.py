"""Augmentation: each sound moves as a whole, silence stays silence, what is off changes nothing."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vaelab.config import Config, ConfigError, TrainConfig
from vaelab.training import augment


@pytest.fixture
def features(tiny):
    drawn = np.random.default_rng(0).uniform(0.05, 1, (6, tiny.audio.frames, tiny.audio.n_mels)).astype(np.float32)
    drawn[:, 20:] = 0
    return drawn / drawn.max(axis=(1, 2), keepdims=True)


def config(tiny, **knobs):
    return Config(tiny.audio, tiny.model, dataclasses.replace(tiny.train, **{"shift_bins": 0, **knobs}))


def test_what_is_off_changes_nothing(tiny, features):
    np.testing.assert_array_equal(augment.augment(jax.random.key(0), features, config(tiny)), features)


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("step", [-3, 0, 2])
def test_shifting_moves_and_fills_with_silence(features, axis, step):
    moved = np.asarray(augment.shifted(jnp.asarray(features), jnp.full(6, step), axis))
    expected = np.roll(features, step, axis)
    edge = [slice(None)] * 3
    edge[axis] = slice(0, step) if step > 0 else slice(features.shape[axis] + step, None)
    if step:
        expected[tuple(edge)] = 0
    np.testing.assert_array_equal(moved, expected)


def test_each_sound_moves_by_its_own(tiny, features):
    moved = np.asarray(augment.augment(jax.random.key(1), jnp.asarray(features), config(tiny, shift_frames=8)))
    found = set()
    for sound, original in zip(moved, features, strict=True):
        fits = [step for step in range(9) if np.array_equal(sound[step:], original[: len(original) - step])]
        assert len(fits) == 1
        assert not sound[: fits[0]].any()
        found.add(fits[0])
    assert len(found) > 2


def test_a_tilt_is_a_straight_line_over_the_bands(features):
    slope = 0.1
    tilted = np.asarray(augment.tilted(jnp.asarray(features), jnp.full(6, slope)))
    assert not tilted[features == 0].any()
    np.testing.assert_allclose(tilted.max(axis=(1, 2)), features.max(axis=(1, 2)), rtol=1e-5)
    difference = np.where((tilted > 0) & (tilted < 1) & (features > 0.2), tilted - features, np.nan)[:, 0]
    rise = np.diff(difference, axis=1)
    np.testing.assert_allclose(rise[np.isfinite(rise)], slope / (features.shape[2] - 1), atol=1e-5)


def test_the_key_alone_decides(tiny, features):
    knobs = config(tiny, shift_frames=4, shift_bins=3, tilt_db=12.0)
    one, same, other = (augment.augment(jax.random.key(seed), jnp.asarray(features), knobs) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert 0 <= np.asarray(one).min() <= np.asarray(one).max() <= 1


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"shift_frames": 31}, "TrainConfig.shift_frames: expected fewer than the clip's 31 frames, found 31"),
        ({"shift_bins": 24}, "TrainConfig.shift_bins: expected fewer than the 24 mel bands, found 24"),
        ({"tilt_db": 81.0}, "TrainConfig.tilt_db: expected at most top_db, 80 dB, found 81.0"),
        ({"shift_bins": -1}, "TrainConfig.shift_bins: expected at least 0, found -1"),
    ],
)
def test_what_cannot_work_is_refused(tiny, knobs, message):
    with pytest.raises(ConfigError, match=message):
        Config(tiny.audio, tiny.model, TrainConfig(**knobs))


def test_stretching_makes_longer_and_shorter(features):
    ramp = np.repeat(np.linspace(0.2, 0.8, features.shape[1])[None, :, None], features.shape[2], axis=2)
    ramps = jnp.asarray(np.repeat(ramp, 3, axis=0), jnp.float32)
    long, same, short = np.asarray(augment.stretched(ramps, jnp.array([2.0, 1.0, 0.5])))
    np.testing.assert_allclose(same, ramps[1], atol=1e-6)
    np.testing.assert_allclose(long[::2], ramps[0, : len(long[::2])], atol=1e-6)
    half = (features.shape[1] - 1) // 2 + 1
    np.testing.assert_allclose(short[:half], ramps[2, ::2][:half], atol=1e-6)
    assert not short[half:].any()


def test_variants_are_sounds_of_their_own(features):
    key = jax.random.key(0)
    varied = np.asarray(augment.variant(key, jnp.asarray(features)))
    assert varied.shape == features.shape
    assert varied.min() >= 0
    assert varied.max() <= 1
    assert all(np.abs(a - b).mean() > 0.01 for a, b in zip(varied, features, strict=True))
    np.testing.assert_array_equal(varied, augment.variant(key, jnp.asarray(features)))
    assert not np.asarray(augment.variant(key, jnp.zeros_like(features))).any()


def test_a_share_of_the_sounds_is_varied(tiny, features):
    many = jnp.asarray(np.repeat(features[:1], 200, axis=0))
    varied = np.asarray(augment.augment(jax.random.key(0), many, config(tiny, vary=0.3)))
    changed = np.abs(varied - many).mean(axis=(1, 2)) > 1e-6
    assert 0.2 < changed.mean() < 0.4
