"""Folders on file systems that lack something: no rights to change, no shared maps, no maps at all, no home.

What such a system refuses is refused here as the kernel does, as under `bindfs --chmod-deny` and `bindfs -o direct_io`.
"""

import errno
import mmap
import os
import stat

import numpy as np
import pytest

from vaelab import SoundSampleTool, audio, data, files, regenerate, tensorfile, training, workspace
from vaelab.library import index
from vaelab.models import devices

MAP = mmap.mmap


def without_rights(monkeypatch):
    def refuse(path, *_, **__):
        raise PermissionError(errno.EPERM, "Operation not permitted", str(path))

    for name in ("chmod", "fchmod", "lchmod"):
        monkeypatch.setattr(os, name, refuse, raising=False)


def without_shared_maps(monkeypatch):
    def private(*arguments, flags=mmap.MAP_SHARED, access=mmap.ACCESS_DEFAULT, **settings):
        shared = flags & mmap.MAP_SHARED if access == mmap.ACCESS_DEFAULT else access != mmap.ACCESS_COPY
        if shared:
            raise OSError(errno.ENODEV, "No such device")
        return MAP(*arguments, flags=flags, access=access, **settings)

    monkeypatch.setattr(mmap, "mmap", private)


def without_maps(monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr(mmap, "mmap", refuse)


@pytest.fixture
def place(tmp_path, sounds, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind in ("kick", "clap"):
        (tmp_path / "snd" / kind).mkdir(parents=True)
        for path in sorted((sounds / kind).glob("*.wav")):
            (tmp_path / "snd" / kind / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.mark.parametrize("lacking", [without_rights, without_shared_maps])
def test_from_sounds_to_sounds(lacking, place, tiny, monkeypatch):
    """Dataset, features, training and going on with it, library, map of its file, sounds and the same again."""
    lacking(monkeypatch)
    assert len(data.make_dataset(["snd"], "T", classes=True, progress=False).entries) == 12
    training.train("m", "T", tiny, num_steps=2, progress=False)
    training.train("m", num_steps=4, progress=False)
    for _ in range(2):  # built, then opened
        tool = SoundSampleTool("m", "snd", progress=False)
        assert len(tool.library) == 12
    paths, distances = tool.find_similar("snd/kick/kick_0001.wav", 2)[::2]
    assert paths[0].name == "kick_0001.wav"
    assert distances[0] == pytest.approx(0, abs=1e-3)
    mixed = tool.generate("x.wav", ["snd/kick/kick_0001.wav", "snd/clap/clap_0001.wav"], seed=1)
    np.testing.assert_array_equal(regenerate("x.wav").samples, mixed.samples)
    assert audio.read("x.wav", mixed.sample_rate).shape == mixed.samples.shape
    assert not list(place.rglob(f"{files.TEMPORARY}*"))


def test_the_rights_of_files_and_folders_are_those_of_any_new_one(tmp_path):
    (tmp_path / "plain").touch()
    (tmp_path / "folder").mkdir()
    files.write_text(tmp_path / "ours", "x")
    with files.new_folder(tmp_path / "new"):
        pass
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes["ours"] == modes["plain"]
    assert modes["new"] == modes["folder"]


def test_no_maps_at_all_is_one_true_sentence(place, tiny, monkeypatch):
    """Not that anything is damaged: no shard is swept away, none is computed twice."""
    data.make_dataset(["snd"], "T", classes=True, progress=False)
    training.train("m", "T", tiny, num_steps=2, progress=False)
    SoundSampleTool("m", "snd", progress=False)
    before = sorted(path for path in place.rglob("*") if path.is_file())
    without_maps(monkeypatch)
    for call in (lambda: training.train("m", num_steps=4, progress=False), lambda: SoundSampleTool("m", "snd")):
        with pytest.raises(files.NoMapError, match=r"expected a file system that maps files into memory, .* elsewhere"):
            call()
    assert sorted(path for path in place.rglob("*") if path.is_file()) == before


def test_an_empty_index_is_none(tmp_path):
    (tmp_path / "empty").touch()
    with pytest.raises(index.LibraryError, match="found an empty file"):
        index.load(tmp_path / "empty")


def test_large_files_are_sealed_without_a_map(tmp_path, monkeypatch):
    without_maps(monkeypatch)
    monkeypatch.setattr(tensorfile, "BLOCK", 1000)
    tensorfile.write(tmp_path / "file", {"x": np.arange(5000)}, {})
    body = (tmp_path / "file").read_bytes()
    tensorfile.verify(body, tensorfile.header(body)[0]["__metadata__"]["sha256"])


@pytest.mark.parametrize("error", [PermissionError(errno.EPERM, "no"), RuntimeError("no home")])
def test_notebooks_and_app_do_without_a_cache(error, monkeypatch):
    def refuse():
        raise error

    monkeypatch.setattr(devices, "cache_compilations", refuse)
    devices.cache_where_possible()
    assert "cache_compilations" not in workspace.tool.__code__.co_names
