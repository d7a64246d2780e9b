"""Recipes: written, read and followed again; what is missing or changed is named, and other programs never mind."""

import json
import os
import shutil
import subprocess
import wave

import jax
import numpy as np
import pytest
import soundfile

import vaelab
from vaelab import SoundSampleTool, audio
from vaelab import model as models
from vaelab.audio import riff, synth
from vaelab.models import checkpoint, pretrained
from vaelab.play import provenance, rendering
from vaelab.play.provenance import ProvenanceError

SAMPLES = np.linspace(-0.5, 0.5, 101).astype(np.float32)


@pytest.fixture(scope="module")
def home(tmp_path_factory, tiny, sounds):
    """A folder with a model and two sources."""
    home = tmp_path_factory.mktemp("home")
    checkpoint.save_model(home / "m" / "best.safetensors", models.create(tiny.model, tiny.audio, jax.random.key(0)), {})
    for kind in ("kick", "snare"):
        shutil.copy(sounds / kind / f"{kind}_0001.wav", home / f"{kind}.wav")
    return home


@pytest.fixture(scope="module")
def tool(home):
    return SoundSampleTool(home / "m")


def pair(home):
    return [home / "kick.wav", home / "snare.wav"]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"weights": [1, 2], "offsets": [0.01, 0.02]},
        {"weights": [1, -1], "normalize_weights": False, "variance": 0.1, "count": 3},
        {"spread": 1.0, "phase": False, "count": 2},
        {"audio_files": None, "count": 5, "temperature": 0.7},
        {"refine": 3, "spread": 0.5},
        {"detail": 0.0},
        {"detail": 0.4, "refine": 3},
        {"detail": 0.4, "phase": False},
        {"seconds": 1.3},
    ],
    ids=str,
)
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".aiff"])
def test_regenerate_is_bit_identical(home, tool, tmp_path, settings, suffix):
    made = tool.generate(**{"out_file": tmp_path / f"g{suffix}", "audio_files": pair(home), "seed": 3, **settings})
    for sound, path in zip(np.atleast_1d(np.array(made, object)), sorted(tmp_path.glob(f"*{suffix}")), strict=True):
        again = vaelab.regenerate(path, model=tool)
        np.testing.assert_array_equal(again.samples, sound.samples)
        again.save(tmp_path / f"again{suffix}")
        assert (tmp_path / f"again{suffix}").read_bytes() == path.read_bytes()
        (tmp_path / f"again{suffix}").unlink()


def test_headroom_is_recorded_and_recipes_of_before_have_none(home, tool):
    far = 40 * np.random.default_rng(0).normal(size=(1, tool.model.config.latent_dim))
    sounds = [*tool.decode(far), tool.generate(seed=1), tool.generate(seed=1, seconds=1.0)]
    assert all(sound.recipe["headroom"] is True for sound in sounds)
    assert not tool.generate(audio_files=pair(home)).recipe["headroom"]
    before = {name: value for name, value in sounds[0].recipe.items() if name != "headroom"}
    now = rendering.sound(tool.model, sounds[0].recipe, far[0])
    np.testing.assert_array_equal(now.samples, sounds[0].samples)
    assert np.abs(rendering.sound(tool.model, before, far[0]).samples - now.samples).max() > 0.01


def test_paths_and_their_steps_are_regenerated(home, tool, tmp_path):
    steps = tool.interpolate(pair(home), steps=3, out_file=tmp_path / "p.wav")
    for number, sound in enumerate(steps, 1):
        np.testing.assert_array_equal(vaelab.regenerate(tmp_path / f"p_{number}.wav", tool).samples, sound.samples)
    smooth = tool.interpolate(pair(home), steps=2, detail=0, out_file=tmp_path / "s.wav")
    np.testing.assert_array_equal(vaelab.regenerate(tmp_path / "s_2.wav", tool).samples, smooth[1].samples)
    whole = tool.interpolate(pair(home), steps=3, seconds=2.0, out_file=tmp_path / "w.wav", bits=24)
    np.testing.assert_array_equal(vaelab.regenerate(tmp_path / "w.wav", tool).samples, whole.samples)


def test_everything_may_move_together(home, tool, tmp_path):
    """Places are remembered as seen from the file; the model is found there too."""
    made = tool.generate(out_file=home / "out" / "g.wav", audio_files=pair(home), seed=0)
    shutil.copytree(home, tmp_path / "elsewhere")
    moved = vaelab.regenerate(tmp_path / "elsewhere" / "out" / "g.wav")
    np.testing.assert_array_equal(moved.samples, made.samples)
    assert moved.recipe["sources"][0]["path"] == str(tmp_path / "elsewhere" / "kick.wav")
    assert str(home) not in json.dumps(audio.read_recipe(home / "out" / "g.wav"))


def test_what_is_missing_or_changed_is_named(home, tool, tiny, tmp_path):
    sources = [shutil.copy(path, tmp_path) for path in pair(home)]
    shutil.copytree(home / "m", tmp_path / "m")
    SoundSampleTool(tmp_path / "m").generate(out_file=tmp_path / "g.wav", audio_files=sources, seed=0)
    with open(sources[0], "ab") as file:
        file.write(b"x")
    with pytest.raises(ProvenanceError, match=r"kick\.wav: expected the content .*: the source has changed"):
        vaelab.regenerate(tmp_path / "g.wav")
    os.unlink(sources[0])
    with pytest.raises(ProvenanceError, match=r"kick\.wav: .* found none; put it back, or .*phase=False"):
        vaelab.regenerate(tmp_path / "g.wav")
    without = vaelab.regenerate(tmp_path / "g.wav", phase=False)
    expected = tool.generate(audio_files=pair(home), phase=False, detail=0, seed=0)
    np.testing.assert_array_equal(without.samples, expected.samples)
    checkpoint.save_model(tmp_path / "other", models.create(tiny.model, tiny.audio, jax.random.key(1)), {})
    with pytest.raises(ProvenanceError, match=r"expected the model .* that made the sound, found .*; name the"):
        vaelab.regenerate(tmp_path / "g.wav", model=tmp_path / "other", phase=False)
    (tmp_path / "m" / "best.safetensors").unlink()
    with pytest.raises(checkpoint.CheckpointError, match="expected the model that made the sound, found none; name it"):
        vaelab.regenerate(tmp_path / "g.wav", phase=False)


@pytest.fixture
def apart(home, tool, tmp_path):
    """A mix whose two sources lie in another folder than itself, and the samples that it has."""
    (tmp_path / "sounds").mkdir()
    sources = [shutil.copy(path, tmp_path / "sounds") for path in pair(home)]
    made = tool.generate(out_file=tmp_path / "mixes" / "g.wav", audio_files=sources, seed=0)
    return tmp_path, made.samples


MOVES = {
    "beside it": "mixes/kick.wav",
    "below it": "mixes/a/b/kick.wav",
    "renamed": "mixes/boom.wav",
    "renamed, another ending's case": "mixes/BOOM.WAV",
}


@pytest.mark.parametrize("to", MOVES.values(), ids=MOVES)
def test_a_moved_source_is_told_by_its_content(apart, tool, to):
    folder, samples = apart
    (folder / to).parent.mkdir(parents=True, exist_ok=True)
    shutil.move(folder / "sounds" / "kick.wav", folder / to)
    with pytest.warns(UserWarning, match=rf"kick\.wav: the source is no more there; its .* from .*{folder / to}$"):
        again = vaelab.regenerate(folder / "mixes" / "g.wav", tool)
    np.testing.assert_array_equal(again.samples, samples)
    assert again.recipe["sources"][0]["path"] == str(folder / to)


def test_a_moved_source_in_a_library(apart, home):
    folder, samples = apart
    shutil.move(folder / "sounds", folder / "elsewhere")
    tool = SoundSampleTool(home / "m", library_dir=folder / "elsewhere", home=folder, progress=False)
    for options in ({"model": tool}, {"model": home / "m", "library_dir": folder / "elsewhere"}):
        with pytest.warns(UserWarning, match=r"kick\.wav: the source is no more there; .* and 1 more from that folder"):
            again = vaelab.regenerate(folder / "mixes" / "g.wav", **options)
        np.testing.assert_array_equal(again.samples, samples)


def test_another_source_of_the_same_name_is_told_apart(apart, home, tool):
    """It is named, never taken: neither in the old place nor beside the mix."""
    folder, samples = apart
    shutil.move(folder / "sounds" / "kick.wav", folder / "mixes" / "mine.wav")
    shutil.copy(home / "snare.wav", folder / "sounds" / "kick.wav")
    shutil.copy(home / "snare.wav", folder / "mixes" / "kick.wav")
    with pytest.warns(UserWarning, match=r"kick\.wav: another file has this name now; .* from .*mine\.wav"):
        again = vaelab.regenerate(folder / "mixes" / "g.wav", tool)
    np.testing.assert_array_equal(again.samples, samples)
    (folder / "mixes" / "mine.wav").unlink()
    with pytest.raises(ProvenanceError, match=r"sounds/kick\.wav: expected the content .*: the source has changed"):
        vaelab.regenerate(folder / "mixes" / "g.wav", tool)
    (folder / "sounds" / "kick.wav").unlink()
    with pytest.raises(ProvenanceError, match=r"kick\.wav: .* found none; put it back, .*neither beside the sound"):
        vaelab.regenerate(folder / "mixes" / "g.wav", tool)


def test_sources_that_are_not_needed_are_not_searched(apart, tool):
    folder, _ = apart
    shutil.move(folder / "sounds" / "kick.wav", folder / "mixes" / "kick.wav")
    assert vaelab.regenerate(folder / "mixes" / "g.wav", tool, phase=False).seconds


def test_another_version_is_told(home, tool, tmp_path):
    made = tool.generate(out_file=tmp_path / "g.wav", seed=0)
    made.recipe["versions"] = {**made.recipe["versions"], "jax": "0.1"}
    made.save(tmp_path / "g.wav")
    with pytest.warns(UserWarning, match=r"made with jax 0\.1 \(now .*\); its last bits may differ"):
        vaelab.regenerate(tmp_path / "g.wav", tool)


def test_a_shipped_model_comes_before_the_recorded_place(home, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    shutil.copy(home / "m" / "best.safetensors", tmp_path / "drums.safetensors")
    tool = SoundSampleTool("drums")
    assert pretrained.name_of(tool.path) == "drums"
    assert pretrained.of_recipe({"name": "drums", "path": "nowhere"}) == tmp_path / "drums.safetensors"
    assert pretrained.of_recipe({"name": "../drums", "path": "nowhere"}).parent == tmp_path
    with pytest.raises(checkpoint.CheckpointError, match="'nowhere': expected the model"):
        pretrained.of_recipe({"name": "cymbals", "path": "nowhere"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "expected a recipe of format 1, found 99; use the version of vaelab that wrote it"),
        ({"model": None}, "expected a whole recipe"),
        ({"sources": [{"path": "x"}]}, "expected a whole recipe, found one without 'sha256'"),
        ({"sources": [{"path": 5, "sha256": "0"}]}, "expected a whole recipe, found one without 'path'"),
        ({"sources": [{"path": "x", "sha256": "0", "tapes": "xyz"}]}, "found one without 'tapes'"),
        ({"sources": [{"path": "x", "sha256": "0", "tapes": [{}]}]}, "found one without 'path of a tape'"),
        ({"latent": None}, "expected a whole recipe, found one with"),
        ({"latent": ["x"]}, "expected a whole recipe, found one with"),
        ({"latent": [1.0]}, "expected a whole recipe, found one with z: expected shape"),
        ({"latent": [float("nan")] * 8}, "expected a whole recipe, found one with z: expected finite"),
        ({"points": [[0.0] * 8], "seconds": 1e9}, "expected a whole recipe, found one with .*clip_seconds"),
    ],
)
def test_damaged_recipes_are_named(tool, tmp_path, change, message):
    made = tool.generate(seed=0)
    audio.write(tmp_path / "g.wav", made.samples, made.sample_rate, {**made.recipe, **change})
    with pytest.raises(ProvenanceError, match=message):
        vaelab.regenerate(tmp_path / "g.wav", tool)


@pytest.mark.parametrize(
    ("sources", "lacks"),
    [
        ("xyz", "sources"),
        ([{"path": 5}], "path"),
        ([{"path": "x", "tapes": "xyz"}], "tapes"),
        ([{"path": "x"}], "start"),
    ],
)
def test_damaged_tapes_are_named(tmp_path, sources, lacks):
    audio.write(tmp_path / "s.wav", np.full(800, 0.1), 8000, {"call": "slice", "sources": sources})
    with pytest.raises(ProvenanceError, match=f"expected a whole recipe, found one without '{lacks}'"):
        provenance.tapes(tmp_path / "s.wav")


def test_tapes_within_tapes_are_no_endless_way(tmp_path):
    nested: dict = {"path": "/x"}
    for _ in range(400):
        nested = {"path": "/x", "tapes": [nested]}
    audio.write(tmp_path / "s.wav", np.full(800, 0.1), 8000, {"call": "generate", "sources": [nested]})
    assert len(provenance.tapes(tmp_path / "s.wav")) == 1


def random_name(rng):
    """A file name of any bytes but slash and zero, as Python sees it."""
    length = int(rng.integers(1, 60))
    letters = rng.choice([0, 1, 2])
    if letters == 0:
        raw = bytes(rng.integers(1, 256, length, dtype=np.uint8)).replace(b"/", b"_")
        return os.fsdecode(raw)
    low, high = ((32, 127), (0x80, 0xD7FF))[letters - 1]
    return "".join(map(chr, rng.integers(low, high, length))).replace("/", "_")


def random_recipe(rng, folder):
    """Numbers at the edges of floats, names of any kind, sources with keys of their own."""
    sources = [
        {
            "path": os.path.join(folder, random_name(rng)),
            "sha256": rng.bytes(32).hex(),
            "start": float(rng.exponential(100)),
            "seconds": 2.0,
            "tape": {"side": random_name(rng), "counter": int(rng.integers(10**6))},
        }
        for _ in range(rng.integers(0, 4))
    ]
    return {
        "format": 1,
        "weights": rng.normal(size=len(sources)).tolist(),
        "variance": float(10 ** rng.uniform(-300, 300)),
        "seed": int(rng.integers(2**31)),
        "latent": rng.normal(size=64).astype(np.float32).tolist(),
        "sources": sources,
        "model": {"name": None, "path": os.path.join(folder, random_name(rng)), "sha256": rng.bytes(32).hex()},
    }


@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_recipes_survive_writing_and_reading(tmp_path, count):
    rng = np.random.default_rng(0)
    for number in range(count):
        recipe = random_recipe(rng, str(tmp_path.resolve()))
        name = random_name(rng)[:40]
        path = tmp_path / f"{name}{rng.choice(['.wav', '.flac', '.aiff'])}"
        samples = SAMPLES[: rng.integers(1, 101)]
        audio.write(path, samples, 44100, recipe)
        found = provenance.read(path)
        paths = [part["path"] for part in (found["model"], *found["sources"])]
        expected = [os.path.normpath(part["path"]) for part in (recipe["model"], *recipe["sources"])]
        assert paths == expected, number
        for part in (found["model"], recipe["model"], *found["sources"], *recipe["sources"]):
            part["path"] = None
        assert found == recipe
        assert len(soundfile.read(os.fsencode(path))[0]) == len(samples)


@pytest.mark.parametrize("bits", [16, 24, 32])
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".aiff"])
def test_other_programs_open_the_files(tmp_path, suffix, bits):
    if (suffix, bits) == (".flac", 32):
        with pytest.raises(audio.AudioError, match=r"expected 16, 24 bits for \.flac, found 32"):
            audio.write(tmp_path / "a.flac", SAMPLES, 44100, bits=32)
        return
    path = audio.write(tmp_path / f"a{suffix}", SAMPLES, 44100, {"seed": 1, "odd": "x"}, bits=bits)
    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == 44100
    assert np.abs(samples - SAMPLES).max() <= (2.0 ** -(bits - 1) if bits < 32 else 0)
    if suffix == ".wav" and bits < 32:
        with wave.open(str(path)) as file:
            assert (file.getnframes(), file.getsampwidth()) == (101, bits // 8)
    if shutil.which("sox"):
        told = subprocess.run(["sox", path, "-n", "stat"], capture_output=True, text=True, check=True).stderr
        assert "Samples read:               101" in told
        assert "WARN" not in told or bits == 32  # sox misses a field in libsndfile's floating-point headers


def test_a_name_too_long_for_a_sidecar_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="too long"):
        audio.write(tmp_path / f"{'x' * 246}.flac", SAMPLES, 44100, {"seed": 1})
    assert not list(tmp_path.iterdir())


def test_a_sound_without_recipe_does_not_keep_an_old_one(tmp_path):
    audio.write(tmp_path / "a.flac", SAMPLES, 44100, {"seed": 1})
    assert audio.read_recipe(tmp_path / "a.flac") == {"seed": 1}
    audio.write(tmp_path / "a.flac", SAMPLES, 44100)
    with pytest.raises(audio.AudioError, match="expected a recipe, found none"):
        audio.read_recipe(tmp_path / "a.flac")


def test_chunks_whose_length_lies_are_not_believed(tmp_path):
    path = audio.write(tmp_path / "a.wav", SAMPLES, 44100, {"seed": 1})
    body = path.read_bytes()
    at = body.index(b"vlab")
    path.write_bytes(body[: at + 4] + b"\xff\xff\xff\x7f" + body[at + 8 :])
    assert riff.find_chunk(path, b"vlab") is None
    path.write_bytes(body[: at + 8] + b"[" * (len(body) - at - 8))
    with pytest.raises(audio.AudioError, match="expected a recipe in JSON, found damaged text"):
        audio.read_recipe(path)


def write_stereo(path, samples):
    soundfile.write(path, np.stack([samples, -0.5 * samples], axis=1), 44100, subtype="FLOAT")


EXTREMES = {
    "silence": np.zeros(4000),
    "click": np.eye(1, 4000, 7)[0],
    "dc": np.full(4000, 0.7),
    "full_scale": np.sign(np.sin(np.arange(4000) / 9)),
    "one_sample": np.ones(1),
    "kick": synth.sound("kick", 1, 8000)[0],
}


@pytest.mark.filterwarnings("ignore:.*found silence")
@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_sources_come_through(tool, tmp_path, name):
    """Alone, against a kick, and in stereo: finite, below full scale, without a warning (which here is an error)."""
    soundfile.write(tmp_path / "a.wav", EXTREMES[name], 8000, subtype="FLOAT")
    soundfile.write(tmp_path / "kick.wav", EXTREMES["kick"], 8000, subtype="FLOAT")
    write_stereo(tmp_path / "s.wav", EXTREMES[name])
    for files, weights in ((["a"], None), (["s"], None), (["a", "kick"], [1, 2]), (["a", "s"], [2, -1])):
        made = tool.generate(tmp_path / "g.wav", [tmp_path / f"{file}.wav" for file in files], weights, seed=0)
        assert np.isfinite(made.samples).all()
        assert np.abs(made.samples).max() <= 10 ** (-1 / 20) + 1e-6
        assert np.isfinite(made.recipe["latent"]).all()
    quiet = tool.generate(audio_files=[tmp_path / "a.wav"], seed=0)
    assert (np.abs(quiet.samples).max() < 1e-3) == (name == "silence")
