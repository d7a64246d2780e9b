"""The tool: documented calls work as written, the arithmetic is that of the embeddings, mistakes are named."""

import dataclasses
import hashlib
import inspect
import json
import shutil

import jax
import numpy as np
import pytest
import soundfile

from vaelab import SoundSampleTool, VaelabError, audio, regenerate, spectral, training
from vaelab import model as models
from vaelab.library import SPACES
from vaelab.models import checkpoint
from vaelab.models.familiarity import Reference
from vaelab.play import latent, rendering
from vaelab.play.directions import DirectionError
from vaelab.play.tool import ToolError

LABELS = (("class", ("clap", "kick", "snare")),)


@pytest.fixture(scope="module")
def logdir(tmp_path_factory, tiny):
    """A model with labels and random weights (its flow's too, which start at zero)."""
    folder = tmp_path_factory.mktemp("logs") / "model_Industrial"
    model = models.create(dataclasses.replace(tiny.model, labels=LABELS), tiny.audio, jax.random.key(0))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: leaf + rng.normal(0, 0.05, leaf.shape).astype(np.float32), model.params)
    checkpoint.save_model(folder / "best.safetensors", dataclasses.replace(model, params=params), {})
    return folder


@pytest.fixture(scope="module")
def tool(logdir, sounds, tmp_path_factory):
    home = tmp_path_factory.mktemp("libraries")
    return SoundSampleTool(logdir, library_dir=sounds, home=home, progress=False)


@pytest.fixture
def remembering(tool, monkeypatch):
    """The tool, as if its library were what its model was trained on."""
    ramp = np.arange(101, dtype=np.float32)
    labels = np.arange(len(tool.library)) % 4 - 1
    bins, probe = np.zeros((2, 10, 3), np.float32), np.zeros((tool.model.config.latent_dim, 0), np.float16)
    remembered = Reference(tool.library.embeddings, ramp, ramp, ramp, ramp, bins, labels, probe)
    monkeypatch.setattr(tool, "reference", remembered)
    return tool


@pytest.fixture(scope="module")
def pair(sounds):
    return [sounds / "kick" / "kick_0001.wav", sounds / "snare" / "snare_0001.wav"]


def test_the_documented_call(tool, pair, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = tool.generate(
        out_file="generated.wav",
        audio_files=pair,
        weights=[1, 2],
        normalize_weights=True,
        variance=0.0,
        spread=0.0,
        temperature=1.0,
        prior=None,
        offsets=None,
        phase=True,
        count=1,
        seed=None,
    )
    written, rate = soundfile.read("generated.wav", dtype="float32")
    assert rate == made.sample_rate == tool.model.audio.sample_rate
    assert len(written) == tool.model.audio.samples
    np.testing.assert_allclose(written, made.samples, atol=2 / 32768)
    assert np.abs(written).max() > 0.01


@pytest.mark.parametrize(
    ("weights", "normalize"), [([1, 2], True), ([1, -1], False), ([3, -1], True), ([2, 2], False), (None, True)]
)
def test_the_latent_is_the_arithmetic_of_the_embeddings(tool, pair, weights, normalize):
    made = tool.generate(audio_files=pair, weights=weights, normalize_weights=normalize, seed=0)
    expected = latent.normalized(2, weights, normalize) @ tool.embed(pair)
    np.testing.assert_allclose(made.recipe["latent"], expected, atol=1e-5)


def test_one_file_is_its_reconstruction(tool, pair):
    made = tool.generate(audio_files=pair[:1], seed=0)
    np.testing.assert_allclose(made.recipe["latent"], tool.embed(pair[:1])[0], atol=1e-6)


def latents(sounds) -> np.ndarray:
    return np.array([sound.recipe["latent"] for sound in sounds])


@pytest.mark.parametrize("prior", ["sounds", "normal"])
def test_random_sounds_follow_seed_and_temperature(remembering, prior):
    tool = remembering
    first = tool.generate(seed=3, count=4, prior=prior)
    again = tool.generate(seed=3, count=4, prior=prior)
    other = tool.generate(seed=4, count=4, prior=prior)
    for one, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one.samples, same.samples)
        assert not np.array_equal(one.samples, different.samples)
    still = latents(tool.generate(seed=3, count=4, prior=prior, temperature=0))
    cold = latents(tool.generate(seed=3, count=4, prior=prior, temperature=0.5))
    np.testing.assert_allclose(cold - still, 0.5 * (latents(first) - still), atol=1e-5)


def test_random_sounds_are_about_training_sounds_unless_told_otherwise(remembering):
    tool = remembering
    np.testing.assert_array_equal(
        latents(tool.generate(seed=3, count=4)), latents(tool.generate(seed=3, count=4, prior="sounds"))
    )
    assert tool.generate(seed=3).recipe["prior"] == "sounds"
    for still in tool.generate(seed=3, count=4, temperature=0):
        assert tool.how_new(still).distance == 0


def test_random_sounds_of_a_class_are_about_its_training_sounds(remembering):
    tool = remembering
    for number, name in enumerate(tool.class_names):
        made = tool.generate(seed=3, count=4, temperature=0, label=name)
        of_class = tool.reference.embeddings[tool.reference.labels == number]
        for z in latents(made):
            assert np.abs(of_class - z).sum(axis=1).min() == 0
        assert made[0].recipe["label"] == name
    with pytest.raises(ToolError, match=f"label: expected one of {tool.class_names[0]}, .*, found 'flute'"):
        tool.generate(label="flute")
    with pytest.raises(ToolError, match="label: expected none with prior 'normal'"):
        tool.generate(label=tool.class_names[0], prior="normal")
    tool.reference.labels[:] = -1
    with pytest.raises(ToolError, match="expected training sounds of this class to be remembered, found none; run"):
        tool.generate(label=tool.class_names[0])


def test_borrowed_detail_comes_without_its_phase_where_asked(tool, tmp_path):
    made = tool.generate(seed=3, detail=1.0, phase=False, out_file=tmp_path / "r.wav")
    assert np.abs(made.samples - tool.generate(seed=3, detail=1.0).samples).max() > 0.01
    np.testing.assert_array_equal(regenerate(tmp_path / "r.wav", tool).samples, made.samples)


def test_random_sounds_borrow_detail_from_the_library(tool, logdir, tmp_path):
    made = tool.generate(seed=3, count=2, detail=1.0, out_file=tmp_path / "r.wav")
    for number, (sound, smooth) in enumerate(zip(made, tool.generate(seed=3, count=2), strict=True), 1):
        (lender,) = sound.recipe["sources"]
        near, onsets, _ = tool.find_similar(np.array(sound.recipe["latent"], np.float32), 1, by="embedding")
        assert (lender["path"], lender["start"]) == (str(near[0]), onsets[0])
        np.testing.assert_array_equal(sound.recipe["latent"], smooth.recipe["latent"])
        assert np.abs(sound.samples - smooth.samples).max() > 0.01
        np.testing.assert_array_equal(regenerate(tmp_path / f"r_{number}.wav", tool).samples, sound.samples)
    z = np.array(made[0].recipe["latent"], np.float32)
    np.testing.assert_allclose(tool.decode(z, detail=1.0)[0].samples, made[0].samples, atol=1e-5)
    with pytest.raises(ToolError, match=r"detail: expected none without audio_files, found 0\.5; open the tool with"):
        SoundSampleTool(logdir).generate(detail=0.5)
    with pytest.raises(ToolError, match="detail: expected none without audio_files"):
        SoundSampleTool(logdir).decode(z, detail=1.0)


def test_a_model_whose_training_did_not_end_has_the_normal_prior_alone(tool):
    assert tool.generate(seed=3).recipe["prior"] == "normal"
    with pytest.raises(ToolError, match=r"prior 'sounds': .*the training did not end yet"):
        tool.generate(prior="sounds")


def test_variance_is_a_variance(tool, pair):
    centre = tool.embed(pair[:1])[0]
    made = tool.generate(audio_files=pair[:1], variance=0.09, count=64, seed=1)
    moved = np.array([sound.recipe["latent"] for sound in made]) - centre
    assert moved.var() == pytest.approx(0.09, rel=0.2)


def test_spread_draws_from_the_posterior(tool, pair):
    made = tool.generate(audio_files=pair[:1], spread=1.0, count=8, seed=1)
    latents = np.array([sound.recipe["latent"] for sound in made])
    assert latents.std(axis=0).max() > 1e-3
    none = tool.generate(audio_files=pair[:1], spread=0.0, seed=1)
    np.testing.assert_allclose(none.recipe["latent"], tool.embed(pair[:1])[0], atol=1e-6)


def test_a_fresh_seed_is_printed_and_kept(tool, capsys):
    made = tool.generate()
    assert f"seed {made.recipe['seed']}" in capsys.readouterr().out
    np.testing.assert_array_equal(tool.generate(seed=made.recipe["seed"]).samples, made.samples)


def test_several_files_are_numbered(tool, tmp_path):
    tool.generate(out_file=tmp_path / "x.flac", count=3, seed=0)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(f"x_{n}.flac{suffix}" for n in (1, 2, 3) for suffix in ("", ".recipe.json"))


def test_the_file_knows_how_it_was_made(tool, pair, tmp_path, logdir):
    tool.generate(out_file=tmp_path / "deep" / "g.wav", audio_files=pair, weights=[1, 2], variance=0.1, seed=5)
    recipe = audio.read_recipe(tmp_path / "deep" / "g.wav")
    assert recipe["weights"] == [1, 2]
    assert (recipe["variance"], recipe["seed"]) == (0.1, 5)
    for source, path in zip(recipe["sources"], pair, strict=True):
        assert (tmp_path / "deep" / source["path"]).resolve() == path.resolve()
        assert source["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert recipe["model"]["sha256"] == checkpoint.load_model(logdir / "best.safetensors")[1]["sha256"]
    json.dumps(recipe)


def test_a_mix_has_the_level_of_its_sources(tool, pair, tmp_path):
    """Peak mel power, in dB, is the weighted mean of the sources' (unless that would clip)."""
    config = tool.model.audio
    paths, levels = [], []
    for name, gain, path in zip("ab", (0.05, 0.01), pair, strict=True):
        samples, rate = soundfile.read(path, dtype="float32")
        soundfile.write(tmp_path / f"{name}.wav", gain * samples, rate, subtype="FLOAT")
        paths.append(tmp_path / f"{name}.wav")
        clip = spectral.fit_length(audio.read(paths[-1], config.sample_rate), config)
        levels.append(float(spectral.mel(clip[None], config)[1][0]))
    made = tool.generate(audio_files=paths, weights=[1, 3], seed=0)
    level = float(spectral.mel(made.samples[None], config)[1][0])
    assert level == pytest.approx((levels[0] + 3 * levels[1]) / 4, abs=0.1)


def test_sounds_end_in_silence(tool):
    assert abs(tool.generate(seed=0).samples[-1]) < 1e-6


def test_all_weights_zero_is_the_origin(tool, pair):
    made = tool.generate(audio_files=pair, weights=[0, 0], normalize_weights=False, seed=0)
    assert not np.any(made.recipe["latent"])
    assert np.isfinite(made.samples).all()


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"weigths": [1, 2]}, TypeError, "unexpected keyword argument 'weigths'; did you mean 'weights'"),
        ({"zzz": 1}, TypeError, "valid keywords: out_file"),
        ({"weights": [1]}, latent.LatentError, "expected 2 numbers"),
        ({"weights": [1, -1]}, latent.LatentError, "cannot be normalised"),
        ({"weights": [1, float("nan")]}, latent.LatentError, "expected finite"),
        ({"variance": -1}, latent.LatentError, "variance: expected"),
        ({"offsets": [1]}, ToolError, "offsets: expected 2 numbers, found 1"),
        ({"offsets": [-1, 0]}, ToolError, "offsets: expected at least 0 seconds"),
        ({"count": 0}, ToolError, "count: expected at least 1"),
        ({"spread": float("nan")}, latent.LatentError, "spread: expected a number of at least 0"),
        ({"temperature": -1}, latent.LatentError, "temperature: expected a number of at least 0"),
        ({"prior": "normal"}, ToolError, "prior: expected none with audio_files"),
        ({"audio_files": None, "prior": "flat"}, ToolError, "prior: expected one of sounds, normal, found 'flat'"),
        ({"detail": 1.5}, ToolError, "detail: expected a number from 0 to 1, found 1.5"),
        ({"detail": float("nan")}, ToolError, "detail: expected a number from 0 to 1, found nan"),
        ({"detail": "much"}, ToolError, "detail: expected a number from 0 to 1, found 'much'"),
        ({"label": "kick"}, ToolError, "label: expected none with audio_files"),
        ({"seconds": 2.0, "detail": 1}, ToolError, "detail: expected none with seconds"),
        ({"seconds": 301}, ToolError, "seconds: expected 0.032 to 300, found 301"),
        ({"directions": {"warmth": 1}}, DirectionError, "found 'warmth'; tool.directions"),
        ({"out_file": "x.wav", "bits": 8}, audio.AudioError, "expected 16, 24, 32 bits"),
        ({"out_file": "x.ogg"}, audio.AudioError, r"x\.ogg: expected a name ending in"),
        ({"audio_files": "kick.wav"}, TypeError, "expected a list of files"),
        ({"audio_files": ["nowhere.wav"]}, audio.AudioError, r"nowhere\.wav: expected a sound file, found none"),
        ({"audio_files": None, "weights": [1]}, latent.LatentError, "expected none without audio_files"),
    ],
)
def test_mistakes_are_named(tool, pair, settings, error, message):
    with pytest.raises(error, match=message):
        tool.generate(**{"audio_files": pair, "seed": 0, **settings})


def test_signatures_are_plain_and_settings_are_keywords(tool, pair):
    parameters = inspect.signature(tool.generate).parameters
    assert list(parameters)[:4] == ["out_file", "audio_files", "weights", "normalize_weights"]
    assert parameters["normalize_weights"].kind is inspect.Parameter.KEYWORD_ONLY
    assert "misspelt" not in parameters
    with pytest.raises(TypeError, match="positional"):
        tool.generate("x.wav", pair, [1, 2], False)


@pytest.mark.parametrize("target", [0, 1])
def test_a_clip_begins_within_its_sound(tool, pair, target):
    targets = pair[0], audio.Sound(np.ones(8000, np.float32), 8000)
    with pytest.raises(ToolError, match="offsets: expected at least 0 seconds"):
        tool.find_similar(targets[target], offset=-0.1)


@pytest.mark.parametrize("by", SPACES)
def test_find_similar_gives_the_target_first(tool, pair, sounds, by):
    files, onsets, distances = tool.find_similar(pair[0], num_similar=10, by=by)
    assert files[0] == pair[0]
    assert distances[0] == 0
    assert len(files) == len(onsets) == len(distances) == 10
    assert (np.diff(distances) >= 0).all()
    assert len(tool.library.files) == len(list(sounds.rglob("*.wav")))


def test_predict(tool, pair):
    probabilities, name = tool.predict(pair[0])
    assert tool.class_names == ("clap", "kick", "snare")
    assert probabilities.shape == (3,)
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert name == tool.class_names[int(probabilities.argmax())]


def test_a_model_without_classifier_says_how_to_train_one(tiny, tmp_path, pair):
    checkpoint.save_model(tmp_path / "m.safetensors", models.create(tiny.model, tiny.audio, jax.random.key(0)), {})
    plain = SoundSampleTool(tmp_path / "m.safetensors")
    assert plain.class_names == ()
    with pytest.raises(ToolError, match=r"no classifier; train one on a dataset made with .*--classes"):
        plain.predict(pair[0])
    with pytest.raises(ToolError, match="open the tool with library_dir"):
        plain.find_similar(pair[0])


def test_a_missing_model_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(checkpoint.CheckpointError, match=r"no model .*looked for the file .*best\.safetensors"):
        SoundSampleTool(tmp_path / "nowhere")


def test_decode(tool, pair):
    made = tool.decode(tool.embed(pair))
    assert len(made) == 2
    assert rendering.true_peak(made[0].samples) == pytest.approx(10 ** (-1 / 20), rel=1e-3)
    assert np.abs(made[0].samples).max() <= 10 ** (-1 / 20)
    with pytest.raises(ValueError, match=r"z: expected shape \(n, 8\), found \(1, 3\)"):
        tool.decode(np.zeros(3))


def test_embedding_does_not_depend_on_neighbours(tool, sounds):
    files = sorted(sounds.rglob("*.wav"))[:37]
    together = tool.embed(files)
    np.testing.assert_allclose(together[36], tool.embed(files[36:37])[0], atol=1e-5)


def test_features_are_those_of_the_store(tool, pair):
    config = tool.model.audio
    clip = spectral.fit_length(audio.read(pair[0], config.sample_rate), config)
    features, _ = spectral.mel(clip[None], config)
    expected = tool.model.encode(spectral.dequantise(spectral.quantise(features)))
    np.testing.assert_allclose(tool.embed(pair[:1]), expected, atol=1e-5)


def test_a_way_from_sound_to_sound(tool, pair, tmp_path):
    steps = tool.interpolate([*pair, pair[0]], steps=5, out_file=tmp_path / "way.flac")
    z = tool.embed(pair)
    latents = np.array([sound.recipe["latent"] for sound in steps])
    np.testing.assert_allclose(latents[[0, 2, 4]], z[[0, 1, 0]], atol=1e-5)
    np.testing.assert_allclose(latents[1], latent.slerp(z[0], z[1], 3)[1], atol=1e-5)
    assert len(list(tmp_path.glob("way_?.flac"))) == 5
    straight = tool.interpolate(pair, steps=3, straight=True)
    np.testing.assert_allclose(straight[1].recipe["latent"], z.mean(axis=0), atol=1e-5)
    assert [source["path"] for source in steps[0].recipe["sources"]] == [str(path) for path in [*pair, pair[0]]]


def test_a_way_as_one_long_sound(tool, pair, tmp_path):
    made = tool.interpolate(pair, steps=4, seconds=1.3, out_file=tmp_path / "long.wav", bits=24)
    assert len(made.samples) == round(1.3 * made.sample_rate)
    assert soundfile.info(tmp_path / "long.wav").subtype == "PCM_24"
    walk = tool.interpolate(points=latent.walk(jax.random.key(0), tool.embed(pair)[0], 4, 0.5), steps=4)
    assert len(walk) == 4
    with pytest.raises(ToolError, match="expected either audio_files or points"):
        tool.interpolate()
    with pytest.raises(latent.LatentError, match="expected at least 2 points"):
        tool.interpolate(pair[:1])
    with pytest.raises(ValueError, match="z: expected shape"):
        tool.interpolate(points=np.zeros((2, 3)))


def test_a_long_sound_begins_at_its_point(tool, pair):
    made = tool.generate(audio_files=pair[:1], seconds=1.0, seed=0, count=2)
    assert [len(sound.samples) for sound in made] == [8000, 8000]
    np.testing.assert_allclose(made[0].recipe["points"][0], tool.embed(pair[:1])[0], atol=1e-6)
    assert not np.allclose(made[0].recipe["points"][1], made[1].recipe["points"][1])


def test_directions_are_found_shown_and_used(logdir, pair, sounds):
    tool = SoundSampleTool(logdir)
    files = sorted(sounds.rglob("*.wav"))
    found = tool.directions(files, [path.parent.name for path in files], ["clap - snare"])
    assert {"brightness", "attack", "noisiness", "pitch", "decay", "clap", "clap - snare"} <= set(found)
    assert "held-out R2" in repr(found)
    z = tool.embed(files)
    kinds = np.array([path.parent.name for path in files])
    expected = z[kinds == "clap"].mean(axis=0) - z[kinds == "snare"].mean(axis=0)
    made = tool.generate(audio_files=pair[:1], directions={"clap - snare": 0.5, "brightness": -1}, seed=0)
    moved = np.array(made.recipe["latent"]) - tool.embed(pair[:1])[0]
    np.testing.assert_allclose(moved, 0.5 * expected - found["brightness"].vector, atol=1e-5)
    assert made.recipe["directions"] == {"clap - snare": 0.5, "brightness": -1.0}


def test_refining_lowers_the_error(tool, pair):
    refined = tool.refine(pair[0], steps=40)
    assert refined.after_db < refined.before_db
    assert refined.z.shape == (tool.model.config.latent_dim,)
    none = tool.refine(pair[0], steps=0)
    assert none.after_db == none.before_db
    np.testing.assert_allclose(none.z, tool.embed(pair[:1])[0], atol=1e-6)
    made = tool.generate(audio_files=pair[:1], refine=40, seed=0)
    np.testing.assert_allclose(made.recipe["latent"], refined.z, atol=5e-3)


def test_a_sound_is_found_by_timbre_wherever_it_begins(tool, pair, tmp_path):
    """Later and quieter it is still the same sound; whether it is asked as a file or as samples makes no difference."""
    late = np.pad(0.3 * audio.read(pair[0], 8000), (400, 0)).astype(np.float32)
    soundfile.write(tmp_path / "late.wav", late, 8000, "FLOAT")
    files, _, distances = tool.find_similar(tmp_path / "late.wav", 3)
    assert pair[0] in files
    as_sound = tool.find_similar(audio.Sound(late, 8000), 3)
    assert as_sound[0] == files
    np.testing.assert_allclose(as_sound[2], distances, rtol=1e-3)


def test_similar_to_many_things(tool, pair):
    whole, _, _ = tool.find_similar(pair[0], by="embedding")
    z = tool.embed(pair)
    assert tool.find_similar(z[0], by="embedding")[0][:5] == whole[:5]
    made = tool.generate(audio_files=pair[:1], seed=0)
    for by in SPACES:
        mixed = tool.find_similar(pair, 5, weights=[3, 1], by=by)
        np.testing.assert_array_equal(mixed[2], tool.find_similar(np.float32([0.75, 0.25]) @ z, 5, by=by)[2])
        files, _, distances = tool.find_similar(made, 5, metric="cosine", by=by)
        assert len(files) == 5
        assert (np.diff(distances) >= 0).all()
    with pytest.raises(ToolError, match="by: expected one of timbre, embedding, found 'ear'"):
        tool.find_similar(pair[0], by="ear")
    within, _, _ = tool.find_similar(pair[0], 99, label="snare", longest=10.0)
    assert {path.parent.name for path in within} == {"snare"}
    with pytest.raises(TypeError, match="did you mean 'num_similar'"):
        tool.find_similar(pair[0], num_simliar=3)
    with pytest.raises(ToolError, match="num_similar: expected at least 1, found 0"):
        tool.find_similar(pair[0], 0)


def test_nothing_stale_is_found(logdir, sounds, tmp_path, monkeypatch, capsys):
    """A file that is edited, renamed or deleted after the library was opened is noticed by the search that finds it."""
    own = tmp_path / "own"
    shutil.copytree(sounds, own)
    tool = SoundSampleTool(logdir, library_dir=own, home=tmp_path / "home", progress=False)
    kick, snare = own / "kick" / "kick_0001.wav", own / "snare" / "snare_0001.wav"
    target = sounds / "kick" / "kick_0001.wav"
    assert tool.find_similar(target, 1)[0] == [kick]
    kick.rename(own / "kick" / "renamed.wav")
    assert tool.find_similar(target, 1)[0] == [own / "kick" / "renamed.wav"]
    shutil.copy(snare, own / "kick" / "renamed.wav")
    files, _, distances = tool.find_similar(target, 1)
    assert files != [own / "kick" / "renamed.wav"]
    assert distances[0] > 0
    snare.unlink()
    assert tool.find_similar(sounds / "snare" / "snare_0001.wav", 1)[0] == [own / "kick" / "renamed.wav"]
    assert "files have changed" in capsys.readouterr().out


def test_a_retrained_model_embeds_its_library_anew(logdir, sounds, tmp_path, capsys):
    own = tmp_path / "model"
    shutil.copytree(logdir, own)
    first = SoundSampleTool(own, library_dir=sounds / "kick", home=tmp_path, progress=False)
    model, _ = checkpoint.load_model(own / "best.safetensors")
    params = jax.tree.map(lambda leaf: leaf * np.float32(1.1), model.params)
    checkpoint.save_model(own / "best.safetensors", dataclasses.replace(model, params=params), {})
    second = SoundSampleTool(own, library_dir=sounds / "kick", home=tmp_path, progress=False)
    assert "the model has changed" in capsys.readouterr().out
    assert second.library.embedded == 6
    assert not np.allclose(first.library.embeddings, second.library.embeddings)


def test_what_the_model_knows(tiny, sounds, home, tmp_path):
    """End to end: training leaves the memory, a tool speaks from it."""
    config = dataclasses.replace(tiny, train=dataclasses.replace(tiny.train, evaluate_every=20))
    training.train(tmp_path / "m", "built in", config, num_steps=40, home=home, progress=False)
    tool = SoundSampleTool(tmp_path / "m")
    files = sorted(sounds.rglob("*.wav"))
    verdicts = [tool.how_known(path).verdict for path in files]
    assert verdicts.count("well inside") > 0.6 * len(files)
    noise = audio.Sound(np.random.default_rng(0).uniform(-1, 1, 8000).astype(np.float32), 8000)
    assert tool.how_known(noise).percentile > 50
    trained = [tool.how_new(tool.generate(audio_files=[path], seed=0)).verdict for path in files]
    assert trained.count("a copy") > 0.5 * len(files)
    assert tool.how_new(np.full(8, 9, np.float32)).verdict == "new"
    assert tool.calibration().shape == (10, 3)
    answers = list(tool.classify(sounds / "kick"))
    assert [answer.known is not None for answer in answers] == [True] * 6


def test_a_model_without_memory_says_why(tool, pair):
    with pytest.raises(ToolError, match=r"expected what the model remembers.*run `vaelab train --logdir` on it again"):
        tool.how_known(pair[0])


def test_segments_of_longer_files_are_found_with_their_onsets(logdir, pair, sounds, tmp_path):
    """A recording of three sounds with silence between them: each is found, where it begins."""
    parts = [sounds / kind / f"{kind}_0001.wav" for kind in ("kick", "snare", "clap")]
    begins, recording = (0.5, 1.7, 2.9), np.zeros(4 * 8000, np.float32)
    for path, begin in zip(parts, begins, strict=True):
        samples = audio.read(path, 8000, seconds=0.5)
        recording[round(8000 * begin) :][: len(samples)] += samples
    own = tmp_path / "own"
    own.mkdir()
    soundfile.write(own / "recording.wav", recording, 8000)
    tool = SoundSampleTool(logdir, own, library_segmentation=True, home=tmp_path, progress=False)
    np.testing.assert_allclose(tool.library.onsets, begins, atol=0.03)
    for path, begin in zip(parts, begins, strict=True):
        files, onsets, _ = tool.find_similar(path, 1)
        assert files == [own / "recording.wav"]
        assert onsets[0] == pytest.approx(begin, abs=0.03)


def test_windows_of_longer_files_are_found_with_their_onsets(logdir, pair, sounds, tmp_path):
    """Each as long as a clip; a library of windows and one of whole files are kept side by side."""
    own = tmp_path / "own"
    own.mkdir()
    clap = audio.read(sounds / "clap" / "clap_0001.wav", 8000, seconds=0.5)
    recording = 0.01 * np.random.default_rng(0).standard_normal(3 * 8000)
    recording[round(8000 * 1.75) :][: len(clap)] += clap
    soundfile.write(own / "recording.wav", recording, 8000)
    tool = SoundSampleTool(logdir, own, library_hop_seconds=0.25, home=tmp_path, progress=False)
    np.testing.assert_allclose(tool.library.onsets, np.arange(0, 2.6, 0.25))
    np.testing.assert_allclose(tool.library.index.columns["seconds"], 0.5, atol=1e-6)
    _, onsets, _ = tool.find_similar(sounds / "clap" / "clap_0001.wav", 1)
    assert onsets[0] == pytest.approx(1.75)
    assert len(tool.open_library(own, home=tmp_path, progress=False)) == 1
    again = tool.open_library(own, library_hop_seconds=0.25, home=tmp_path, progress=False)
    assert (len(again), again.embedded) == (11, 0)
    assert len(tool.open_library(own, library_hop_seconds=0.5, home=tmp_path, progress=False)) == 6


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"library_hop_seconds": 0}, "library_hop_seconds: expected seconds above 0, found 0"),
        (
            {"library_hop_seconds": 0.001},
            "hop_seconds: expected 0, which cuts at sounds, or 0.01 to 600 s, found 0.001",
        ),
        ({"library_hop_seconds": 1, "library_segmentation": True}, "library_segmentation or this, found both"),
    ],
)
def test_impossible_windows_of_a_library_are_refused(tool, tmp_path, choices, message):
    with pytest.raises(VaelabError, match=message):
        tool.open_library(tmp_path, progress=False, **choices)
