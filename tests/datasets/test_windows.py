"""All windows of long files: at equal distances, to the end, with their places; no held-out moment is trained on."""

import numpy as np
import pytest
import soundfile

from vaelab import cli, slicing
from vaelab.audio import built_in_tape
from vaelab.config import ConfigError, SliceConfig
from vaelab.data import DatasetError, load_dataset, make_dataset
from vaelab.datasets import windows

RATE = 8000


def tone(path, seconds, frequency=200.0, silent=(0.0, 0.0)):
    """A tone whose pitch rises, so that no window is like another, silent between two moments."""
    times = np.arange(round(RATE * seconds)) / RATE
    samples = 0.3 * np.sin(2 * np.pi * times * (frequency + 3 * times))
    samples[round(RATE * silent[0]) : round(RATE * silent[1])] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE)


def made(roots, home, **choices):
    return make_dataset(roots, "set", home=home, progress=False, **choices)


@pytest.mark.parametrize(
    ("seconds", "hop", "starts"),
    [
        (5.0, 1.0, [0, 1, 2, 3]),
        (5.5, 1.0, [0, 1, 2, 3, 3.5]),
        (5.0, 2.0, [0, 2, 3]),
        (2.0, 1.0, [0]),
        (1.0, 1.0, [0]),
        (7.0, 5.0, [0, 5]),
    ],
)
def test_windows_reach_to_the_end(tmp_path, seconds, hop, starts):
    tone(tmp_path / "long.wav", seconds)
    cut = slicing.slice_file(tmp_path / "long.wav", SliceConfig(hop_seconds=hop))
    assert [start for start, _ in cut] == pytest.approx(starts)
    assert [end for _, end in cut] == pytest.approx([min(start + 2, seconds) for start in starts])


def test_silent_windows_are_left_out(tmp_path):
    tone(tmp_path / "long.wav", 12, silent=(3, 9))
    cut = slicing.slice_file(tmp_path / "long.wav", SliceConfig(hop_seconds=1.0))
    assert [start for start, _ in cut] == pytest.approx([0, 1, 2, 8, 9, 10])


def test_a_dataset_of_windows(tmp_path):
    """Short sounds as they are, windows of long ones with label, tape and time code; nothing is lost silently."""
    tone(tmp_path / "in" / "drone" / "long.wav", 30)
    tone(tmp_path / "in" / "drone" / "short.wav", 1, 300)
    tone(tmp_path / "in" / "bell" / "other.wav", 20, 500)
    dataset = made([tmp_path / "in"], tmp_path / "home", classes=True, hop_seconds=0.5, train_ratio=0.8)
    assert dataset.class_names == ("bell", "drone")
    assert {skip["reason"] for skip in dataset.skipped} == {windows.CUT, windows.OVERLAPS}
    overlapping = sum(skip["reason"] == windows.OVERLAPS for skip in dataset.skipped)
    assert len(dataset.entries) + overlapping == 57 + 37 + 1
    assert {tape["path"] for tape in dataset.tapes} == {
        str(tmp_path / "in" / "drone" / "long.wav"),
        str(tmp_path / "in" / "bell" / "other.wav"),
    }
    assert all(entry.label in dataset.tapes[entry.tape]["path"] for entry in dataset.entries if entry.tape is not None)
    assert load_dataset("set", tmp_path / "home") == dataset
    assert made([tmp_path / "in"], tmp_path / "home", classes=True, hop_seconds=0.5, train_ratio=0.8) == dataset


@pytest.mark.parametrize("hop", [0.25, 1.0, 1.9])
@pytest.mark.parametrize("seed", range(3))
def test_nothing_held_out_is_trained_on(tmp_path, hop, seed):
    tone(tmp_path / "in" / "a.wav", 60)
    tone(tmp_path / "in" / "b.wav", 9, 400)
    dataset = made([tmp_path / "in"], tmp_path / "home", hop_seconds=hop, seed=seed)
    held_out = [(entry.tape, entry.start, entry.end) for entry in dataset.side("validation")]
    assert held_out
    for entry in dataset.side("train"):
        assert not any(tape == entry.tape and start < entry.end and end > entry.start for tape, start, end in held_out)
    assert len(dataset.side("train")) > 0.6 * (len(dataset.entries) + len(dataset.skipped))


def test_a_file_that_changes_is_cut_anew(tmp_path):
    tone(tmp_path / "in" / "a.wav", 20)
    first = made([tmp_path / "in"], tmp_path / "home", hop_seconds=1.0)
    tone(tmp_path / "in" / "a.wav", 12, 700)
    second = made([tmp_path / "in"], tmp_path / "home", hop_seconds=1.0)
    assert {tape["seconds"] for tape in second.tapes} == {12.0}
    assert not {entry.sha256 for entry in first.entries} & {entry.sha256 for entry in second.entries}


def test_a_long_file_without_sound_is_named(tmp_path):
    tone(tmp_path / "in" / "a.wav", 20)
    tone(tmp_path / "in" / "b.wav", 20, silent=(0.1, 20))
    tone(tmp_path / "in" / "c.wav", 1)
    dataset = made([tmp_path / "in"], tmp_path / "home", hop_seconds=1.0)
    assert {skip["path"] for skip in dataset.skipped} >= {"a.wav", "b.wav"}
    assert len(dataset.tapes) >= 1


def test_a_recording_too_short_to_hold_out_a_part_is_refused(tmp_path):
    tone(tmp_path / "in" / "a.wav", 3)
    with pytest.raises(DatasetError, match="a recording by itself must be four windows long"):
        made([tmp_path / "in"], tmp_path / "home", hop_seconds=0.5)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"hop_seconds": -1.0}, "hop_seconds: expected 0, which cuts at sounds, or 0.01 to 600 s, found -1"),
        ({"hop_seconds": 1.0, "window_seconds": 0.0}, "window_seconds: expected 0.05 to 600 s, found 0"),
    ],
)
def test_impossible_windows_are_refused(tmp_path, choices, message):
    (tmp_path / "in").mkdir()
    with pytest.raises(ConfigError, match=message):
        made([tmp_path / "in"], tmp_path / "home", **choices)


def test_the_command_cuts_folders_and_tapes(tmp_path, capsys):
    tone(tmp_path / "in" / "a.wav", 20)
    soundfile.write(tmp_path / "tape.wav", built_in_tape.perform(20, 0, RATE).samples, RATE)
    command = ["make-dataset", "--dataset-name", "set", "--home", str(tmp_path / "home"), "--hop-seconds", "1"]
    assert cli.main([*command, "--data-dir", str(tmp_path / "in"), "--tape", str(tmp_path / "tape.wav")]) == 0
    dataset = load_dataset("set", tmp_path / "home")
    assert {len([entry for entry in dataset.entries if entry.tape == tape]) > 10 for tape in (0, 1)} == {True}
    assert "segments" in capsys.readouterr().out
    slicing_it = ["slice", str(tmp_path / "tape.wav"), "--out-dir", str(tmp_path / "cut"), "--no-picture"]
    assert cli.main([*slicing_it, "--window-seconds", "1"]) == 1
    assert "--window-seconds: expected --hop-seconds above 0 beside it" in capsys.readouterr().err
    assert cli.main([*slicing_it, "--window-seconds", "1", "--hop-seconds", "0.5"]) == 0
    assert len(list((tmp_path / "cut").glob("*.wav"))) >= 30
