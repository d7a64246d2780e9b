"""The measures of how sounds are heard, on sounds whose properties are known."""

import numpy as np
import pytest

from experiments.common import hearing
from experiments.quality.heard import Judge, Played
from vaelab.audio import synth

RATE, HOP = 44100, 512
TIME = np.arange(RATE) / RATE


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, RATE).astype(np.float32)


def tone(hertz: float) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * TIME).astype(np.float32)


@pytest.mark.parametrize("depth", [0.1, 0.3])
def test_a_buzz_at_the_hops_rate_is_measured(depth):
    buzzing = noise() * (1 + depth * np.sin(2 * np.pi * RATE / HOP * TIME)).astype(np.float32)
    assert hearing.hop_modulation(buzzing, RATE, HOP) == pytest.approx(depth, rel=0.25)
    assert abs(hearing.hop_modulation(noise(), RATE, HOP)) < 0.03
    other = noise() * (1 + depth * np.sin(2 * np.pi * 1.6 * RATE / HOP * TIME)).astype(np.float32)
    assert abs(hearing.hop_modulation(other, RATE, HOP)) < 0.03


def test_the_buzz_of_a_short_or_dark_sound_is_not_measured():
    assert np.isnan(hearing.hop_modulation(tone(200)[:4000] * 1e-4, RATE, HOP))


def test_an_attack_is_the_time_of_the_rise():
    ramp = tone(1000) * np.minimum(1, TIME / 0.1).astype(np.float32)
    assert hearing.properties(ramp, RATE).attack_ms == pytest.approx(80, abs=5)
    click = np.zeros(RATE, np.float32)
    click[2000:] = tone(1000)[2000:]
    assert hearing.properties(click, RATE).attack_ms < 3


def test_brightness_is_energy_above_8_khz():
    both = tone(1000) + 0.1 * tone(10000)
    assert hearing.properties(both, RATE).bright_db == pytest.approx(-20, abs=0.2)
    assert hearing.properties(tone(1000), RATE).bright_db < -80


def test_a_tail_is_a_level_after_the_loudest_moment():
    decaying = noise() * (10 ** (-100 * TIME / 20)).astype(np.float32)
    assert hearing.properties(decaying, RATE).tail_db == pytest.approx(-30, abs=3)


def test_blurred_sounds_are_less_rough():
    """Noise is rough in time and over bands; a smooth noise of the same colour, many draws' mean power, is not."""
    rough = hearing.properties(noise(), RATE)
    steady = hearing.properties(tone(440), RATE)
    assert rough.time_roughness > 2
    assert rough.band_roughness > 1.5
    assert steady.time_roughness < 0.5


def test_an_echo_is_the_level_before_the_onset():
    sound = np.zeros(RATE, np.float32)
    sound[10000:] = tone(500)[10000:]
    sound[9000:9990] = 0.01 * tone(3000)[9000:9990]
    assert hearing.echo_before_onset_db(sound, RATE, 10000) == pytest.approx(-40, abs=0.5)
    assert np.isnan(hearing.echo_before_onset_db(sound, RATE, 100))


def test_the_statistics_do_not_depend_on_the_level():
    np.testing.assert_allclose(
        hearing.cepstral_statistics(noise(), RATE), hearing.cepstral_statistics(0.1 * noise(), RATE), atol=0.05
    )


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """A judge by twenty built-in sounds; the training sounds are of another seed."""
    kinds = ("kick", "snare", "clap", "metal")
    real = [np.resize(synth.sound(kind, seed, 16000)[0], 16000) for kind in kinds for seed in range(5)]
    other = [np.resize(synth.sound(kind, seed + 50, 16000)[0], 16000) for kind in kinds for seed in range(5)]
    paths = [tmp_path_factory.mktemp("real") / f"{number}.wav" for number in range(20)]
    measured = np.array([hearing.cepstral_statistics(samples, 16000) for samples in other])
    return Judge(paths, np.stack(real).astype(np.float32), np.stack(other), measured, 16000, 256)


def test_copies_are_detected_and_real_sounds_lie_at_the_floor(judge):
    copies = judge.row("copies", list(judge.clips), judge.singles)
    assert copies[1] == pytest.approx(1)
    assert copies[5] == 1.0
    real = judge.row("other sounds", list(judge.learned), judge.invented)
    assert real[5] is None  # without sources, and not played by a model
    strange = [noise(seed)[:16000] for seed in range(20)]
    assert judge.row("noise", strange, judge.invented)[1] > max(1.3, real[1])


def test_copies_that_a_model_plays_are_detected(judge):
    """Of a model that dulls all that it plays: its versions of training sounds are copies, other sounds are not."""

    def dulled(sounds):
        return np.array([hearing.cepstral_statistics(np.convolve(clip, np.ones(8) / 8), 16000) for clip in sounds])

    played = Played(dulled(judge.learned), dulled(judge.clips))
    assert judge.copies(judge.place(dulled(0.5 * judge.learned)), played) == 1.0
    assert judge.copies(judge.place(judge.training), played) < 0.2  # recordings, which it cannot play
    assert judge.copies(judge.place(dulled(judge.clips)), played) == pytest.approx(0.05, abs=0.05)


def test_a_sound_between_two_is_near_to_both(judge):
    points = judge.real[judge.pairs.of_sound].mean(axis=1)
    assert judge._near(points, judge.pairs.of_sound) == pytest.approx(1)
    assert judge._near(points + 50, judge.pairs.of_sound) > 3
