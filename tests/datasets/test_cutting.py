"""From a tape to segments, a dataset and sounds that know where they come from."""

import json
import shutil

import joblib
import numpy as np
import pytest
import soundfile

from vaelab import SoundSampleTool, audio, cli, data, files, regenerate, slicing, training
from vaelab.audio import built_in_tape, synth
from vaelab.config import SliceConfig
from vaelab.datasets import cutting, segments
from vaelab.datasets.cutting import Drop
from vaelab.datasets.segments import CutError
from vaelab.play import provenance
from vaelab.text import timecode

RATE = 16000
METADATA = {"title": "Compilation 1987", "call number": "VHS 12"}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A tape of 20 s, and its file."""
    made = built_in_tape.perform(20, 1, RATE)
    return made, audio.write(tmp_path_factory.mktemp("archive") / "tape 87.wav", made.samples, RATE)


@pytest.fixture
def cut(recorded, tmp_path):
    return cutting.cut_tape(recorded[1], tmp_path / "cut", metadata=METADATA)[0]


def test_each_segment_is_the_stretch_of_the_tape(recorded, cut, tmp_path):
    assert [(one.start, one.end) for one in cut.segments] == [
        pytest.approx(place, abs=1e-6) for place in slicing.slice_file(recorded[1])
    ]
    original, _ = soundfile.read(recorded[1])
    for one in cut.segments:
        samples, rate = soundfile.read(tmp_path / "cut" / one.path)
        assert rate == RATE
        stretch = original[round(one.start * RATE) : round(one.end * RATE)]
        assert len(samples) == len(stretch)
        inner = slice(round(0.001 * RATE), len(stretch) - round(0.005 * RATE))  # of the fades
        np.testing.assert_array_equal(samples[inner], stretch[inner])
    assert cut.segments[0].path == f"tape 87_{timecode(cut.segments[0].start).translate({58: 45, 46: 45})}.wav"


def test_a_segment_names_its_tape(recorded, cut, tmp_path):
    one = cut.segments[2]
    (stretch,) = provenance.tapes(tmp_path / "cut" / one.path)
    assert stretch["path"] == str(recorded[1])
    assert stretch["sha256"] == cut.sha256
    assert stretch["metadata"] == METADATA
    assert stretch["timecode"] == f"{timecode(one.start)} - {timecode(one.end)}"
    (part,) = provenance.tapes(tmp_path / "cut" / one.path, 0.05, 0.02)
    assert part["start"] == pytest.approx(one.start + 0.05)
    assert part["seconds"] == pytest.approx(0.02)
    assert provenance.tapes(recorded[1]) == []


def test_a_cut_that_failed_leaves_no_stray_sounds(recorded, tmp_path, monkeypatch):
    """Whatever of it was written: the next one removes the files of both cuts."""
    folder = tmp_path / "cut"
    cutting.cut_tape(recorded[1], folder)
    whole = segments.write_labels
    monkeypatch.setattr(segments, "write_labels", raise_full)
    with pytest.raises(OSError, match="full"):
        cutting.cut_tape(recorded[1], folder, SliceConfig(sensitivity=0.9))
    monkeypatch.setattr(segments, "write_labels", whole)
    cut, _ = cutting.cut_tape(recorded[1], folder, SliceConfig(sensitivity=0.2))
    assert {path.name for path in folder.glob("*.wav")} == {segment.path for segment in cut.segments}


def raise_full(*_):
    raise OSError("the disk is full")


def test_references_write_no_sounds(recorded, tmp_path):
    cut, _ = cutting.cut_tape(recorded[1], tmp_path, references=True)
    assert {path.name for path in tmp_path.iterdir()} == {"tape.json", "labels.txt"}
    assert segments.read(tmp_path).segments == cut.segments


def test_edits_survive_another_slicing(recorded, cut, tmp_path):
    folder = tmp_path / "cut"
    lines = (folder / "labels.txt").read_text().splitlines()
    first, deleted, *others = lines
    start, end, _ = first.split("\t")
    moved = f"{float(start) + 0.01:.6f}\t{float(end) - 0.02:.6f}\tmy sound"
    (folder / "labels.txt").write_text("\n".join([moved, *others]))
    again, _ = cutting.cut_tape(recorded[1], folder, SliceConfig(sensitivity=0.4), drop=Drop(True, True))
    assert again.segments[0].label == "my sound"
    assert again.segments[0].place == (round(float(start) + 0.01, 6), round(float(end) - 0.02, 6))
    assert not any(abs(one.start - float(deleted.split("\t")[0])) < 0.01 for one in again.segments)
    assert again.metadata == METADATA
    on_disk = {path.name for path in folder.glob("*.wav")}
    assert on_disk == {one.path for one in again.segments}  # files of segments that are no more are gone
    third, _ = cutting.cut_tape(recorded[1], folder, SliceConfig(sensitivity=0.4), drop=Drop(True, True))
    assert third.segments == again.segments


def test_labels_of_another_hand_are_used_as_they_are(recorded, tmp_path):
    (tmp_path / "mine.txt").write_text("1.5\t2.5\tone\n4\t4.5\ttwo\n")
    cut, _ = cutting.cut_tape(recorded[1], tmp_path / "cut", labels=tmp_path / "mine.txt")
    assert [(one.start, one.end, one.label) for one in cut.segments] == [(1.5, 2.5, "one"), (4.0, 4.5, "two")]


def test_duplicates_and_silence_are_dropped_and_counted(tmp_path):
    sounds = [synth.sound(kind, 1, RATE)[0] for kind in ("kick", "snare", "metal", "clap")]
    soft = 0.003 * synth.sound("tom", 1, RATE)[0]
    played, at = [], 0.5
    for samples in [*sounds, *sounds, soft]:
        played.append((at, "", samples))
        at += len(samples) / RATE + 0.5
    made = built_in_tape.assemble(played, at, RATE, np.random.default_rng(0), -75)
    audio.write(tmp_path / "t.wav", made.samples, RATE)
    kept, _ = cutting.cut_tape(tmp_path / "t.wav", tmp_path / "all")
    assert (len(kept.segments), kept.dropped) == (9, {"silence": 0, "duplicates": 0})
    kept, _ = cutting.cut_tape(tmp_path / "t.wav", tmp_path / "few", drop=Drop(True, True))
    assert (len(kept.segments), kept.dropped) == (4, {"silence": 1, "duplicates": 4})


def test_another_tapes_folder_is_not_touched(recorded, cut, tmp_path):
    other = audio.write(tmp_path / "other.wav", built_in_tape.perform(5, 2, RATE).samples, RATE)
    with pytest.raises(CutError, match=r"expected segments of this tape, found those of .*tape 87\.wav"):
        cutting.cut_tape(other, tmp_path / "cut")


def test_silence_and_what_is_too_short_is_told(tmp_path):
    audio.write(tmp_path / "silent.wav", built_in_tape.hiss(5 * RATE, np.random.default_rng(0), -70), RATE)
    with pytest.raises(CutError, match=r"silent\.wav: expected sound that rises above hiss, found none in 5\.0 s"):
        cutting.cut_tape(tmp_path / "silent.wav", tmp_path / "out")
    audio.write(tmp_path / "short.wav", synth.sound("kick", 1, RATE)[0], RATE)
    with pytest.raises(CutError, match=r"short\.wav: expected a tape of at least 2 s, which is one clip"):
        cutting.cut_tape(tmp_path / "short.wav", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_dataset_from_two_tapes_to_sounds_that_name_them(recorded, tmp_path, tiny):
    """The manifest, the model, and every generated sound know tapes and time codes."""
    second = audio.write(tmp_path / "b" / "tape 88.flac", built_in_tape.perform(12, 2, RATE).samples, RATE)
    home = tmp_path / "datasets"
    made = data.dataset_of_tapes([recorded[1], second], "Tapes", metadata=METADATA, home=home, progress=False)
    assert [one["path"] for one in made.tapes] == [str(recorded[1]), str(second)]
    assert all(entry.tape is not None and entry.end > entry.start for entry in made.entries)
    assert "tape Compilation 1987:" in made.report()
    manifest = json.loads((home / "Tapes" / "manifest.json").read_text())
    assert manifest["tapes"][0]["metadata"] == METADATA
    assert {"tape", "start", "end"} <= set(manifest["files"][0])

    training.train(tmp_path / "m", "Tapes", tiny, num_steps=5, home=home, progress=False)
    tool = SoundSampleTool(tmp_path / "m")
    entries = [next(entry for entry in made.entries if entry.tape == number) for number in (0, 1)]
    paths = [made.source(entry) for entry in entries]
    tool.generate(out_file=tmp_path / "g" / "mix.wav", audio_files=paths, seed=1)
    named = [source["tapes"][0] for source in provenance.read(tmp_path / "g" / "mix.wav")["sources"]]
    assert [one["path"] for one in named] == [str(recorded[1]), str(second)]
    assert [one["start"] for one in named] == [pytest.approx(entry.start, abs=1e-5) for entry in entries]
    assert named[0]["metadata"] == METADATA
    again = regenerate(tmp_path / "g" / "mix.wav")
    assert again.recipe["sources"][0]["tapes"][0]["timecode"] == named[0]["timecode"]

    tool.generate(out_file=tmp_path / "second.wav", audio_files=[tmp_path / "g" / "mix.wav"], seed=1)
    (source,) = provenance.read(tmp_path / "second.wav")["sources"]
    assert [one["timecode"] for one in source["tapes"]] == [one["timecode"] for one in named]

    random = tool.generate(seed=1)
    assert random.recipe["trained_on"][0]["metadata"] == METADATA
    assert random.recipe["trained_on"][0]["timecode"] == "00:00:00.000 - 00:00:20.000"


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def tapes(tmp_path):
    """Two tapes, one that breaks off, and one that is silent, in this order: broken, first, second, silent."""
    folder = tmp_path / "tapes"
    for name, seed in (("broken", 3), ("first", 1), ("second", 2)):
        audio.write(folder / f"{name}.wav", built_in_tape.perform(8, seed, RATE).samples, RATE)
    body = (folder / "broken.wav").read_bytes()
    (folder / "broken.wav").write_bytes(body[: len(body) // 2])
    audio.write(folder / "silent.wav", np.zeros(5 * RATE, np.float32), RATE)
    return sorted(folder.iterdir())


def test_tapes_cut_side_by_side_are_those_cut_alone(tapes, tmp_path):
    """The same bytes; what a worker warned of and refused is a warning and an error here."""
    with pytest.warns(UserWarning, match=r"broken\.wav: breaks off at"):
        errors = list(cutting.cut_tapes(tapes, [tmp_path / "out" / tape.stem for tape in tapes]))
    assert [type(error) for error in errors] == [type(None), type(None), type(None), audio.AudioError]
    assert "silent.wav: expected sound, found silence" in str(errors[3])
    together = contents(tmp_path / "out")
    assert {name.partition("/")[0] for name in together} == {"broken", "first", "second"}
    shutil.rmtree(tmp_path / "out")
    with pytest.warns(UserWarning, match="breaks off"):
        cutting.cut_tape(tapes[0], tmp_path / "out" / tapes[0].stem)
    for tape in tapes[1:3]:
        cutting.cut_tape(tape, tmp_path / "out" / tape.stem)
    assert contents(tmp_path / "out") == together


def test_each_tape_is_cut_in_a_process_of_its_own(tapes, tmp_path, monkeypatch):
    """But for a single one, and where there are no processes."""

    def refuse(*_, **__):
        raise CutError("cut in the session")

    monkeypatch.setattr(cutting, "cut_tape", refuse)
    folders = [tmp_path / "a", tmp_path / "b"]
    assert list(cutting.cut_tapes(tapes[1:3], folders)) == [None, None]
    (error,) = cutting.cut_tapes(tapes[1:2], folders[:1])
    assert str(error) == "cut in the session"
    with joblib.parallel_config("sequential"):
        assert [str(error) for error in cutting.cut_tapes(tapes[1:3], folders)] == 2 * ["cut in the session"]


def test_a_sound_that_stays_is_named_from_any_process(tapes, tmp_path):
    """The type of an error, its path and its reason come back from a worker."""
    folders = [tmp_path / "a", tmp_path / "b"]
    assert list(cutting.cut_tapes(tapes[1:3], folders)) == [None, None]
    changed = sorted(folders[0].glob("*.wav"))[0]
    soundfile.write(changed, np.zeros(100), RATE)
    (folders[0] / segments.LABELS).unlink()
    error, other = cutting.cut_tapes(tapes[1:3], folders)
    assert isinstance(error, audio.TakenError)
    assert error.path == changed
    assert other is None


def test_what_an_ended_worker_left_goes(tapes, tmp_path):
    files.make_folder(tmp_path / "out")
    (tmp_path / "out" / f"{files.TEMPORARY}1.wav").write_bytes(b"half")
    cutting.cut_tape(tapes[1], tmp_path / "out")
    assert not list((tmp_path / "out").glob(f"{files.TEMPORARY}*"))


def test_segments_that_do_not_arrive_are_missed(tapes, tmp_path, monkeypatch):
    """As of a cluster whose workers write to disks of their own."""
    monkeypatch.setattr(cutting.workers, "long_outcomes", lambda _, items, __: [(([], None), None) for _ in items])
    errors = list(cutting.cut_tapes(tapes[1:3], [tmp_path / "a", tmp_path / "b"]))
    assert all("expected segments, found none; workers and session must share it" in str(error) for error in errors)


def test_two_tapes_of_one_name_are_refused(recorded, tmp_path):
    with pytest.raises(CutError, match="expected a name of its own for each, found 'tape 87' twice"):
        data.dataset_of_tapes([recorded[1], recorded[1]], "X", home=tmp_path)


def test_a_damaged_tape_file_is_told(recorded, cut, tmp_path):
    from vaelab import data

    (tmp_path / "cut" / "tape.json").write_text("{")
    with pytest.raises(data.DatasetError, match=r"tape\.json: expected the segments of a tape.*slice the tape again"):
        data.make_dataset([tmp_path / "cut"], "X", home=tmp_path, progress=False)


@pytest.fixture(scope="module")
def video(request, tmp_path_factory):
    """Minutes of mp4: a picture and AAC sound at 44.1 kHz, made with PyAV; the minute that it repeats, how often."""
    av = pytest.importorskip("av", reason="needs vaelab[video]")
    rate, path = 44100, tmp_path_factory.mktemp("video") / "tape.mp4"
    minute = built_in_tape.perform(60, 3, rate, dropouts_per_minute=0, kinds=["kick", "snare", "metal", "clap"])
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=1)
        picture.width = picture.height = 32
        sound = container.add_stream("aac", rate=rate, layout="mono", bit_rate=128_000)
        for minutes in range(request.param):
            for second in range(60):
                frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 4 * second, np.uint8))
                frame.pts = 60 * minutes + second
                container.mux(picture.encode(frame))
            for first in range(0, len(minute.samples), 1 << 16):
                block = minute.samples[None, first : first + (1 << 16)]
                frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), "fltp", "mono")
                frame.rate, frame.pts = rate, minutes * len(minute.samples) + first
                container.mux(sound.encode(frame))
        container.mux(picture.encode(None))
        container.mux(sound.encode(None))
    return path, minute, request.param


@pytest.mark.parametrize("video", [2, pytest.param(10, marks=pytest.mark.slow)], indirect=True)
def test_minutes_of_video_become_a_dataset(video, tmp_path, monkeypatch, capsys):
    path, minute, minutes = video
    monkeypatch.chdir(tmp_path)
    assert cli.main(["slice", str(path), "--out-dir", "cut", "--metadata", "title=Video"]) == 0
    out = capsys.readouterr().out
    assert f"of 00:{minutes:02d}:00" in out
    assert (tmp_path / "cut" / "slices.png").stat().st_size > 10_000
    assert cli.main(["make-dataset", "--data-dir", "cut", "--dataset-name", "V"]) == 0
    assert "tape Video:" in capsys.readouterr().out
    cut = segments.read("cut")
    assert len(cut.segments) > 10 * minutes
    reference = slicing.slice_recording(minute.samples, minute.sample_rate)
    wanted = (60 * np.arange(minutes)[:, None] + [start for start, _ in reference]).ravel()
    starts = np.array([one.start for one in cut.segments])
    distances = np.abs(starts[None, :] - wanted[:, None]).min(axis=1)
    assert np.mean(distances < 0.01) > 0.97  # AAC adds and hides some soft onsets
    for one in cut.segments[:: len(cut.segments) // 8]:  # the samples are those of the source at the time code
        samples, rate = soundfile.read(tmp_path / "cut" / one.path)
        place = round((one.start % 60) * rate)
        around = np.pad(minute.samples, rate)[place + rate - 882 : place + rate + len(samples) + 882]
        lag = int(np.correlate(around, samples[: len(around) - 1764], "valid").argmax()) - 882
        assert abs(lag) / rate < 0.01


def test_a_video_without_sound_is_told(tmp_path, capsys):
    av = pytest.importorskip("av", reason="needs vaelab[video]")
    with av.open(str(tmp_path / "mute.mp4"), "w") as container:
        picture = container.add_stream("mpeg4", rate=5)
        picture.width = picture.height = 32
        for _ in range(20):
            container.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))))
        container.mux(picture.encode(None))
    assert cli.main(["slice", str(tmp_path / "mute.mp4"), "--out-dir", str(tmp_path / "cut")]) == 1
    assert "mute.mp4: expected sound, found none beside the pictures" in capsys.readouterr().err


def test_a_truncated_tape_is_used_and_told(recorded, tmp_path, capsys):
    content = recorded[1].read_bytes()
    (tmp_path / "t.wav").write_bytes(content[: len(content) // 2])
    assert cli.main(["slice", str(tmp_path / "t.wav"), "--out-dir", str(tmp_path / "cut")]) == 0
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith("vaelab: ")
    assert "t.wav: breaks off at 00:00:09.999, expected 00:00:19.999" in told
    assert segments.read(tmp_path / "cut").segments[-1].end <= 10.01


@pytest.mark.parametrize("video", [2], indirect=True)
def test_a_truncated_video_is_told(video, tmp_path, capsys):
    content = video[0].read_bytes()
    (tmp_path / "t.mp4").write_bytes(content[: len(content) // 2])
    assert cli.main(["slice", str(tmp_path / "t.mp4"), "--out-dir", str(tmp_path / "cut")]) == 1
    assert "t.mp4: expected a sound or video file; FFmpeg says" in capsys.readouterr().err


def test_the_command_from_a_tape_to_a_dataset(recorded, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(recorded[1], "t.wav")
    command = [
        "make-dataset",
        "--tape",
        "t.wav",
        "--dataset-name",
        "T",
        "--preset",
        "one_shots",
        "--metadata",
        "date=1987",
    ]
    assert cli.main(command) == 0
    assert "  tape t.wav: " in capsys.readouterr().out
    assert (tmp_path / "datasets" / "T" / "segments" / "t" / "tape.json").exists()
    for command, message in (
        (["make-dataset", "--dataset-name", "T"], "expected --data-dir or --tape, found neither"),
        (["slice", "t.wav", "--out-dir", "x", "--preset", "loud"], "preset: expected one of one_shots, breaks, loops"),
        (["slice", "t.wav", "--out-dir", "x", "--metadata", "1987"], "metadata: expected KEY=VALUE"),
        (["slice", "none.wav", "--out-dir", "x"], "none.wav: expected a sound file, found none"),
    ):
        assert cli.main(command) == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_all_labels_deleted_are_no_segments(recorded, tmp_path):
    """Said so; the tape and what was cut before stay whole, and without the file all come back."""
    tape, folder = recorded[1], tmp_path / "cut"
    content, (first, _) = tape.read_bytes(), cutting.cut_tape(tape, folder)
    (folder / "labels.txt").write_text("")
    for _ in range(2):
        cut, _ = cutting.cut_tape(tape, folder)
        assert cut.segments == ()
        assert segments.report(cut, folder).startswith("no segments: every label was deleted")
        assert list(folder.glob("*.wav")) == []
    assert tape.read_bytes() == content
    (folder / "labels.txt").unlink()
    cut, _ = cutting.cut_tape(tape, folder)
    assert [segment.place for segment in cut.segments] == [segment.place for segment in first.segments]
    (tmp_path / "none.txt").write_text("\n")
    with pytest.raises(segments.CutError, match=r"none\.txt: expected labels, found none; export them"):
        cutting.cut_tape(tape, tmp_path / "other", labels=tmp_path / "none.txt")


@pytest.mark.parametrize("preset", ["one_shots", "loops", "drones"])
def test_segments_begin_and_end_without_a_click(tmp_path, preset):
    """Loud noise that never rests, cut where its colour changes: as in the tape but for the very ends."""
    rng, rate = np.random.default_rng(0), 8000
    parts = [np.convolve(0.3 * rng.standard_normal(2 * rate), kernel, "same") for kernel in ([1], [1, 1, 1], [1, -1])]
    tape = np.clip(np.concatenate(4 * parts), -0.9, 0.9).astype(np.float32)
    audio.write(tmp_path / "tape.wav", tape, rate)
    cut, _ = cutting.cut_tape(tmp_path / "tape.wav", tmp_path / "cut", slicing.PRESETS[preset])
    assert cut.segments
    for segment in cut.segments:
        samples = audio.read(tmp_path / "cut" / segment.path, rate)
        assert abs(samples[0]) <= cutting.CLICK_IN
        assert abs(samples[-1]) <= cutting.CLICK_OUT
        start, inner = round(segment.start * rate), slice(8, len(samples) - 40)
        np.testing.assert_allclose(samples[inner], tape[start:][: len(samples)][inner], atol=2 / 32768)


def test_ends_that_are_quiet_stay_as_they_are():
    samples = np.concatenate([[0.0], np.full(800, 0.5), [0.001]]).astype(np.float32)
    np.testing.assert_array_equal(cutting._without_clicks(samples, 8000), samples)
    assert len(cutting._without_clicks(samples[:1], 8000)) == 1
    faded = cutting._without_clicks(samples[1:-1], 8000)
    assert (faded[0], faded[-1], faded[400]) == (0, 0, 0.5)
    assert np.abs(np.diff(faded)).max() < 0.11
