"""Descriptors: sounds of known properties measure what they are, on the scales the docstring names."""

import numpy as np
import pytest

from vaelab.audio import descriptors, synth

RATE = 44100
TIMES = np.arange(2 * RATE) / RATE


def ring(hz, attack_s=0.0, decay_s=0.5):
    envelope = np.minimum(1, TIMES / attack_s) if attack_s else 1
    return envelope * np.exp(-TIMES / decay_s) * np.sin(2 * np.pi * hz * TIMES)


@pytest.mark.parametrize("hz", [110.0, 441.3, 3000.0])
def test_pitch_and_brightness_of_a_tone(hz):
    found = descriptors.measure(ring(hz), RATE)
    assert 2 ** found["pitch"] == pytest.approx(hz, rel=0.02)
    assert 2 ** found["brightness"] == pytest.approx(hz, rel=0.5)


def test_decay_and_attack_in_seconds():
    for decay_s in (0.05, 0.2):  # 20 dB is log(10) time constants
        assert 10 ** descriptors.measure(ring(500, decay_s=decay_s), RATE)["decay"] == pytest.approx(
            2.303 * decay_s, rel=0.15
        )
    for attack_s in (0.02, 0.1):
        found = 10 ** descriptors.measure(ring(500, attack_s, decay_s=5), RATE)["attack"]
        assert found == pytest.approx(0.8 * attack_s, rel=0.2)


def test_noise_is_noisier_than_a_tone():
    noise = np.random.default_rng(0).normal(size=RATE)
    assert descriptors.measure(noise, RATE)["noisiness"] > -4
    assert descriptors.measure(ring(500), RATE)["noisiness"] < -20


def test_level_and_silence_at_the_end_do_not_matter():
    sound, _ = synth.sound("snare", 3)
    found, again = (descriptors.measure(one, RATE) for one in (sound, 0.01 * np.pad(sound, (0, RATE))))
    for name in descriptors.UNITS:
        assert again[name] == pytest.approx(found[name], abs=0.05), name


def test_silence_and_the_shortest_sounds_are_no_trouble():
    assert all(map(np.isnan, descriptors.measure(np.zeros(100), RATE).values()))
    assert all(map(np.isnan, descriptors.measure(np.zeros(0), RATE).values()))
    for samples in (np.ones(1), np.array([0, 1.0, 0]), np.ones(RATE)):
        assert np.isfinite(list(descriptors.measure(samples, RATE).values())).all()
