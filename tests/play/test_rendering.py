"""Rendering: levels, peaks, ends, onsets in line, and long sounds without a seam."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy import signal

from vaelab import model as models
from vaelab import spectral
from vaelab.audio import descriptors
from vaelab.config import AudioConfig
from vaelab.play import rendering


@pytest.fixture(scope="module")
def model(tiny):
    """Random weights, strong enough that latents differ in sound."""
    fresh = models.create(tiny.model, tiny.audio, jax.random.key(0))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: leaf + rng.normal(0, 0.1, leaf.shape).astype(np.float32), fresh.params)
    return dataclasses.replace(fresh, params=params)


@pytest.fixture
def z(model):
    return np.random.default_rng(1).normal(size=(6, model.config.latent_dim)).astype(np.float32)


def test_the_true_peak_is_that_between_the_samples():
    between = np.sin(np.pi / 2 * np.arange(400) + np.pi / 4)  # all samples at 0.707 of the wave's peak
    assert rendering.true_peak(between[100:300] * signal.windows.tukey(200, 0.5)) == pytest.approx(1, abs=0.02)
    assert rendering.true_peak(np.array([0.5])) >= 0.5


@pytest.mark.parametrize("shape", [(500,), (500, 2), (1,)])
def test_between_samples_the_waveform_is_that_of_scipys_polyphase_filter(shape):
    samples = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    between = np.abs(signal.resample_poly(samples, 4, 1)).reshape(len(samples), 4, -1)[:, 1:]
    assert rendering.true_peak(samples) == pytest.approx(max(np.abs(samples).max(), between.max()), rel=1e-6)


def test_a_sound_without_a_level_peaks_at_minus_one_dbtp(model, z):
    samples = rendering.render(model, z[0])
    assert rendering.true_peak(samples) == pytest.approx(rendering.PEAK, rel=1e-3)
    assert samples.dtype == np.float32
    assert samples.shape == (model.audio.samples,)


@pytest.mark.parametrize("level_db", [-100.0, -20.0, 15.0])
def test_the_level_is_kept_below_full_scale(model, z, level_db):
    samples = rendering.render(model, z[0], level_db)
    measured = float(spectral.mel(samples[None], model.audio)[1][0])
    assert rendering.true_peak(samples) <= rendering.PEAK * 1.001
    assert measured <= level_db + 0.1
    if rendering.true_peak(samples) < 0.99 * rendering.PEAK:
        assert measured == pytest.approx(max(level_db, -100), abs=0.1)


def test_the_ends_are_faded(model, z):
    samples = rendering.render(model, z[0])
    assert abs(samples[-1]) < 1e-6
    assert abs(samples[0]) < 0.3 * rendering.PEAK


@pytest.mark.parametrize("seconds", [0.1, 0.5, 1.7])
def test_any_length(model, z, seconds):
    samples = rendering.render_path(model, z, seconds)
    assert len(samples) == round(seconds * model.audio.sample_rate)
    assert rendering.true_peak(samples) == pytest.approx(rendering.PEAK, rel=1e-3)


@dataclasses.dataclass
class Humming:
    """Stands in for a model whose every sound goes on evenly, so that only seams can make it change."""

    audio: AudioConfig

    def decode(self, z, headroom=False):
        bands = np.arange(self.audio.n_mels)
        spectra = np.stack([0.3 + 0.7 * np.exp(-(((bands - 6 - point[0]) / 1.5) ** 2)) for point in np.asarray(z)])
        return np.repeat(spectra[:, None, :], self.audio.frames, axis=1).astype(np.float32)


def seam_flux(samples, config, clip_hop):
    """How many standard errors the spectral flux near multiples of `clip_hop` samples lies above that elsewhere."""
    long = dataclasses.replace(config, clip_seconds=len(samples) / config.sample_rate)
    magnitude = np.abs(np.asarray(spectral.stft(samples[None], long)))[0]
    flux = np.linalg.norm(np.maximum(np.diff(magnitude, axis=0), 0), axis=1) / np.linalg.norm(magnitude[1:], axis=1)
    inner = np.arange(8, len(flux) - 8)
    place = (inner * config.hop_length) % clip_hop
    seams = np.minimum(place, clip_hop - place) <= config.hop_length
    at, elsewhere = flux[inner[seams]], flux[inner[~seams]]
    return (at.mean() - elsewhere.mean()) / (elsewhere.std() / np.sqrt(len(at)))


def test_a_long_sound_has_no_seam():
    """Flux where clips begin is as elsewhere; the same measurement finds the seams of clips put end to end."""
    config = AudioConfig(sample_rate=8000, clip_seconds=0.5, n_fft=256, hop_length=64, n_mels=24)
    humming, points = Humming(config), np.linspace(0, 8, 12)[:, None].astype(np.float32)
    samples = rendering.render_path(humming, points, 8.0)
    assert seam_flux(samples, config, config.frames // 4 * config.hop_length) < 2.5
    apart = np.concatenate([rendering.render(humming, point) for point in points])
    assert seam_flux(apart, config, config.samples) > 5


def test_a_long_sound_follows_its_path():
    config = AudioConfig(sample_rate=8000, clip_seconds=0.5, n_fft=256, hop_length=64, n_mels=24)
    samples = rendering.render_path(Humming(config), np.array([[0.0], [12.0]], np.float32), 6.0)
    thirds = [descriptors.measure(part, 8000)["brightness"] for part in np.split(samples, 3)]
    assert thirds[0] < thirds[1] < thirds[2]
    loudness = [np.sqrt(np.square(part).mean()) for part in np.split(samples[4000:-4000], 16)]
    assert max(loudness) < 2.5 * min(loudness)
