"""What a classifier hears: statistics as their words say, the scale of the training sounds."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy

from vaelab import training
from vaelab.audio import timbre
from vaelab.config import Config, ModelConfig
from vaelab.models.evaluate import Sounds

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("frames", "ends"), [(1, [1]), (2, [1, 2]), (5, [1, 2, 4, 5]), (8, [1, 2, 4, 8]), (9, [1, 2, 4, 8, 9])]
)
def test_stretches_double(frames, ends):
    stretches = timbre._stretches(frames)
    assert [end for _, end in stretches] == ends
    assert [start for start, _ in stretches] == [0, *ends[:-1]]


@pytest.mark.parametrize("shape", [(31, 24), (8, 5), (2, 40)])
def test_statistics_are_those_of_the_cepstrum(shape):
    features = RNG.random((3, *shape)).astype(np.float32)
    found = np.asarray(timbre.statistics(jnp.asarray(features), 4))
    for sound, row in zip(features.astype(float), found, strict=True):
        cepstrum = scipy.fft.dct(sound, axis=1, norm="ortho")[:, :4]
        changes = np.diff(cepstrum, axis=0)
        parts = [cepstrum.mean(0), cepstrum.std(0), changes.mean(0), changes.std(0)]
        parts += [cepstrum[start:end].mean(0) for start, end in timbre._stretches(shape[0])]
        expected = np.concatenate(parts)
        np.testing.assert_allclose(row[: len(expected)], expected, atol=2e-4)


@pytest.mark.parametrize("detailed", [False, True], ids=["plain", "detailed"])
@pytest.mark.parametrize(
    ("frames", "mels", "cepstra"), [(31, 24, 16), (172, 128, 16), (1, 5, 2), (2, 40, 60), (70, 3, 4)]
)
def test_statistics_are_counted_without_measuring_any(frames, mels, cepstra, detailed):
    measured = timbre.statistics(jnp.zeros((1, frames, mels)), cepstra, detailed)
    assert timbre.count(frames, mels, cepstra, detailed) == measured.shape[1]


def test_fewer_bands_than_numbers():
    assert timbre.statistics(jnp.zeros((2, 9, 3)), 12).shape == timbre.statistics(jnp.zeros((2, 9, 3)), 3).shape


def test_how_long_a_group_of_bands_lasts():
    """The lowest of 16 groups is loud for 4 frames and 24 dB lower for 5; silence is at its maximum all along."""
    features = np.zeros((1, 20, 32), np.float32)
    features[0, :4, :2], features[0, 4:9, :2] = 0.9, 0.6
    found = np.exp(np.asarray(timbre.lasting(jnp.asarray(features))).reshape(3, 16)) - 1
    np.testing.assert_allclose(found[:, 0], [4, 4, 9], rtol=1e-5)
    np.testing.assert_allclose(found[:, 1:], 20, rtol=1e-5)


def test_a_detailed_timbre_begins_with_the_plain_one():
    features = jnp.asarray(RNG.random((3, 31, 24)).astype(np.float32))
    plain, detailed = (np.asarray(timbre.statistics(features, 4, detailed)) for detailed in (False, True))
    np.testing.assert_allclose(detailed[:, : plain.shape[1]], plain, atol=1e-6)
    assert detailed.shape[1] > plain.shape[1]


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (31, 24)])
def test_a_detailed_timbre_is_finite(shape):
    for features in (jnp.zeros((2, *shape)), jnp.ones((2, *shape))):
        assert np.isfinite(timbre.statistics(features, 4, True)).all()


def test_the_envelope_counts_frames_near_the_maximum():
    """One band: at its maximum in the fourth frame, then 10 dB lower for five."""
    features = np.zeros((1, 20, 1), np.float32)
    features[0, 3], features[0, 4:9] = 0.9, 0.9 - 10 / timbre.RANGE_DB
    frames = np.expm1(np.asarray(timbre.envelope(jnp.asarray(features))))[0]
    np.testing.assert_allclose(frames[:6], [1, 1, 6, 6, 6, 6], rtol=1e-5)
    np.testing.assert_allclose(frames[6:], [3, (3 + 0.1 * (4 + 5 + 6 + 7 + 8)) / 1.5], rtol=1e-5)


def test_a_low_pitch_falls():
    """A kick: the loudest band of each stretch is lower than the one before."""
    features, path = np.zeros((1, 40, 64), np.float32), [12, 9, 7, 7, 5, 5, 5, 5]
    for frame in range(40):
        features[0, frame, path[frame] if frame < 8 else 3] = 1
    bands = np.asarray(timbre.low_pitch(jnp.asarray(features)))[0, : timbre.PITCH_STRETCHES] * 64
    np.testing.assert_allclose(bands, [12, 9, 7, 5, 3, 3], rtol=1e-6)


def test_a_tone_stands_out_and_noise_does_not():
    tone, flat = np.zeros((2, 1, 30, 64), np.float32)
    tone[:, :, 20], flat[:] = 1, 0.8
    details = [np.asarray(timbre.tonality(jnp.asarray(features)))[0] for features in (tone, flat)]
    assert details[0][:5].min() > 0.5
    assert np.abs(details[1]).max() < 1e-3


def test_the_scale_is_that_of_the_sounds():
    levels = RNG.integers(0, 256, (150, 20, 16)).astype(np.uint8)
    scale = timbre.fit(levels, 6)
    found = np.asarray(timbre.statistics(jnp.asarray(levels, jnp.float32) / 255, 6))
    np.testing.assert_allclose(scale.centre, found.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(scale.spread, found.std(axis=0), rtol=1e-4)


def test_sounds_that_are_alike_have_a_scale():
    scale = timbre.fit(np.zeros((1, 20, 16), np.uint8), 6)
    assert (scale.spread == timbre.LEAST_SPREAD).all()


def test_training_keeps_the_scale(tiny, tmp_path):
    """It follows from the training sounds, and no step moves it."""
    levels = RNG.integers(0, 256, (16, tiny.audio.frames, tiny.audio.n_mels)).astype(np.uint8)
    labels = (np.arange(16) % 2).astype(np.int32)
    sounds = Sounds(levels, labels, np.ones(16, np.float32))
    model = ModelConfig(**{**tiny.model.to_dict(), "labels": (("class", ("a", "b")),)})
    config = Config(tiny.audio, model, tiny.train)
    learnt = training.fit(sounds, sounds, config, tmp_path, num_steps=10, progress=False)
    scale = timbre.fit(levels, model.cepstra, detailed=True)
    np.testing.assert_array_equal(learnt.params["timbre"]["centre"], scale.centre)
    np.testing.assert_array_equal(learnt.params["timbre"]["spread"], scale.spread)
