"""Sound for features without a phase: it begins when they do, has their bands, and keeps tones and noise apart."""

import numpy as np
import pytest
from scipy import signal

from experiments.common import hearing
from vaelab import spectral, texture
from vaelab.config import AudioConfig

CONFIGS = {"44.1 kHz": AudioConfig(), "16 kHz": AudioConfig.samplevae()}
ONSETS_S = (0.0, 0.003, 0.031, 0.25, 0.5004)
DECAY_S = 0.2


def decaying(config: AudioConfig, onset_s: float, tonal: bool) -> np.ndarray:
    """A tone or noise that begins at once and decays: (samples,)."""
    time = np.arange(config.samples) / config.sample_rate - onset_s
    wave = np.sin(2 * np.pi * 330 * time) if tonal else np.random.default_rng(0).normal(size=len(time))
    return np.where(time >= 0, wave * np.exp(-np.maximum(time, 0) / DECAY_S), 0).astype(np.float32)


def played(samples: np.ndarray, config: AudioConfig) -> np.ndarray:
    """The sound for the features of some samples."""
    features, _ = spectral.mel(samples[None], config)
    return np.asarray(texture.synthesise(features, config))[0]


def flicker_db(samples: np.ndarray, config: AudioConfig) -> float:
    """Deviation of the envelope about 330 Hz from an exponential decay."""
    band = signal.butter(2, (260, 420), "bandpass", fs=config.sample_rate, output="sos")
    envelope = np.abs(signal.hilbert(signal.sosfiltfilt(band, samples)))[config.n_fft : config.n_fft * 10]
    decibels, index = 20 * np.log10(envelope), np.arange(len(envelope))
    return float(np.std(decibels - np.polyval(np.polyfit(index, decibels, 1), index)))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("tonal", [False, True], ids=["noise", "tone"])
def test_it_begins_where_the_features_begin(config, tonal):
    sounds = np.stack([decaying(config, onset, tonal) for onset in ONSETS_S])
    onsets = np.asarray(texture.onsets(spectral.mel(sounds, config)[0], config)) / config.sample_rate
    np.testing.assert_allclose(onsets, ONSETS_S, atol=0.003)


def test_silence_begins_at_the_start_and_stays_silent():
    config = CONFIGS["16 kHz"]
    silence = np.zeros((1, config.frames, config.n_mels), np.float32)
    assert np.asarray(texture.onsets(silence, config)) == [0]
    assert np.abs(np.asarray(texture.synthesise(silence, config))).max() < 1e-4


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_nothing_is_heard_before_the_onset(config):
    """Without the onset, half a window before it is filled: -24 dB in the median of real sounds."""
    sound = played(decaying(config, 0.25, tonal=False), config)
    onset = round(0.25 * config.sample_rate)
    assert hearing.echo_before_onset_db(sound, config.sample_rate, onset) < -60


@pytest.mark.parametrize("tonal", [False, True], ids=["noise", "tone"])
def test_its_features_are_those_that_went_in(tonal):
    config = CONFIGS["44.1 kHz"]
    wanted, _ = spectral.mel(decaying(config, 0.1, tonal)[None], config)
    features, _ = spectral.mel(played(decaying(config, 0.1, tonal), config)[None], config)
    audible = np.asarray(wanted) > 1 - hearing.AUDIBLE_DB / config.top_db
    assert config.top_db * np.abs(np.asarray(features) - np.asarray(wanted))[audible].mean() < 2.5


def test_tones_stay_tones_and_noise_stays_noise():
    """The envelope of a tone does not flicker; that of noise does, and is not modulated at the hop's rate."""
    config = CONFIGS["44.1 kHz"]
    tone, noise = (played(decaying(config, 0.0, tonal), config) for tonal in (True, False))
    assert flicker_db(tone, config) < 0.5 < 2 < flicker_db(noise, config)
    assert abs(hearing.hop_modulation(noise, config.sample_rate, config.hop_length)) < 0.03


def test_a_batch_is_its_sounds_one_by_one():
    config = CONFIGS["16 kHz"]
    sounds = np.stack([decaying(config, onset, tonal=True) for onset in (0.0, 0.25)])
    features, _ = spectral.mel(sounds, config)
    together = np.asarray(texture.synthesise(features, config))
    single = np.concatenate([np.asarray(texture.synthesise(row[None], config)) for row in features])
    np.testing.assert_allclose(together, single, atol=1e-4)
