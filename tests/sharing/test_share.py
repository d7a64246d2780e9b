"""Pages to share, without a browser: what goes into them, what is refused, and where sounds come from."""

import base64
import dataclasses
import hashlib
import io
import json
import re
import shutil

import jax
import numpy as np
import pytest
import soundfile

import vaelab
from vaelab import SoundSampleTool, audio, cli
from vaelab import model as models
from vaelab.library import umap_map
from vaelab.models import checkpoint
from vaelab.sharing import SharingError, clips, decoder, origins, plane, share

HOSTILE = (
    "</script><img src=x onerror=alert(1)>.wav",
    '"quote\'s" & {{DATA}}.wav',
    "\u202egpj.wav",
    "\U0001f941 drum.wav",
)


@pytest.fixture(scope="module", autouse=True)
def drawn():
    """In place of UMAP, which is slow, the embeddings' first axes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(umap_map, "fit_umap", lambda embeddings, *_: np.ascontiguousarray(embeddings[:, :2]))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory, sounds, tiny):
    """A library of built-in sounds with hostile names beside them, and a tiny model."""
    folder = tmp_path_factory.mktemp("sharing")
    shutil.copytree(sounds, folder / "own")
    checkpoint.save_model(folder / "m.safetensors", models.create(tiny.model, tiny.audio, jax.random.key(0)), {})
    return folder


@pytest.fixture(scope="module")
def tool(folder):
    return SoundSampleTool(folder / "m.safetensors", folder / "own", home=folder / "home", progress=False)


@pytest.fixture(scope="module")
def mixed(folder, tiny):
    """The same with recordings of hostile names in it."""
    shutil.copytree(folder / "own", folder / "mixed")
    (folder / "mixed" / "field").mkdir()
    for turn, name in enumerate(HOSTILE):
        record(folder / "mixed" / "field" / name.replace("/", "\u2215"), turn)
    return SoundSampleTool(folder / "m.safetensors", folder / "mixed", home=folder / "home", progress=False)


def record(path, seed=0):
    soundfile.write(path, np.random.default_rng(seed).normal(0, 0.1, 4000), 8000)
    return path


def data_of(path):
    text = path.read_text(encoding="ascii")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def test_a_page_of_built_in_sounds_needs_no_question(tool, tmp_path):
    page = vaelab.share(tool, tmp_path / "a.html", progress=False)
    assert page.size == (tmp_path / "a.html").stat().st_size <= 10_000_000
    assert page.points == len(page.sounds) == len(tool.library)
    assert page.why is None
    data = data_of(page.path)
    assert data["names"][0] == "clap/clap_0001"
    assert data["title"] == "own"
    read, rate = soundfile.read(io.BytesIO(base64.b64decode(data["sounds"][0])))
    assert rate == 8000
    assert np.abs(read).max() > 0.05
    assert f"sounds in it: {page.points} of {page.points}" in page.report()
    assert "60 built-in: free of rights" in page.report()


def test_a_page_allows_its_own_script_alone(tool, tmp_path):
    text = share(tool, tmp_path / "a.html", progress=False).path.read_text(encoding="ascii")
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', text)[1]
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "connect-src" not in policy
    assert "unsafe" not in policy
    assert not re.findall(r"https?://|\bimport\b|\bfetch\b|XMLHttp", script)


def test_recordings_need_leave(mixed, tmp_path):
    with pytest.raises(SharingError, match=r"permission to put 4 recordings into the page.*sounds='real'"):
        share(mixed, tmp_path / "a.html", progress=False)
    assert not (tmp_path / "a.html").exists()
    real = share(mixed, tmp_path / "real.html", sounds="real", progress=False)
    made = share(mixed, tmp_path / "made.html", sounds="made", progress=False)
    none = share(mixed, tmp_path / "none.html", sounds="none", progress=False)
    assert len(real.sounds) == len(made.sounds) + 4 == real.points
    assert none.sounds == ()
    assert not any(path.parent.name == "field" for path in made.sounds)
    assert "4 recording: licence not known" in real.report()
    assert "the model plays the others" in made.report()
    assert all(sound is None for sound in data_of(none.path)["sounds"])


def test_hostile_names_stay_in_the_json(mixed, tmp_path):
    page = share(mixed, tmp_path / "a.html", sounds="real", title="</title><b>{{DATA}}", progress=False)
    text = page.path.read_text(encoding="ascii")
    assert "<img" not in text
    assert text.count("</script>") == 5
    assert any(name.endswith("script><img src=x onerror=alert(1)>") for name in data_of(page.path)["names"])
    assert data_of(page.path)["title"] == "</title><b>{{DATA}}"


def test_a_smaller_page_has_fewer_sounds_spread_over_the_map(tool, tmp_path):
    whole = share(tool, tmp_path / "whole.html", progress=False)
    size = 0.6 * whole.size / 1e6
    page = share(tool, tmp_path / "a.html", megabytes=size, progress=False)
    assert page.size <= size * 1e6
    assert 5 < len(page.sounds) < whole.points
    assert len({path.parent for path in page.sounds}) >= 5
    with pytest.raises(SharingError, match=r"megabytes: expected"):
        share(tool, tmp_path / "b.html", megabytes=0.01, progress=False)
    assert not (tmp_path / "b.html").exists()


@pytest.mark.parametrize(
    ("part", "knobs", "words"), [("model", {"width": 8}, "convolutions"), ("audio", {"n_fft": 300}, "300")]
)
def test_a_decoder_that_no_page_can_run_is_a_grid(folder, tiny, tmp_path, part, knobs, words):
    config = dataclasses.replace(tiny, **{part: dataclasses.replace(getattr(tiny, part), **knobs)})
    checkpoint.save_model(tmp_path / "w.safetensors", models.create(config.model, config.audio, jax.random.key(0)), {})
    tool = SoundSampleTool(tmp_path / "w.safetensors", folder / "own", home=tmp_path / "home", progress=False)
    page = share(tool, tmp_path / "a.html", megabytes=1, progress=False)
    assert words in page.why
    assert page.places > 20
    assert f"{page.places} that the model played beforehand" in page.report()
    data = data_of(page.path)
    assert len(data["placeSounds"]) == page.places
    assert "decoder" not in data


def test_a_page_replaces_no_file(tool, tmp_path):
    (tmp_path / "a.html").write_text("mine")
    with pytest.raises(audio.TakenError, match="expected a free name"):
        share(tool, tmp_path / "a.html", progress=False)
    assert (tmp_path / "a.html").read_text() == "mine"
    share(tool, tmp_path / "a.html", overwrite=True, progress=False)
    assert (tmp_path / "a.html").stat().st_size > 10_000


def test_the_command_says_which_flag(folder, mixed, tmp_path, capsys):
    words = ["share", "--model", str(folder / "m.safetensors"), "--library-dir", str(folder / "mixed")]
    words += ["--home", str(folder / "home"), "--out", str(tmp_path / "a.html")]
    assert cli.main(words) == 1
    assert re.search(r"^vaelab: --sounds: .* --sounds real .* --sounds made", capsys.readouterr().err)
    assert cli.main([*words, "--sounds", "none", "--megabytes", "2"]) == 0
    assert "sounds in it: 0 of 64; the model plays the others" in capsys.readouterr().out


@pytest.mark.parametrize(("answer", "count"), [("y", 64), ("", 60)])
def test_the_command_asks_on_a_terminal(folder, mixed, tmp_path, capsys, monkeypatch, answer, count):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: print(question) or answer)
    words = ["share", "--model", str(folder / "m.safetensors"), "--library-dir", str(folder / "mixed")]
    assert cli.main([*words, "--home", str(folder / "home"), "--out", str(tmp_path / "a.html")]) == 0
    out = capsys.readouterr().out
    assert "4 sounds are recordings" in out
    assert f"sounds in it: {count} of 64" in out


def test_origins(folder, tool, tmp_path):
    kick = folder / "own" / "kick" / "kick_0001.wav"
    assert origins.origin(kick, folder / "own") == origins.Origin("built-in", "free of rights")
    moved = tmp_path / "moved.wav"
    shutil.copy(kick, moved)  # no ground truth beside it
    edited = tmp_path / "own" / "kick" / "kick_0001.wav"
    shutil.copytree(folder / "own", tmp_path / "own")
    samples, rate = soundfile.read(edited)
    soundfile.write(edited, samples[::-1], rate)
    voice = record(tmp_path / "voice.wav")
    mixes = {"random": [], "mix": [kick], "remix": [tmp_path / "mix.wav", kick], "voiced": [kick, voice]}
    for name, sources in mixes.items():
        tool.generate(tmp_path / f"{name}.wav", sources or None, seed=1)
    kinds = {path.stem: origins.origin(path, tmp_path).kind for path in [moved, edited, voice, *tmp_path.glob("*.wav")]}
    made = {name for name, kind in kinds.items() if kind == "made by vaelab"}
    assert made == {"random", "mix", "remix"}
    assert {name for name, kind in kinds.items() if kind == "recording"} == {"moved", "kick_0001", "voice", "voiced"}


def test_licences(tmp_path):
    root = tmp_path / "kits"
    (root / "a" / "deep").mkdir(parents=True)
    (root / "b").mkdir()
    (root / "LICENSE.txt").write_text("\n  CC0 1.0  Universal\nmore")
    kit = "<drumkit_info><name>K</name><license>CC-BY 4.0</license></drumkit_info>"
    (root / "a" / "drumkit.xml").write_text(kit)
    paths = [record(root / place / "x.wav") for place in ("a", "a/deep", "b")]
    assert [origins.origin(path, root).licence for path in paths] == ["CC-BY 4.0", "CC-BY 4.0", "CC0 1.0 Universal"]
    assert origins.origin(record(tmp_path / "y.wav"), tmp_path).licence is None


def test_the_page_has_the_decoder(tool):
    """The arrays of a page, multiplied out here, give the features that the model decodes."""
    model = tool.model
    z = np.asarray(tool.library.embeddings[:5])
    arrays = {name: array.astype(np.float32) for name, array in decoder.arrays(model).items()}
    hidden = z
    for layer in range(model.config.depth):
        linear = hidden @ arrays[f"layer{layer}"] + arrays[f"layer{layer}_bias"]
        hidden = np.where(linear > 0, linear, np.expm1(np.minimum(linear, 0)))
    coordinates = z @ arrays["straight"] + hidden @ arrays["learnt"] + arrays["learnt_bias"]
    axes = arrays["axes"] * arrays["scales"][..., None]
    output = arrays["centre"] + np.tensordot(coordinates * arrays["spread"], axes, 1)
    assert 255 * np.abs(np.clip(output, 0, 1) - np.asarray(model.decode(z))).mean() < 0.5


def test_outliers_are_drawn_in():
    places = np.concatenate([np.random.default_rng(0).uniform(0, 1, (200, 2)), [[50.0, 0.5]]])
    inside = plane.drawn_in(places)
    assert inside[-1, 0] < 1.3
    assert np.allclose(inside[:-1], places[:-1], atol=0.2)
    assert np.ptp(plane.drawn_in(np.zeros((5, 2)))) == 0


def test_places_are_near_sounds():
    places = plane.lattice(np.array([[0, 0], [1, 0], [0, 1], [1, 1]], float))
    assert 20 < len(places) < 80
    assert np.linalg.norm(places - 0.5, axis=1).min() > 0.5


def test_neighbours_leave_out_the_sound_itself():
    points = np.arange(10, dtype=np.float32)[:, None]
    near = plane.neighbours(points, points, itself=True)
    assert near.shape == (10, 6)
    assert all(number not in row for number, row in enumerate(near))
    assert set(near[0][:2]) == {1, 2}
    assert plane.neighbours(points, points[:1] + 3.1, itself=False)[0, 0] == 3


def test_any_first_few_places_cover_the_map():
    places = np.random.default_rng(0).uniform(0, 1, (200, 2))
    order = list(clips.spread_out(places))
    assert sorted(order) == list(range(200))
    first = places[order[:25]]
    assert np.linalg.norm(places[:, None] - first[None], axis=-1).min(axis=1).max() < 0.25
    assert list(clips.spread_out(np.zeros((0, 2)))) == []
    assert sorted(clips.spread_out(np.zeros((3, 2)))) == [0, 1, 2]


@pytest.mark.parametrize("rate", [5000, 8000, 22050, 44100, 96000])
def test_mp3_at_any_rate(rate):
    time = np.arange(rate) / rate
    tone = (0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    read, stored = soundfile.read(io.BytesIO(clips.mp3(tone, rate)))
    assert abs(len(read) / stored - 1) < 0.1
    strongest = np.abs(np.fft.rfft(read)).argmax() * stored / len(read)
    assert strongest == pytest.approx(440, abs=3)
