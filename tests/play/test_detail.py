"""Detail of a mix's sources: what comes back, at which level, and nothing before the onset."""

import dataclasses

import jax
import numpy as np
import pytest

from vaelab import model as models
from vaelab import spectral
from vaelab.config import AudioConfig
from vaelab.play import detail, rendering
from vaelab.play.detail import Detail

CONFIG = AudioConfig(sample_rate=8000, clip_seconds=0.5, n_fft=256, hop_length=64, n_mels=24)


@pytest.fixture(scope="module")
def model(tiny):
    """A model that was never trained: its decodings lack nearly everything."""
    return models.create(dataclasses.replace(tiny.model, labels=()), CONFIG, jax.random.key(0))


@pytest.fixture(scope="module")
def clips():
    """A decaying noise and a decaying tone that begins later."""
    rng, time = np.random.default_rng(0), np.arange(CONFIG.samples) / CONFIG.sample_rate
    noise = rng.normal(0, 0.2, CONFIG.samples) * np.exp(-time / 0.05)
    tone = np.where(time > 0.1, 0.5 * np.sin(2 * np.pi * 500 * time) * np.exp(-(time - 0.1) / 0.1), 0)
    return np.stack([noise, tone]).astype(np.float32)


def mixed(model, clips, weights, amount, phase=True) -> tuple[np.ndarray, Detail]:
    shares = np.array(weights, np.float32)
    features, levels = rendering.stored_features(clips, CONFIG)
    embeddings = rendering.embed(model, features)
    residuals = rendering.residuals(model, clips, embeddings)
    details = detail.of_sources(clips, shares, residuals, amount, CONFIG, phase)
    return rendering.render(model, shares @ embeddings, rendering.mean_level(levels, shares), details), details


@pytest.mark.parametrize("number", [0, 1])
def test_one_source_comes_back_as_itself(model, clips, number):
    sound, _ = mixed(model, clips[[number]], [1.0], 1.0)
    whole = slice(8, -CONFIG.n_fft)  # ends are faded
    np.testing.assert_allclose(sound[whole], clips[number, whole], atol=2e-3)


@pytest.mark.parametrize("phase", [True, False])
def test_more_detail_is_nearer_to_the_source(model, clips, phase):
    """As features say, with the source's phase and without."""
    wanted = spectral.mel(clips[:1], CONFIG)[0]
    errors = []
    for amount in (0.0, 0.3, 0.7, 1.0):
        sound, _ = mixed(model, clips[:1], [1.0], amount, phase)
        errors.append(float(np.abs(spectral.mel(sound[None], CONFIG)[0] - wanted).mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.2 * errors[0]


def test_a_mix_has_one_onset_and_its_residual_varies_as_one(model, clips):
    sound, details = mixed(model, clips, [0.5, 0.5], 1.0)
    onset = len(details.rise)
    assert onset == pytest.approx(np.mean([detail.onset(clip) for clip in clips]), abs=1)
    assert np.abs(sound[:onset]).max() <= 0.11 * np.abs(sound).max()
    assert np.abs(sound[: onset - 16]).max() < 0.01 * np.abs(sound).max()  # no echo above -40 dB
    alone = [mixed(model, clips[[number]], [1.0], 1.0)[1].residual.std() for number in (0, 1)]
    assert 0.7 * min(alone) < details.residual.std() < 1.4 * max(alone)


def test_the_onset_is_the_mean_of_the_sources_by_their_shares():
    clicks = np.zeros((2, CONFIG.samples), np.float32)
    clicks[0, 500], clicks[1, 1300] = 1, 1
    shares = np.array([0.75, 0.25], np.float32)
    summed = detail._aligned_sum(clicks, shares, detail._moves(clicks, shares))[0]
    assert np.flatnonzero(summed).tolist() == [700]
    assert summed[700] == 1


@pytest.mark.parametrize("weights", [[0.0, 0.0], [1.0, -1.0], [2.0, -1.0]])
def test_unusual_weights_make_finite_sounds(model, clips, weights):
    for amount in (0.0, 0.5, 1.0):
        assert np.isfinite(mixed(model, clips, weights, amount)[0]).all()


@pytest.mark.parametrize(
    "clip", [np.zeros(CONFIG.samples), np.eye(1, CONFIG.samples, 2000)[0], np.ones(CONFIG.samples)]
)
def test_extreme_sources_make_finite_sounds(model, clip):
    for amount in (0.0, 0.5, 1.0):
        assert np.isfinite(mixed(model, clip[None].astype(np.float32), [1.0], amount)[0]).all()


def test_equalising_moves_bands_by_decibels():
    noise = np.random.default_rng(0).normal(size=(1, CONFIG.samples)).astype(np.float32)
    features, level_db = spectral.mel(noise, CONFIG)
    gains = np.zeros_like(features)
    gains[:, :, 12:] = -12.0
    changed = spectral.istft(spectral.equalise(spectral.stft(noise, CONFIG), gains, CONFIG), CONFIG)
    after, level_after = spectral.mel(changed, CONFIG)
    moved = CONFIG.top_db * (np.asarray(after) - np.asarray(features)) + float(level_after[0] - level_db[0])
    inner = moved[0, 4:-6]
    assert np.abs(inner[:, 2:10]).mean() < 0.5
    assert np.median(inner[:, 14:22]) == pytest.approx(-12, abs=0.7)
