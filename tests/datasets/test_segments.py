"""Cuts as JSON and as Audacity's labels: what is written is read, what a person did stays, what is damaged is told."""

import json

import pytest

from vaelab.datasets import segments
from vaelab.datasets.segments import CutError, CutTape, Segment
from vaelab.text import timecode

SEGMENTS = (Segment(0.5, 1.25, "", "t_1.wav"), Segment(2.0000004, 3.0, "kick", "t_2.wav"), Segment(3.0, 4.0))


def tape(**changes):
    return CutTape(
        **{"path": "/t/tape.wav", "sha256": "0" * 64, "seconds": 9.0, "metadata": {}, "segments": SEGMENTS} | changes
    )


def test_timecodes():
    assert timecode(0) == "00:00:00.000"
    assert timecode(3723.4567) == "01:02:03.457"
    assert timecode(59.9996) == "00:01:00.000"


def test_what_is_written_is_read(tmp_path):
    cut = tape(metadata={"title": "Ümläut"}, found=SEGMENTS[:1], dropped={"silence": 3}, path=str(tmp_path / "t.wav"))
    segments.write(cut, tmp_path / "in")
    read = segments.read(tmp_path / "in")
    assert read.segments == SEGMENTS
    assert read.found == (Segment(0.5, 1.25),)
    assert (read.path, read.metadata, read.dropped) == (str(tmp_path / "t.wav"), {"title": "Ümläut"}, {"silence": 3})


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"segments": [{"start": 0, "end": 1, "label": "", "path": "../x.wav"}]},
        {"segments": [{"start": 0, "end": 1, "label": "", "path": ".."}]},
        {"segments": [{"start": 2, "end": 1, "label": "", "path": None}]},
        {"segments": [{"start": 0, "end": float("nan"), "label": "", "path": None}]},
        {"tape": []},
        {"segments": 3},
    ],
)
def test_a_damaged_file_is_told(tmp_path, change):
    path = segments.write(tape(), tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CutError, match=r"tape\.json: expected the segments of a tape, found damaged text"):
        segments.read(tmp_path)


def test_a_stretch_keeps_the_order_of_its_keys():
    """They stand in the bytes of a segment's file, by whose hash datasets and stores know it."""
    assert list(tape().stretch(1.0, 0.5)) == ["path", "sha256", "start", "seconds", "timecode", "metadata"]


def test_labels_come_back_from_audacity(tmp_path):
    segments.write_labels(SEGMENTS, tmp_path / "l.txt")
    assert [one.place for one in segments.read_labels(tmp_path / "l.txt", 9.0)] == [one.place for one in SEGMENTS]
    (tmp_path / "l.txt").write_text(
        "\ufeff4\t4\tpoint\n\\\t100.0\t200.0\n1.0\t2.5\t00:00:01.000\n\n6\t99\tend\n", "utf-8"
    )
    assert segments.read_labels(tmp_path / "l.txt", 9.0) == [
        Segment(1.0, 2.5), Segment(4.0, 6.0, "point"), Segment(6.0, 9.0, "end")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1.0 2.0 kick", "line 2: expected start, end and name with tabs between, found '1.0 2.0 kick'"),
        ("2\t1\tkick", "line 2: expected start, end and name"),
        ("nan\t1\tkick", "line 2: expected start, end and name"),
        ("9.5\t9.6\tkick", r"line 2: expected a label on the tape of 9\.000 s"),
    ],
)
def test_bad_labels_are_told(tmp_path, line, message):
    (tmp_path / "l.txt").write_text(f"0\t1\ta\n{line}\n")
    with pytest.raises(CutError, match=message):
        segments.read_labels(tmp_path / "l.txt", 9.0)
    with pytest.raises(CutError, match="expected labels exported by Audacity"):
        segments.read_labels(tmp_path / "none.txt", 9.0)


def test_a_person_is_right():
    found = [Segment(0, 1), Segment(1, 2), Segment(3, 4), Segment(5, 6)]
    labels = [Segment(0, 1), Segment(1.1, 1.9), Segment(5, 6, "kick"), Segment(7, 8)]  # moved, deleted, named, added
    now = [Segment(0, 0.9), Segment(1, 2), Segment(3.05, 4), Segment(5, 5.9), Segment(7.1, 8), Segment(8.5, 9)]
    edited = segments.edited(now, found, labels)
    assert edited == [Segment(0, 0.9), Segment(1.1, 1.9), Segment(5, 6, "kick"), Segment(7, 8), Segment(8.5, 9)]


def test_metadata_are_pairs():
    assert segments.metadata(["title=A = B", "call number= x "]) == {"title": "A = B", "call number": "x"}
    with pytest.raises(CutError, match=r"expected KEY=VALUE, with keys such as title, call number.*found 'title'"):
        segments.metadata(["title"])
