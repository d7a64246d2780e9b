"""The doctor: what is there, what is wrong, and what to do about it."""

import json
import shutil

import numpy as np
import pytest

from vaelab import data, library
from vaelab.audio import decoders
from vaelab.cli import doctor
from vaelab.datasets.feature_store import FeatureStore
from vaelab.library import index, umap_map


@pytest.fixture
def around(sounds, tiny, tmp_path):
    """A dataset, its features, and two libraries, of which one is damaged."""
    own = shutil.copytree(sounds / "kick", tmp_path / "sounds")
    home = tmp_path / "datasets"
    made = data.make_dataset([own], "Kicks", home=home, progress=False)
    store = FeatureStore(home / ".store", tiny.audio)
    store.build({entry.sha256: made.source(entry) for entry in made.entries}, progress=False)
    rows = [index.Row("a.wav", 0.0, 1.0, "ab" * 32, None, None)]
    kept = index.make(str(own), "cd" * 32, {}, rows, np.ones((1, 4)), np.ones((1, 6)))
    index.save(home / library.FOLDER / "good.safetensors", kept)
    (home / library.FOLDER / "bad.safetensors").write_bytes(b"no library")
    return home


def test_versions_devices_and_decoders(tmp_path):
    found = doctor.examine(tmp_path)
    assert set(doctor.PACKAGES) | {"vaelab", "python", "libsndfile"} == set(found["versions"])
    assert found["versions"]["numpy"] == np.__version__
    assert any("cpu" in device for device in found["devices"]["jax"])
    assert found["decoders"][".wav"].startswith("libsndfile")
    assert json.loads(doctor.as_json(found)) == found


def test_caches_and_what_is_wrong_with_them(around):
    found = doctor.examine(around)
    caches = {cache["kind"]: cache for cache in found["caches"] if cache["holds"] != "damaged"}
    assert caches["dataset"]["holds"] == "6 sounds"
    assert caches["features"]["holds"] == "6 sounds in 1 shards"
    assert caches["features"]["bytes"] > 6 * 24 * 31
    assert caches["library"]["holds"].startswith("1 sounds of ")
    (problem,) = found["problems"]
    assert "bad.safetensors: expected the index of a library" in problem
    assert "delete it" in problem
    text = doctor.as_text(found)
    assert "PROBLEM: " in text
    assert "libsndfile" in text


def test_the_map_of_a_library_is_no_damaged_library(around):
    place = around / library.FOLDER / "good.map-0123456789ab.safetensors"
    umap_map.save(place, np.zeros((1, 2)), "ab" * 32, {})
    report = doctor.examine(around)
    assert [cache["holds"] for cache in report["caches"] if cache["kind"] == "map"] == ["places of 1 sounds"]
    assert not any("map-" in problem for problem in report["problems"])
    place.write_bytes(b"no map")
    (problem,) = [problem for problem in doctor.examine(around)["problems"] if "map-" in problem]
    assert "expected the coordinates of a map" in problem
    assert "delete it" in problem


def test_what_is_gone_damaged_or_unfinished_is_told(around):
    (around / library.FOLDER / "bad.safetensors").unlink()
    root = around.parent / "sounds"
    next(root.iterdir()).unlink()
    assert doctor.examine(around)["problems"] == ["dataset Kicks: 1 of 6 files are gone; make it again"]
    shutil.rmtree(root)
    (shard,) = (around / ".store").rglob("*.json")
    shard.write_text("{")
    (around / "Kicks" / "manifest.json").write_text("[]")
    (around / ".writing-x.json").write_text("")
    problems = "\n".join(doctor.examine(around)["problems"])
    for said in ("manifest", "its folder", "training computes its sounds again", "left by a program that was killed"):
        assert said in problems
    assert len(problems.splitlines()) == 4


def test_a_missing_decoder_is_told(monkeypatch, tmp_path):
    known = decoders.version
    monkeypatch.setattr(decoders, "version", lambda path: None if str(path).endswith((".m4a", ".mp4")) else known(path))
    assert doctor.examine(tmp_path)["problems"] == [".m4a .mp4 cannot be read: pip install 'vaelab[video]'"]


def test_nothing_is_wrong_where_nothing_is(tmp_path):
    assert doctor.as_text(doctor.examine(tmp_path)).endswith("no problems")
