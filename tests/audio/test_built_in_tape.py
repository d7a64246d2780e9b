"""The built-in tape: what is on it is where it says, and a seed decides all of it."""

import numpy as np
import pytest

from vaelab.audio import built_in_tape, synth

RATE = 8000


def power_db(samples):
    return 10 * np.log10(np.mean(np.square(samples, dtype=float)))


def test_events_are_where_they_are_said_to_be():
    made = built_in_tape.perform(30, 1, RATE, -np.inf, -np.inf, 0)
    assert len(made.samples) == 30 * RATE
    assert len(made.events) > 8
    silent = np.ones(len(made.samples), bool)
    for event in made.events:
        first, last = round(event.start * RATE), round(event.end * RATE)
        assert np.abs(made.samples[first : first + 400]).max() > 0.001
        silent[first - round(0.5 * RATE) : last] = False  # a swell begins before its onset
    assert np.abs(made.samples[silent]).max(initial=0) < 1e-3
    assert [event.start for event in made.events] == sorted(event.start for event in made.events)
    assert {event.kind for event in made.events} <= set(synth.KINDS)


def test_a_seed_decides_all():
    one, same, other = (built_in_tape.perform(5, seed, RATE) for seed in (1, 1, 2))
    assert np.array_equal(one.samples, same.samples)
    assert one.events == same.events
    assert not np.array_equal(one.samples, other.samples)


def test_hiss_and_hum_have_their_levels():
    quiet = built_in_tape.assemble([], 5, RATE, np.random.default_rng(0), -40, -50)
    assert power_db(quiet.samples) == pytest.approx(-39.6, abs=0.1)
    assert power_db(built_in_tape.hum(5 * RATE, RATE, -30)) == pytest.approx(-30, abs=0.1)
    assert not built_in_tape.hum(10, RATE, -np.inf).any()
    spectrum = np.abs(np.fft.rfft(built_in_tape.hum(5 * RATE, RATE, -30)))
    assert spectrum.argmax() == 5 * built_in_tape.MAINS_HZ


def test_dropouts_are_quieter():
    made = built_in_tape.assemble([], 60, RATE, np.random.default_rng(0), -30, dropouts_per_minute=20)
    assert len(made.dropouts) > 5
    for start, end in made.dropouts:
        assert power_db(made.samples[round(start * RATE) + 1 : round(end * RATE) - 1]) < -50


def test_an_onset_is_the_first_frame_near_the_peak():
    sound = np.zeros(RATE)
    sound[4000:] = 0.01
    sound[5000:6000] = 1.0
    assert built_in_tape.onset_of(sound, RATE) == 5000
    sound[4000:5000] = 0.1
    assert built_in_tape.onset_of(sound, RATE) == 4000


def test_impossible_wishes_are_refused():
    with pytest.raises(ValueError, match="seconds: expected above 0, found 0"):
        built_in_tape.perform(0)
    with pytest.raises(ValueError, match="expected one of kick"):
        built_in_tape.perform(5, kinds=["violin"])
