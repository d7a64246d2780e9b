"""A tape played by other sounds keeps its time."""

import numpy as np
import pytest

from vaelab import SoundSampleTool, audio, data, slicing, training
from vaelab.audio import built_in_tape, synth
from vaelab.datasets import segments
from vaelab.datasets.segments import CutError
from vaelab.play import transcode
from vaelab.play.checks import ToolError
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
    made, what = transcode._remade(tool, folder / long.path, original, 0.5)
    assert what["clips"] > 2
    assert len(made) >= len(original)
    gains = sum(
        np.pad(transcode._joint(100, 25, index > 0, index < 3), (75 * index, 75 * (3 - index))) for index in range(4)
    )
    np.testing.assert_allclose(gains, 1, atol=1e-6)


def test_what_cannot_be_played_is_told(place, tool, folder, tmp_path):
    with pytest.raises(CutError, match=r"expected segments as files from 00:05:00\.000 to 00:06:00\.000, found none"):
        transcode.transcode(tool, folder, 300.0)
    with pytest.raises(CutError, match=r"tape\.json: expected the segments of a tape"):
        transcode.transcode(tool, tmp_path)
    with pytest.raises(ToolError, match="expected a library"):
        transcode.transcode(SoundSampleTool(place / "m"), folder, 0.0, 10.0, relatives=True)
    with pytest.raises(ToolError, match="detail: expected a number from 0 to 1, found 2"):
        transcode.transcode(tool, folder, 0.0, 10.0, detail=2)
