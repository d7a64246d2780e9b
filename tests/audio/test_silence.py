"""Silence: clips begin at the first sound at every door, unless somebody says where; what is silent is told."""

import shutil

import jax
import numpy as np
import pytest

from vaelab import SoundSampleTool, audio, data, regenerate
from vaelab import model as models
from vaelab.audio import Sound, silence, synth
from vaelab.datasets.feature_store import FeatureStore
from vaelab.models import checkpoint
from vaelab.ui.mixer import Mixer

RATE = 8000
START = 3.0 - silence.LEAD_SECONDS
HISS = 10 ** (-66 / 20)


def late(samples, seconds, hiss=0.0):
    """A sound after a while of silence."""
    before = hiss * np.random.default_rng(0).uniform(-1, 1, round(seconds * RATE)).astype(np.float32)
    return np.concatenate([before, samples])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Three kicks after three seconds of silence in `late`, and as a clip takes them in `early`."""
    root = tmp_path_factory.mktemp("place")
    lead = np.zeros(round(silence.LEAD_SECONDS * RATE), np.float32)
    for number in range(3):
        kick = 0.5 * np.asarray(synth.sound("kick", number, RATE)[0], np.float32)
        kick[0] = 0.1
        audio.write(root / "late" / f"{number}.wav", late(kick, 3.0, hiss=HISS * (number == 2)), RATE)
        audio.write(root / "early" / f"{number}.wav", np.concatenate([lead, kick]), RATE)
    audio.write(root / "silence.wav", np.zeros(RATE), RATE)
    return root


@pytest.fixture(scope="module")
def tool(place, tiny):
    checkpoint.save_model(place / "m.safetensors", models.create(tiny.model, tiny.audio, jax.random.key(0)), {})
    return SoundSampleTool(place / "m.safetensors", library_dir=place / "late", home=place / "home", progress=False)


@pytest.mark.parametrize(
    ("seconds", "start"), [(0.0, 0.0), (0.009, 0.0), (0.05, 0.049), (1.1, 1.099), (30.0, 29.999), (700.0, 0.0)]
)
def test_where_a_clip_starts(tmp_path, seconds, start):
    """At the first sound, if that does not come at once."""
    kick = np.full(4000, 0.5, np.float32)
    path = audio.write(tmp_path / "x.wav", late(kick, seconds), RATE)
    found, samples = audio.read_clip(path, RATE, None, 2.0)
    assert found == pytest.approx(start, abs=1e-4)
    np.testing.assert_array_equal(samples, audio.read(path, RATE, found, 2.0))
    assert audio.read_clip(path, RATE, 0.0, 2.0)[0] == 0.0
    assert audio.read_clip(path, RATE, seconds, 2.0)[0] == seconds


def test_what_is_quiet_throughout_begins_at_its_beginning(tmp_path):
    path = audio.write(tmp_path / "x.wav", 5e-4 * late(np.ones(4000, np.float32), 3.0), RATE)
    assert audio.read_clip(path, RATE, None, 2.0)[0] == 0.0


def test_a_dataset_learns_the_sounds(place, tiny, tmp_path):
    rows = []
    for name in ("late", "early"):
        dataset = data.make_dataset([place / name], name, home=tmp_path, progress=False)
        store = FeatureStore(tmp_path / ".store", tiny.audio)
        entries = sorted(dataset.entries, key=lambda entry: entry.path)
        assert store.build({entry.sha256: dataset.source(entry) for entry in entries}, progress=False) == {}
        rows.append(store.rows([entry.sha256 for entry in entries]))
    np.testing.assert_array_equal(rows[0][:2], rows[1][:2])
    assert np.abs(rows[0][2].astype(int) - rows[1][2]).mean() < 8  # with hiss before it


def test_every_door_of_the_tool(place, tool):
    late_files, early_files = ([place / name / f"{number}.wav" for number in range(2)] for name in ("late", "early"))
    np.testing.assert_allclose(tool.embed(late_files), tool.embed(early_files), atol=1e-5)
    np.testing.assert_allclose(tool.refine(late_files[0], steps=1).z, tool.refine(early_files[0], steps=1).z, atol=1e-4)
    mix = tool.generate(audio_files=late_files, seed=0)
    np.testing.assert_allclose(mix.samples, tool.generate(audio_files=early_files, seed=0).samples, atol=1e-4)
    assert [source["start"] for source in mix.recipe["sources"]] == [START, START]
    way = tool.interpolate(late_files, steps=2)
    assert [source["start"] for source in way[0].recipe["sources"]] == [START, START]
    samples = audio.read(late_files[0], RATE)
    np.testing.assert_allclose(tool._point(Sound(samples, RATE), None, None), tool.embed(late_files)[0], atol=1e-5)


def test_an_offset_wins(place, tool):
    """Also that of 0, and only for the file that it is given for."""
    pair = [place / "late" / "0.wav", place / "late" / "1.wav"]
    sound = tool.generate(audio_files=pair, offsets=[2.9, None], seed=0)
    assert [source["start"] for source in sound.recipe["sources"]] == [2.9, START]
    with pytest.warns(UserWarning, match=r"0\.wav: expected sound from 0 s on, found silence"):
        assert tool.generate(audio_files=pair[:1], offsets=[0.0], seed=0).recipe["sources"][0]["start"] == 0.0


def test_regenerating_is_the_same(place, tool, tmp_path):
    pair = [place / "late" / "0.wav", place / "late" / "1.wav"]
    sound = tool.generate(tmp_path / "x.wav", pair, [1, 2], seed=0)
    np.testing.assert_array_equal(regenerate(tmp_path / "x.wav", tool).samples, sound.samples)
    pair = [place / "early" / "0.wav", place / "early" / "1.wav"]
    sound = tool.generate(tmp_path / "y.wav", pair, offsets=[0, 0], seed=0)  # as recipes of before say
    np.testing.assert_array_equal(regenerate(tmp_path / "y.wav", tool).samples, sound.samples)


def test_a_library_knows_where_its_sounds_start(place, tool):
    np.testing.assert_allclose(tool.library.onsets, START, atol=1e-3)
    np.testing.assert_allclose(tool.library.embeddings[:2], tool.embed(tool.library.files[:2]), atol=1e-4)
    for by in ("timbre", "embedding"):
        files, onsets, distances = tool.find_similar(place / "late" / "1.wav", 1, by=by)
        assert files == [place / "late" / "1.wav"]
        assert onsets[0] == pytest.approx(START, abs=1e-3)
        assert distances[0] < 1e-3
        assert tool.find_similar(place / "late" / "1.wav", 1, by=by, offset=START)[2][0] < 1e-3
        assert tool.find_similar(place / "early" / "1.wav", 1, by=by)[2][0] < 0.1


def test_a_library_of_before_is_embedded_anew(place, tool, monkeypatch):
    assert tool.refresh().embedded == 0
    monkeypatch.setattr("vaelab.datasets.feature_store.READER", 99)
    assert tool.refresh().embedded == 3


def test_the_mixer_plays_and_mixes_from_the_first_sound(place, tool, monkeypatch):
    monkeypatch.chdir(place)
    mixer = Mixer(tool, ["late/0.wav"], sync=True)
    assert [source["start"] for source in mixer.sound.recipe["sources"]] == [START]
    mixer.rows[0].play.click()
    assert "original" in mixer.original.title
    mixer.similar.click()
    assert sorted(row.channel.path.name for row in mixer.rows) == ["0.wav", "1.wav", "2.wav"]
    assert "already" in mixer.add_sounds([place / "late" / "0.wav"]) or len(mixer.rows) == 3


def test_silence_is_no_sound(place, tool, tmp_path):
    """Left out of datasets and libraries, of no class, and warned of in a mix."""
    shutil.copytree(place / "early", tmp_path / "in")
    shutil.copy(place / "silence.wav", tmp_path / "in" / "silence.wav")
    dataset = data.make_dataset([tmp_path / "in"], "x", home=tmp_path / "d", progress=False)
    assert [(skip["path"], skip["reason"]) for skip in dataset.skipped] == [
        ("silence.wav", "expected sound, found silence")
    ]
    library = SoundSampleTool(tool.path, library_dir=tmp_path / "in", home=tmp_path / "d", progress=False).library
    assert [skip["path"] for skip in library.skipped] == ["silence.wav"]
    with pytest.warns(UserWarning, match=r"silence\.wav: expected sound from 0 s on, found silence"):
        tool.generate(audio_files=[place / "silence.wav", place / "early" / "0.wav"], seed=0)
    (tmp_path / "in" / "silence.wav").unlink()
    for path in (tmp_path / "in").iterdir():
        audio.write(path, np.zeros(RATE), RATE, overwrite=True)
    with pytest.raises(data.DatasetError, match=r"found 0 among 3 files with such names; .*found silence"):
        data.make_dataset([tmp_path / "in"], "y", home=tmp_path / "d", progress=False)
