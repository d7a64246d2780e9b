"""What a scan remembers: files that did not change are not read again, files that did always are."""

import json
import os
import time

import pytest
from faults import builders
from test_data import make, put

from vaelab.audio import decoders
from vaelab.datasets import scan, scan_cache


@pytest.fixture
def read(monkeypatch):
    """The names of the files that were decoded since the test last cleared the list."""
    names, outcomes = [], scan.workers.outcomes

    def counted(function, items, *rest, **options):
        items = list(items)
        names.extend(os.path.basename(item[0]) for item in items)
        return outcomes(function, items, *rest, **options)

    monkeypatch.setattr(scan.workers, "outcomes", counted)
    monkeypatch.setattr(scan_cache, "SETTLED_NS", 20_000_000)
    return names


def settle() -> None:
    time.sleep(0.05)


@pytest.fixture
def root(tmp_path):
    made = put(tmp_path / "in", *[f"{i}.wav" for i in range(6)])
    settle()
    return made


def again(root, tmp_path, read, **options) -> list[str]:
    """Make the dataset again; the files that were read for it."""
    settle()
    read.clear()
    make(root, tmp_path / "out", **options)
    return sorted(read)


def test_only_new_files_are_read(root, tmp_path, read):
    before = make(root, tmp_path / "out")
    put(root, "new.wav", start=50)
    assert again(root, tmp_path, read) == ["new.wav"]
    assert again(root, tmp_path, read) == []
    assert set(before.entries) <= set(make(root, tmp_path / "out").entries)


def tampered(path) -> None:
    """Another content of the same size, with the time of change of the old one."""
    times = path.stat()
    path.write_bytes(builders.encode(builders.tone(99, 0.02, 8000), "WAV", rate=8000))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def replaced(path) -> None:
    other = path.with_name("other")
    other.write_bytes(builders.encode(builders.tone(98, 0.02, 8000), "WAV", rate=8000))
    times = path.stat()
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.rename(path)


CHANGES = {
    "longer": lambda path: path.write_bytes(builders.encode(builders.tone(97, 0.03, 8000), "WAV", rate=8000)),
    "same size, time set back": tampered,
    "another file in its place": replaced,
    "no sound any more": lambda path: path.write_bytes(b"text"),
    "permissions": lambda path: path.chmod(0o600),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_changed_is_read_again(change, root, tmp_path, read):
    make(root, tmp_path / "out")
    settle()
    change(root / "3.wav")
    assert again(root, tmp_path, read) == ["3.wav"]


def test_refused_files_are_tried_each_time(root, tmp_path, read):
    (root / "bad.wav").write_bytes(b"text")
    make(root, tmp_path / "out")
    assert again(root, tmp_path, read) == ["bad.wav"]


def test_files_that_changed_just_now_are_not_trusted(root, tmp_path, read, monkeypatch):
    """A clock that ticks every two seconds cannot tell two writes in one tick apart."""
    monkeypatch.setattr(scan_cache, "SETTLED_NS", 3600 * 10**9)
    make(root, tmp_path / "out")
    assert len(again(root, tmp_path, read)) == 6


def test_fresh_and_another_decoder_read_everything(root, tmp_path, read, monkeypatch):
    make(root, tmp_path / "out")
    assert len(again(root, tmp_path, read, fresh=True)) == 6
    assert again(root, tmp_path, read) == []
    monkeypatch.setattr(decoders, "version", lambda path: "libsndfile 9.9")
    assert len(again(root, tmp_path, read)) == 6


@pytest.mark.parametrize("damage", ["cut", "list", "row", "hash"])
def test_damage_is_told_and_costs_a_reading(damage, root, tmp_path, read):
    made = make(root, tmp_path / "out")
    path = tmp_path / "out/set/seen.json"
    content = json.loads(path.read_text())
    if damage == "row":
        content["files"][2] = content["files"][2][:-1]
    if damage == "hash":
        content["files"][2][6] = "abc"
    text = {"cut": path.read_text()[:200], "list": "[]"}.get(damage, json.dumps(content))
    path.write_text(text)
    with pytest.warns(UserWarning, match=r"seen.json: expected what the last scan found, found a damaged file"):
        assert len(again(root, tmp_path, read)) == 6
    assert make(root, tmp_path / "out") == made
