"""A tape played by other sounds keeps its time."""

import shutil

import numpy as np
import pytest

import vaelab
from vaelab import SoundSampleTool, audio, data, slicing, training
from vaelab.audio import Sound, built_in_tape, synth
from vaelab.config import SliceConfig
from vaelab.datasets import cutting, segments
from vaelab.datasets.segments import CutError
from vaelab.play import levels, transcode
from vaelab.play.checks import ToolError
from vaelab.play.provenance import ProvenanceError
from vaelab.text import timecode

RATE = 8000
KINDS = ("kick", "snare", "clap", "metal", "tom", "drone")
WITHIN_S = 0.02


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny):
    """A cut tape of a minute, a model of it, another library."""
    folder = tmp_path_factory.mktemp("transcode")
    made = built_in_tape.perform(70, 5, RATE, kinds=KINDS)
    audio.write(folder / "t.wav", made.samples, RATE)
    data.dataset_of_tapes([folder / "t.wav"], "T", home=folder, progress=False)
    training.train(folder / "m", "T", tiny, num_steps=60, home=folder, progress=False)
    synth.write_dataset(folder / "other", 3, seed=9, sample_rate=RATE, kinds=["snare", "tom", "metal"], progress=False)
    return folder


@pytest.fixture(scope="module")
def tool(place):
    return SoundSampleTool(place / "m", library_dir=place / "other", home=place, progress=False)


@pytest.fixture(scope="module")
def folder(place):
    return place / "T" / "segments" / "t"


def onset_of_frames(samples):
    """Written here anew: seconds to the first 5 ms within 30 dB of the loudest 5 ms."""
    frames = samples[: len(samples) // 40 * 40].reshape(-1, 40).astype(float)
    powers = (frames**2).sum(axis=1)
    return 0.005 * np.flatnonzero(powers >= powers.max() / 1000)[0]


@pytest.mark.parametrize("relatives", [False, True])
def test_a_minute_keeps_its_onsets(tool, folder, relatives):
    made = transcode.transcode(tool, folder, 5.0, 60.0, relatives=relatives)
    assert len(made.samples) == 60 * RATE
    chosen = [one for one in segments.read(folder).segments if 5.0 <= one.start < 65.0]
    assert len(chosen) > 25
    track, before = made.samples, transcode.original(tool, folder, 5.0, 60.0).samples
    ends = [*(one.start for one in chosen[1:]), 65.0]
    for one, end in zip(chosen, ends, strict=True):
        first, middle, last = (round((moment - 5.0) * RATE) for moment in (one.start, one.end, end))
        assert np.abs(track[first:last]).max() > 0
        shift = onset_of_frames(track[first:last]) - onset_of_frames(before[first:middle])
        assert abs(shift) <= WITHIN_S, one


def test_what_is_heard_in_the_transcoding_is_where_the_tape_has_it(tool, folder):
    """By the slicer's ears: onsets found in the relatives' version are onsets of the tape."""
    made = transcode.transcode(tool, folder, 5.0, 60.0, relatives=True)
    heard = np.array([start for start, _ in slicing.slice_recording(made.samples, RATE)])
    wanted = np.array([one.start - 5.0 for one in segments.read(folder).segments if 5.0 <= one.start < 65.0])
    distances = np.abs(heard[None, :] - wanted[:, None]).min(axis=1)
    assert np.mean(distances <= WITHIN_S) > 0.9


def test_the_recipe_names_every_stretch(tool, folder, tmp_path):
    made = transcode.transcode(tool, folder, 0.0, 10.0)
    made.save(tmp_path / "t.wav")
    recipe = audio.read_recipe(tmp_path / "t.wav")
    chosen = [one for one in segments.read(folder).segments if one.start < 10.0]
    assert [source["tapes"][0]["timecode"] for source in recipe["sources"]] == [
        f"{timecode(one.start)} - {timecode(one.end)}" for one in chosen
    ]
    assert len(recipe["played"]) == len(chosen)


def test_a_long_segment_is_remade_whole(tool, folder):
    """Of clips that overlap: as long as the segment, with no hole at a joint."""
    long = max(segments.read(folder).segments, key=lambda one: one.end - one.start)
    original = audio.read(folder / long.path, RATE)
    made = transcode._remade(tool, folder / long.path, len(original), 0.5)
    assert len(original) > 2 * tool.model.audio.samples
    assert len(made) >= len(original)
    assert built_in_tape.frame_powers(made[: len(original)], RATE).min() > 0
    gains = sum(
        np.pad(transcode._joint(100, 25, index > 0, index < 3), (75 * index, 75 * (3 - index))) for index in range(4)
    )
    np.testing.assert_allclose(gains, 1, atol=1e-6)


def test_windows_that_overlap_are_refused(tool, place, tmp_path):
    """Each moment of the tape would be heard several times."""
    cutting.cut_tape(place / "t.wav", tmp_path / "windows", SliceConfig(hop_seconds=1.0))
    with pytest.raises(CutError, match="expected segments one after the other, found windows that overlap"):
        transcode.transcode(tool, tmp_path / "windows")


@pytest.mark.parametrize("relatives", [False, True])
def test_the_whole_tape_is_played(tool, folder, relatives):
    """Of the 70 s also those after the first 60."""
    made = transcode.transcode(tool, folder, relatives=relatives)
    last = segments.read(folder).segments[-1]
    assert made.seconds == pytest.approx(70, abs=1e-3)
    assert last.start > 62
    assert np.abs(made.samples[round(last.start * RATE) :]).max() > 0
    assert len(made.recipe["played"]) == len(segments.read(folder).segments)


def decibels(samples):
    """Mean power of each 50 ms, dB."""
    return 10 * np.log10((samples[: len(samples) // 400 * 400].reshape(-1, 400) ** 2).mean(axis=1) + 1e-10)


@pytest.mark.parametrize("relatives", [False, True])
def test_levels_follow_the_tape(tool, folder, relatives):
    """Peaks never above, and moments of 50 ms, loud or quiet, near those of each segment to its end."""
    made, apart = transcode.transcode(tool, folder, relatives=relatives), []
    for part in segments.read(folder).segments:
        before = audio.read(folder / part.path, RATE)
        first = round(part.start * RATE)
        after = made.samples[first : first + len(before)]
        assert np.abs(after).max() <= np.abs(before).max() * 1.01
        apart += [*(decibels(after) - decibels(before))[:-1]]  # the last 5 ms are faded
    assert np.mean(np.abs(apart) < 6) > 0.95
    assert abs(np.mean(apart)) < 2


def test_a_held_sound_is_held(tmp_path):
    """By a short relative, as long as it is, and by silence no longer."""
    held = np.sin(2 * np.pi * 55 * np.arange(3 * RATE) / RATE).astype(np.float32) * 0.5
    short = np.exp(-np.arange(RATE // 4) / 400).astype(np.float32) * np.sin(np.arange(RATE // 4) / 3)
    moved = levels.placed(levels.extended(short, len(held), RATE), held, RATE)
    apart = decibels(levels.followed(moved, held, RATE)) - decibels(held)
    assert np.abs(apart).max() < 6
    silent = levels.followed(np.zeros(RATE, np.float32), held[:RATE], RATE)
    assert not silent.any()
    assert len(levels.extended(np.zeros(10), 25, RATE)) == 25
    assert len(levels.extended(np.ones(1), 25, RATE)) == 25


@pytest.mark.parametrize("relatives", [False, True])
@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_regenerate_is_bit_identical(tool, folder, tmp_path, relatives, suffix):
    made = transcode.transcode(tool, folder, 20.0, 12.0, relatives=relatives)
    made.save(tmp_path / f"t{suffix}", bits=24)
    again = vaelab.regenerate(tmp_path / f"t{suffix}", tool)
    np.testing.assert_array_equal(again.samples, made.samples)
    again.save(tmp_path / f"again{suffix}", bits=24)
    assert (tmp_path / f"again{suffix}").read_bytes() == (tmp_path / f"t{suffix}").read_bytes()
    words = {part["by"] for part in again.recipe["played"]}
    assert words == {"relative" if relatives else "model"}


def test_moved_segments_are_told_by_their_content(place, tool, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "cut")
    made = transcode.transcode(tool, tmp_path / "cut", 0.0, 10.0)
    made.save(tmp_path / "mine" / "t.wav")
    shutil.move(tmp_path / "cut", tmp_path / "mine" / "old cut")
    with pytest.warns(UserWarning, match=r"the source is no more there; .*old cut.*, and \d+ more from that folder"):
        again = vaelab.regenerate(tmp_path / "mine" / "t.wav", tool)
    np.testing.assert_array_equal(again.samples, made.samples)
    shutil.rmtree(tmp_path / "mine" / "old cut")
    with pytest.raises(ProvenanceError, match=r"found none; put it back .its content is neither beside"):
        vaelab.regenerate(tmp_path / "mine" / "t.wav", tool)
    with pytest.raises(ProvenanceError, match="expected phase=None for a transcoding"):
        vaelab.regenerate(tmp_path / "mine" / "t.wav", tool, phase=False)


@pytest.mark.parametrize(
    "change",
    [
        {"played": []},
        {"played": [{"at": 0.0}]},
        {"played": [{"by": "relative", "at": 0.0, "source": 99}]},
        {"played": "x"},
        {"seconds": None},
        {"seconds": -1},
        {"detail": "x"},
    ],
    ids=str,
)
def test_damaged_recipes_are_named(tool, folder, tmp_path, change):
    made = transcode.transcode(tool, folder, 0.0, 3.0)
    Sound(made.samples, RATE, audio.Recipe({**made.recipe, **change})).save(tmp_path / "t.wav")
    with pytest.raises((ProvenanceError, ToolError), match="expected"):
        vaelab.regenerate(tmp_path / "t.wav", tool)


def test_what_cannot_be_played_is_told(place, tool, folder, tmp_path):
    with pytest.raises(CutError, match=r"expected segments as files from 00:05:00\.000 to 00:06:00\.000, found none"):
        transcode.transcode(tool, folder, 300.0, 60.0)
    with pytest.raises(CutError, match=r"tape\.json: expected the segments of a tape"):
        transcode.transcode(tool, tmp_path)
    with pytest.raises(ToolError, match="expected a library"):
        transcode.transcode(SoundSampleTool(place / "m"), folder, 0.0, 10.0, relatives=True)
    with pytest.raises(ToolError, match="detail: expected a number from 0 to 1, found 2"):
        transcode.transcode(tool, folder, 0.0, 10.0, detail=2)
