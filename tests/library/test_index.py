"""The file of a library: what comes back is what was written; what is damaged or hostile is refused."""

import json

import numpy as np
import pytest
from safetensors import numpy as st

from vaelab.library import index
from vaelab.library.index import LibraryError, Row

RNG = np.random.default_rng(0)
ROWS = [
    Row("a/one.wav", 0.0, 0.5, "01" * 32, (1, 2, 3, 4), "a"),
    Row("a/tape.wav", 0.0, 1.5, "02" * 32, None, "a"),
    Row("a/tape.wav", 1.5, 2.0, "02" * 32, None, "a"),
    Row("a.b/x.wav", 0.0, 1.0, "03" * 32, (5, 6, 7, 8), "a.b"),
    Row("not \udcff UTF-8 $x$ <img>\n.wav", 0.0, 1.0, "04" * 32, (5, 6, 7, 8), None),
]
ROWS.sort(key=lambda row: (row.path, row.onset))
EMBEDDINGS = RNG.normal(size=(5, 8)).astype(np.float32)
TIMBRES = (100 * RNG.normal(size=(5, 6))).astype(np.float16)


@pytest.fixture
def made():
    return index.make("/sounds", "ab" * 32, {"slicing": True}, ROWS, EMBEDDINGS, TIMBRES)


@pytest.fixture
def saved(made, tmp_path):
    index.save(tmp_path / "library.safetensors", made)
    return tmp_path / "library.safetensors"


def test_what_is_written_comes_back(saved):
    loaded = index.load(saved)
    assert [loaded.row(number) for number in range(len(loaded))] == ROWS
    np.testing.assert_array_equal(loaded.embeddings, EMBEDDINGS)
    np.testing.assert_array_equal(loaded.columns["timbres"], TIMBRES)
    assert (loaded.root, loaded.model, loaded.how, loaded.names) == (
        "/sounds",
        "ab" * 32,
        {"slicing": True},
        ("a", "a.b"),
    )


def test_arrays_stay_in_the_file(saved):
    assert not index.load(saved).embeddings.flags.owndata


def test_timbres_are_in_units_of_their_deviations(made, monkeypatch):
    monkeypatch.setattr(index, "AT_ONCE", 2)
    same = rewritten(made, timbres=np.concatenate([TIMBRES, np.full((5, 1), 7, np.float16)], axis=1))
    np.testing.assert_allclose(same.timbres.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(same.timbres.std(axis=0), [1, 1, 1, 1, 1, 1, 0], atol=1e-5)
    np.testing.assert_allclose(same.timbre_squares, (same.timbres**2).sum(axis=1), rtol=1e-5)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_timbres_that_are_not_finite_are_refused(made, number):
    with pytest.raises(LibraryError, match="expected timbres that are finite"):
        rewritten(made, timbres=np.full((5, 6), number, np.float16)).timbres  # noqa: B018


@pytest.mark.parametrize(
    ("folder", "expected"),
    [("a", ["a/one.wav", "a/tape.wav", "a/tape.wav"]), ("a.b/", ["a.b/x.wav"]), ("b", []), ("a/on", [])],
)
def test_a_folder_is_a_stretch_of_rows(made, folder, expected):
    found = range(len(made))[made.below(folder)]
    assert [made.path(number) for number in found] == expected
    assert len(range(len(made))[made.below(".")]) == len(ROWS)


def test_every_flipped_byte_is_found(saved):
    whole = bytearray(saved.read_bytes())
    for place in range(0, len(whole), 3):
        whole[place] ^= 0x41
        saved.write_bytes(whole)
        with pytest.raises(LibraryError, match="expected the index of a library"):
            index.load(saved)
        whole[place] ^= 0x41


def test_every_truncation_is_found(saved):
    whole = saved.read_bytes()
    for length in range(0, len(whole), 17):
        saved.write_bytes(whole[:length])
        with pytest.raises(LibraryError, match="expected the index of a library"):
            index.load(saved)


def rewritten(made, **columns):
    return index.Index(made.root, made.model, made.how, made.names, {**made.columns, **columns})


NONE = index.make("", "", {}, [], np.zeros((0, 8)), np.zeros((0, 6)))
HOSTILE = {
    "too few marks": {"marks": np.zeros((2, 4), np.int64)},
    "no offsets": {"offsets": np.zeros(0, np.int64)},
    "offsets backwards": {"offsets": np.array([0, 9, 3, 20, 40, 60], np.int64)},
    "offsets beyond": {"offsets": np.array([0, 9, 13, 20, 40, 1 << 62], np.int64)},
    "negative offsets": {"offsets": np.array([-9, 9, 13, 20, 40, 60], np.int64)},
    "labels without a name": {"labels": np.array([0, 1, 2, 3, 4], np.int32)},
    "labels below": {"labels": np.array([0, 1, -2, 0, 0], np.int32)},
    "NaN": {"embeddings": np.full((5, 8), np.nan, np.float32)},
    "endless": {"embeddings": np.full((5, 8), np.inf, np.float32)},
    "NaN times": {"onsets": np.full(5, np.nan, np.float32)},
    "negative times": {"seconds": np.full(5, -1, np.float32)},
    "no rows": {name: column[:0] for name, column in NONE.columns.items()},
    "too few timbres": {"timbres": TIMBRES[:3]},
    "another type of timbres": {"timbres": TIMBRES.astype(np.float32)},
    "another type": {"embeddings": np.zeros((5, 8), np.float64)},
    "another shape": {"embeddings": np.zeros(5, np.float32)},
    "short hashes": {"hashes": np.zeros((5, 8), np.uint8)},
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_index_is_refused(made, tmp_path, what):
    index.save(tmp_path / "h.safetensors", rewritten(made, **HOSTILE[what]))
    with pytest.raises(LibraryError, match=r"h\.safetensors: expected the index of a library"):
        index.load(tmp_path / "h.safetensors")


@pytest.mark.parametrize(
    "path", ["../up.wav", "a/../../up.wav", "/etc/passwd", "", 3, None, ["x"], "nul\0.wav", {"a": "b"}, "[" * 9]
)
def test_no_path_leads_out_of_the_folder(made, path):
    text = np.frombuffer(json.dumps(path).encode(), np.uint8)
    hostile = rewritten(made, rows=text, offsets=np.array([0, len(text)], np.int64))
    if path == "[" * 9:
        hostile = rewritten(made, rows=np.frombuffer(b"[" * 200_000, np.uint8), offsets=np.array([0, 200_000]))
    with pytest.raises(LibraryError, match=r"expected (a path inside the folder|the path of sound 0)"):
        hostile.path(0)


def test_another_format_is_named(made, tmp_path, monkeypatch):
    monkeypatch.setattr(index, "FORMAT", 3)
    index.save(tmp_path / "l.safetensors", made)
    monkeypatch.undo()
    with pytest.raises(LibraryError, match="format 3 instead of 2"):
        index.load(tmp_path / "l.safetensors")


def test_a_model_is_no_library(tmp_path):
    (tmp_path / "m.safetensors").write_bytes(st.save({"x": np.zeros(3, np.float32)}, {"vaelab": "{}"}))
    with pytest.raises(LibraryError, match="expected the index of a library"):
        index.load(tmp_path / "m.safetensors")
