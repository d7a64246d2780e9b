"""A library: only what changed is embedded again, nothing stale is returned, and it says what it skipped."""

import os
import shutil

import numpy as np
import pytest
import soundfile

from vaelab import audio, library, spectral
from vaelab.audio import timbre
from vaelab.config import AudioConfig
from vaelab.datasets import scan, scan_cache
from vaelab.library import LibraryError, Listener

AUDIO = AudioConfig(sample_rate=8000, clip_seconds=0.5, n_fft=256, hop_length=128, n_mels=24)


class Counting:
    """Embeds a sound as a few sums of its features, and counts how many it was given."""

    def __init__(self):
        self.count = 0

    def __call__(self, features):
        self.count += len(features)
        return features.astype(np.float32).mean(axis=1)[:, ::3] / 255


@pytest.fixture
def listening():
    return Counting()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Twelve sounds in two folders, old enough to be remembered."""
    monkeypatch.setattr(scan_cache, "SETTLED_NS", -10_000_000_000)  # as if all had been there for long
    root = tmp_path / "my sounds"
    for number in range(12):
        path = root / ("kicks" if number % 2 else "snares") / f"sound_{number:02d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, tone(100 + 50 * number, 0.1 + 0.05 * number), 8000)
    return root


def tone(frequency, seconds=0.3):
    time_s = np.arange(round(8000 * seconds)) / 8000
    return (0.5 * np.sin(2 * np.pi * frequency * time_s) * np.exp(-5 * time_s)).astype(np.float32)


@pytest.fixture
def opened(folder, listening, tmp_path):
    def opened(sha256="model", **how):
        listener = Listener(listening, AUDIO, sha256)
        return library.build(folder, listener, tmp_path / "home", progress=False, **how)

    return opened


def similar(made, query, count, **how):
    numbers, distances = made.search(query, count, **how)
    return *made.named(numbers), distances


def names(made):
    return [path.name for path in made.files]


def test_it_is_embedded_once(opened, listening):
    first = opened()
    assert (len(first), first.embedded, listening.count) == (12, 12, 12)
    again = opened()
    assert (len(again), again.embedded, listening.count) == (12, 0, 12)
    np.testing.assert_array_equal(again.embeddings, first.embeddings)
    assert "12 sounds, 0 embedded now, 12 known, 0 gone, 0 files skipped" in again.report()
    assert not again.embeddings.flags.owndata  # it stays in the file


def test_an_unchanged_library_is_not_written_again(opened, tmp_path):
    opened()
    opened()  # what was just written is looked at once more
    (place,) = (tmp_path / "home").glob("*.safetensors")
    before = place.stat()
    opened()
    assert (place.stat().st_ino, place.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_embeddings_are_those_of_each_sound(opened, listening):
    made = opened()
    for path, embedding in zip(made.files, made.embeddings, strict=True):
        clip = spectral.fit_length(audio.read(path, 8000), AUDIO)
        features, _ = spectral.mel(clip[None], AUDIO)
        np.testing.assert_allclose(embedding, listening(np.asarray(spectral.quantise(features)))[0], atol=1 / 255)


def test_embeddings_are_compared_through_the_probe(folder, listening, tmp_path):
    """Which keeps one of the numbers, twice as large."""
    probe = np.zeros((AUDIO.n_mels // 3, 1), np.float16)
    probe[1] = 2
    made = library.build(folder, Listener(listening, AUDIO, "model", probe), tmp_path / "home", progress=False)
    np.testing.assert_allclose(made.points, 2 * made.embeddings[:, 1:2], rtol=1e-6)
    numbers, distances = made.search(made.embeddings[5], 12)
    apart = 2 * np.abs(made.embeddings[:, 1] - made.embeddings[5, 1])
    np.testing.assert_allclose(distances, np.sort(apart), atol=1e-5)
    assert numbers[0] == 5
    assert sorted(numbers) == list(range(12))


def test_timbres_are_those_of_each_sound(opened, folder):
    """Whether a sound is new, known or moved; and asked by its timbre, a sound is its own nearest."""
    opened()
    shutil.move(folder / "kicks" / "sound_01.wav", folder / "snares" / "renamed.wav")
    soundfile.write(folder / "kicks" / "new.wav", tone(777), 8000)
    made = opened()
    for number, (path, kept) in enumerate(zip(made.files, made.index.columns["timbres"], strict=True)):
        features, _ = spectral.mel(spectral.fit_length(audio.read(path, 8000), AUDIO)[None], AUDIO)
        heard = timbre.stored_statistics(np.asarray(spectral.quantise(features)), timbre.CEPSTRA)[0]
        np.testing.assert_allclose(kept, heard, rtol=2e-3, atol=2e-2)
        numbers, distances = made.search(kept.astype(np.float32), 3, by="timbre")
        assert (numbers[0], distances[0]) == (number, 0)
        scale = made.index.scale
        apart = np.linalg.norm((made.index.columns["timbres"] - kept.astype(float)) / scale.spread, axis=1)
        np.testing.assert_allclose(distances, np.sort(apart)[:3], rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="by: expected one of timbre, embedding, found 'ear'"):
        made.search(kept, 3, by="ear")


def test_a_new_file_is_embedded_alone(opened, folder, listening):
    opened()
    soundfile.write(folder / "kicks" / "new.wav", tone(777), 8000)
    made = opened()
    assert (len(made), made.embedded, listening.count) == (13, 1, 13)


def test_an_edited_file_is_embedded_anew(opened, folder, listening):
    before = opened()
    soundfile.write(before.files[3], tone(1900, 0.4), 8000)
    made = opened()
    assert (made.embedded, listening.count) == (1, 13)
    changed = np.flatnonzero((made.embeddings != before.embeddings).any(axis=1))
    assert changed.tolist() == [3]


def test_a_moved_file_keeps_its_embedding(opened, folder, listening):
    before = opened()
    shutil.move(folder / "kicks" / "sound_01.wav", folder / "snares" / "renamed.wav")
    made = opened()
    assert (len(made), made.embedded, made.gone, listening.count) == (12, 0, 1, 12)
    moved = names(made).index("renamed.wav")
    np.testing.assert_array_equal(made.embeddings[moved], before.embeddings[names(before).index("sound_01.wav")])
    assert made.index.row(moved).label == "snares"


def test_a_deleted_file_is_gone(opened, folder):
    before = opened()
    before.files[5].unlink()
    made = opened()
    assert (len(made), made.embedded, made.gone) == (11, 0, 1)
    assert before.files[5].name not in names(made)


def test_another_model_embeds_all_anew(opened, listening, capsys):
    opened()
    made = opened(sha256="retrained")
    assert (made.embedded, listening.count) == (12, 24)
    assert "the model has changed" in capsys.readouterr().out
    assert opened(sha256="retrained").embedded == 0


def test_two_models_share_a_folder_in_peace(opened):
    assert [opened(sha256=name, name=name).embedded for name in ("a", "b", "a", "b")] == [12, 12, 0, 0]


def test_a_copy_is_embedded_once(opened, folder, listening):
    shutil.copy(folder / "kicks" / "sound_01.wav", folder / "snares" / "copy.wav")
    made = opened()
    assert (len(made), listening.count) == (13, 12)
    assert [sorted(path.name for path in group) for group in made.duplicates(0)] == [["copy.wav", "sound_01.wav"]]


def test_files_that_changed_just_now_are_not_trusted(opened, folder, monkeypatch):
    """A clock is coarse: a file may change again without a trace, so it is read again; its content decides."""
    monkeypatch.setattr(scan_cache, "SETTLED_NS", 10_000_000_000)
    made = opened()
    assert all(made.index.row(number).mark is None for number in range(12))
    assert opened().embedded == 0
    assert made.changed(range(12)) == []


def test_what_a_search_finds_is_looked_at_again(opened, folder):
    made = opened()
    assert made.changed(range(12)) == []
    soundfile.write(made.files[2], tone(999), 8000)
    made.files[4].unlink()
    os.utime(made.files[6])  # touched, not changed
    expected = [made.index.path(2), made.index.path(4)]
    assert made.changed(range(12)) == expected


def test_similar_gives_best_first(opened):
    made = opened()
    files, onsets, distances = similar(made, made.embeddings[7], 5)
    assert files[0] == made.files[7]
    assert distances[0] == 0
    assert (np.diff(distances) >= 0).all()
    assert onsets.tolist() == [0] * 5
    assert len(similar(made, made.embeddings[7], 99)[0]) == 12


def test_a_sound_is_found_by_its_content(opened, tmp_path):
    made = opened()
    shutil.copy(made.files[7], tmp_path / "elsewhere.wav")
    assert made.find(tmp_path / "elsewhere.wav") == 7
    assert made.find(tmp_path / "elsewhere.wav", onset=0.1) is None
    soundfile.write(tmp_path / "other.wav", tone(333), 8000)
    assert made.find(tmp_path / "other.wav") is None
    assert made.find(tmp_path / "nowhere.wav") is None


def test_filters(opened, folder):
    made = opened()
    kicks = [path.parent.name == "kicks" for path in made.files]
    for how in ({"label": "kicks"}, {"folder": "kicks"}, {"folder": folder / "kicks"}):
        np.testing.assert_array_equal(made.within(**how), kicks)
    seconds = made.index.columns["seconds"]
    np.testing.assert_array_equal(made.within(shortest=0.2, longest=0.4), (seconds >= 0.2) & (seconds <= 0.4))
    within = made.within(label="kicks", shortest=0.2)
    files, _, _ = similar(made, made.embeddings[0], 99, within=within)
    assert {path.parent.name for path in files} == {"kicks"}
    assert len(files) == within.sum()
    assert made.within() is None
    with pytest.raises(LibraryError, match="label: expected one of kicks, snares, found 'toms'"):
        made.within(label="toms")
    with pytest.raises(LibraryError, match="expected sounds with folder 'kicks', label 'snares'"):
        made.within(folder="kicks", label="snares")
    with pytest.raises(LibraryError, match=r"expected sounds with folder '\.\.'"):
        made.within(folder="..")


def test_what_is_no_sound_is_reported(opened, folder):
    (folder / "kicks" / "bad.wav").write_bytes(b"no sound")
    made = opened()
    assert [skip["path"] for skip in made.skipped] == ["kicks/bad.wav"]
    assert "skipped 1" in made.report()
    assert len(made) == 12


def test_hostile_names_are_only_names(opened, folder, capsys):
    name = os.fsdecode(b"<img src=x> $x$ \n\xff.wav")
    soundfile.write(folder / "kicks" / "x.wav", tone(444), 8000)
    (folder / "kicks" / "x.wav").rename(folder / "kicks" / name)
    opened()
    made = opened()
    assert folder / "kicks" / name in made.files
    assert made.embedded == 0


def test_segments_are_sounds_of_their_own(opened, folder, listening):
    cuts = {"sound_11.wav": [(0.1, 0.3), (0.35, 0.5)], "sound_01.wav": []}

    def slicer(path):
        return cuts.get(path.name, [(0.0, 0.1)])

    made = opened(slicer=slicer)
    assert len(made) == 10 + 2
    rows = [made.index.row(number) for number in range(len(made))]
    assert [skip["path"] for skip in made.skipped] == ["kicks/sound_01.wav"]
    found = [(round(row.onset, 3), round(row.seconds, 3)) for row in rows if row.path.endswith("sound_11.wav")]
    assert found == [(0.1, 0.2), (0.35, 0.15)]
    assert listening.count == 12
    assert opened(slicer=slicer).embedded == 0
    assert len(opened()) == 12  # whole files are another library


def test_a_damaged_library_is_named_and_made_again(opened, tmp_path, listening):
    opened()
    (place,) = (tmp_path / "home").glob("*.safetensors")
    body = bytearray(place.read_bytes())
    body[-9] ^= 1
    place.write_bytes(body)
    with pytest.warns(UserWarning, match="expected the index of a library, found something else.*embedded anew"):
        made = opened()
    assert made.embedded == 12
    assert opened().embedded == 0


def test_it_works_where_nothing_can_be_written(opened, tmp_path):
    (tmp_path / "home").write_text("a file where a folder should be")
    with pytest.warns(UserWarning, match="the library is not kept"):
        made = opened()
    assert len(made) == 12


def test_a_library_needs_sounds(listening, tmp_path):
    listener = Listener(listening, AUDIO, "model")
    with pytest.raises(LibraryError, match="expected a folder of sounds as library"):
        library.build(tmp_path / "nowhere", listener, tmp_path / "home")
    with pytest.raises(LibraryError, match="found none in 0 files"):
        library.build(tmp_path, listener, tmp_path / "home", progress=False)
    (tmp_path / "bad.wav").write_bytes(b"")
    with pytest.raises(LibraryError, match="found none in 1 files"):
        library.build(tmp_path, listener, tmp_path / "home", progress=False)


def test_a_file_that_changes_while_it_is_read_is_skipped(opened, folder, monkeypatch):
    """Between the scan and the reading another sound takes its place."""
    scanned = scan.scan

    def scan_then_change(*arguments):
        found = list(scanned(*arguments))
        soundfile.write(folder / "kicks" / "sound_01.wav", tone(1234), 8000)
        return iter(found)

    monkeypatch.setattr(scan, "scan", scan_then_change)
    made = opened()
    assert [skip["path"] for skip in made.skipped] == ["kicks/sound_01.wav"]
    assert len(made) == 11
    monkeypatch.undo()
    monkeypatch.setattr(scan_cache, "SETTLED_NS", -10_000_000_000)
    assert (opened().embedded, len(opened())) == (1, 12)
