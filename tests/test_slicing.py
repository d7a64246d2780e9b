"""Recordings are cut where sounds begin: hiss is none, a ringing cymbal is one, and blocks leave no trace."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from experiments.common import loops, measures
from experiments.quality import slicing as measurement
from experiments.speed import slicing as slicing_speed
from vaelab import audio, data, slicing
from vaelab.audio import built_in_tape, reading, synth
from vaelab.config import ConfigError, SliceConfig

RATE = 22050


def noise(seconds, dbfs, seed=0):
    return built_in_tape.hiss(round(seconds * RATE), np.random.default_rng(seed), dbfs)


def on_hiss(sound, before=2.0, after=3.0, dbfs=-60.0):
    """A sound with some hiss around."""
    samples = np.concatenate([np.zeros(round(before * RATE), np.float32), sound, np.zeros(round(after * RATE))])
    return samples.astype(np.float32) + noise(len(samples) / RATE, dbfs)[: len(samples)]


def starts(segments):
    return np.array([start for start, _ in segments])


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("hiss_dbfs", "least"), [(-60, 0.93), (-40, 0.88)])
def test_events_of_a_built_in_tape_are_found(seed, hiss_dbfs, least):
    kinds = [kind for kind in synth.KINDS if kind != "machine"]  # which strikes many times
    made = built_in_tape.perform(60, seed, RATE, hiss_dbfs, hiss_dbfs - 3, kinds=kinds)
    true = np.array([event.start for event in made.events])
    found, _, _ = measurement.scores(true, starts(slicing.slice_recording(made.samples, RATE)))
    assert found >= least


@pytest.mark.skipif(
    not all(folder.is_dir() for folder in measures.FOLDERS),
    reason="needs the Debian packages hydrogen-drumkits and sonic-pi-samples",
)
def test_real_sounds_are_found_in_hiss_and_hum_better_than_by_librosa(monkeypatch):
    """One tape of each kind, of every fourth sound; `python -m experiments.quality.slicing` has more."""
    monkeypatch.setattr(measures, "sound_files", lambda folder: list(data.sound_files(folder))[::4])
    pool = measurement.sounds()
    rows = [[measurement.measure(pool, kind, db, 1, 15) for kind in measurement.TAPES] for db in (30, 15)]
    clear, noisy = np.mean(rows, axis=1)[:, ::3]  # F of ours, F of librosa
    assert clear[0] >= 0.9
    assert noisy[0] >= max(0.8, noisy[1] + 0.1)


@pytest.fixture(scope="module")
def drums(tmp_path_factory):
    """Built-in drums by their role in a loop."""
    root = synth.write_dataset(tmp_path_factory.mktemp("drums") / "drums", 5, sample_rate=RATE, progress=False)
    kinds = {"kick", "snare", "clap", "closed_hat", "tom"}
    return loops.by_role(
        [path for path in sorted(root.rglob("*.wav")) if path.parent.name in kinds], measurement.class_of
    )


@pytest.mark.parametrize("play", measurement.DENSE.values(), ids=measurement.DENSE)
def test_hits_of_loops_are_found(play, drums):
    """`python -m experiments.quality.slicing` measures it on real drums."""
    recordings = [partial(play, drums, seed, measurement.LOOPS_SNR_DB) for seed in range(3)]
    assert measurement.compared(recordings)[0] >= 0.95


@pytest.mark.parametrize(("preset", "apart", "least"), [("one_shots", 0.11, 60), ("breaks", 0.075, 60)])
def test_equal_hits_in_quick_succession_are_found(preset, apart, least):
    """Four seconds of them and more; the level before a hit is that of the hit before."""
    hit = noise(0.2, -20) * np.exp(-np.arange(round(0.2 * RATE)) / (0.05 * RATE))
    samples = noise(3 + 64 * apart, -70)
    for number in range(64):
        first = round((1 + number * apart) * RATE)
        samples[first : first + len(hit)] += hit
    found = starts(slicing.slice_recording(samples, RATE, slicing.PRESETS[preset]))
    assert least <= len(found) <= 64


def test_scores_match_one_to_one():
    assert measurement.scores(np.array([1.0, 2.0]), np.array([1.02, 1.04, 2.2])) == pytest.approx((0.4, 1 / 3, 0.5))
    assert measurement.scores(np.array([1.0, 2.0]), np.zeros(0)) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("dbfs", [-90, -60, -46])
def test_hiss_and_hum_are_no_material(dbfs):
    samples = noise(30, dbfs) + built_in_tape.hum(30 * RATE, RATE, dbfs - 10)
    samples[5 * RATE : 5 * RATE + 1000] *= 0.05  # a dropout
    assert slicing.slice_recording(samples, RATE) == []


@pytest.mark.parametrize("silent", [1, 3, 6, 20])
def test_hiss_that_begins_after_silence_is_no_material(silent):
    samples = np.concatenate([np.zeros(silent * RATE), noise(10, -55), np.zeros(3 * RATE)])
    assert slicing.slice_recording(samples, RATE) == []


@pytest.mark.parametrize("name", slicing.PRESETS)
def test_a_wall_of_noise_is_material(name):
    wall = np.concatenate([noise(5, -60), noise(20, -12), noise(5, -60)])
    found = slicing.slice_recording(wall, RATE, slicing.PRESETS[name])
    assert found[0][0] == pytest.approx(5, abs=0.05)
    assert found[-1][1] == pytest.approx(25, abs=0.1)
    assert all(end - start <= slicing.PRESETS[name].max_seconds + 0.01 for start, end in found)
    assert [end for _, end in found[:-1]] == [start for start, _ in found[1:]]
    for seconds in (1, 30):
        assert len(slicing.slice_recording(noise(seconds, -12), RATE)) >= 1


@pytest.mark.parametrize("dbfs", [-90, -60, -48])
def test_a_ringing_cymbal_stays_whole(dbfs):
    """Also one that rings longer than a segment may be."""
    for seed in range(3):
        cymbal, _ = synth.sound("open_hat", seed, RATE)
        assert len(slicing.slice_recording(on_hiss(cymbal, dbfs=dbfs), RATE)) == 1
    modes = np.random.default_rng(0).uniform(300, 9000, 60)
    times = np.arange(12 * RATE) / RATE
    long = np.mean([np.sin(2 * np.pi * hz * times) for hz in modes], axis=0) * np.exp(-times / 1.5)
    assert len(slicing.slice_recording(on_hiss(2 * long, dbfs=dbfs), RATE)) == 1


def test_a_segment_ends_where_its_sound_does():
    burst = noise(1.0, -15)
    ((start, end),) = slicing.slice_recording(on_hiss(burst), RATE)
    assert start == pytest.approx(2.0, abs=0.015)
    assert end == pytest.approx(3.0, abs=0.05)


def test_a_sound_that_swells_is_found_without_an_onset():
    swell = noise(3.0, -12) * np.linspace(0, 1, 3 * RATE) ** 2
    ((start, end),) = slicing.slice_recording(on_hiss(swell), RATE)
    assert 2.0 < start < 3.0
    assert end == pytest.approx(5.0, abs=0.05)


def test_a_drone_is_cut_where_it_changes():
    times = np.arange(3 * RATE) / RATE
    parts = [0.3 * np.sin(2 * np.pi * hz * times) + 0.1 * np.sin(2 * np.pi * 5 * hz * times) for hz in (110, 330)]
    config = SliceConfig(min_seconds=1, max_seconds=4, onsets=False)
    first, second = slicing.slice_recording(on_hiss(np.concatenate(parts)), RATE, config)
    assert first[1] == second[0] == pytest.approx(5.0, abs=0.05)


def test_a_drone_under_everything_is_not_lost():
    drone = 0.1 * np.sin(2 * np.pi * 80 * np.arange(60 * RATE) / RATE).astype(np.float32) + noise(60, -60)
    found = slicing.slice_recording(drone, RATE)
    assert sum(end - start for start, end in found) > 55


def test_more_sensitivity_finds_more():
    made = built_in_tape.perform(60, 3, RATE)
    counts = [len(slicing.slice_recording(made.samples, RATE, SliceConfig(value))) for value in (0.0, 0.5, 1.0)]
    assert counts[0] < counts[1] < counts[2]


@pytest.mark.parametrize("samples", [0, 1, 10, 500])
def test_next_to_nothing_has_no_segments(samples):
    assert slicing.slice_recording(np.zeros(samples), RATE) == []


@pytest.mark.parametrize("block", [999, 1 << 20])
def test_blocks_leave_no_trace(tmp_path, monkeypatch, block):
    made = built_in_tape.perform(20, 4, RATE)
    soundfile.write(tmp_path / "t.wav", np.stack([made.samples, made.samples], axis=1), RATE, subtype="FLOAT")
    monkeypatch.setattr(reading, "STREAMED_VALUES", 2 * block)
    assert slicing.slice_file(tmp_path / "t.wav") == slicing.slice_recording(made.samples, RATE)


def test_spans_leave_no_trace(monkeypatch):
    made = built_in_tape.perform(20, 4, RATE)
    whole = slicing.slice_recording(made.samples, RATE)
    monkeypatch.setattr(slicing, "SPAN", 777)
    assert slicing.slice_recording(made.samples, RATE) == whole


def test_memory_is_bounded(tmp_path):
    """Traced to the byte: what six times the length takes more is its levels, and not its samples."""
    import tracemalloc

    made = built_in_tape.perform(60, 5, 8000)
    peaks = []
    for times in (1, 6):
        soundfile.write(tmp_path / "t.wav", np.tile(made.samples, times), 8000)
        slicing.slice_file(tmp_path / "t.wav")
        tracemalloc.start()
        slicing.slice_file(tmp_path / "t.wav")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 5 * 60 * 250 * 200  # bytes: 200 a frame, of which 32 floats of two bytes twice


def test_a_tape_that_breaks_off_is_used_and_told(tmp_path):
    made = built_in_tape.perform(20, 6, RATE)
    for name, kept in (("t.wav", 0.5), ("t.flac", 0.5)):
        path = tmp_path / name
        soundfile.write(path, made.samples, RATE)
        content = path.read_bytes()
        path.write_bytes(content[: int(kept * len(content))])
        with pytest.warns(
            UserWarning, match=rf"{name}: breaks off at 00:00:\d\d\.\d\d\d, expected 00:00:(20.000|19.99\d)"
        ):
            found = slicing.slice_file(path)
        assert 5 < found[-1][1] < 15


def test_what_is_no_sound_is_refused(tmp_path):
    (tmp_path / "t.wav").write_text("no sound")
    with pytest.raises(audio.AudioError, match=r"t\.wav: expected a sound file"):
        slicing.slice_file(tmp_path / "t.wav")
    with pytest.raises(audio.AudioError, match="found none that can be opened"):
        slicing.slice_file(tmp_path / "none.wav")


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"sensitivity": 2}, "sensitivity: expected 0 to 1, found 2"),
        ({"max_seconds": 0.1}, "max_seconds: expected 4 min_seconds to 600 s"),
        ({"onsets": 1}, "onsets: expected true or false, found 1"),
        ({"sensitivty": 1}, "unknown sensitivty; valid keys: sensitivity"),
    ],
)
def test_impossible_knobs_are_refused(knobs, message):
    with pytest.raises(ConfigError, match=message):
        SliceConfig.from_dict(knobs)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads a process's memory as Linux tells it")
def test_an_hour_takes_a_minute_and_300_megabytes():
    _, seconds, megabytes = slicing_speed.measure(60)
    assert seconds < 60
    assert megabytes < 300
