"""Stereo: one latent and one set of gains; each channel with its own phase and level."""

import jax
import numpy as np
import pytest
import soundfile

import vaelab
from vaelab import SoundSampleTool, audio
from vaelab import model as models
from vaelab.audio import synth
from vaelab.models import checkpoint
from vaelab.play import rendering
from vaelab.play.provenance import ProvenanceError
from vaelab.play.tool import ToolError

RATE = 8000
AMOUNTS = pytest.mark.parametrize("amount", [0.0, 0.4, 1.0])


def recordings() -> dict[str, np.ndarray]:
    """Half a second each: panned, hard left, wide noise, mono, silence, channels that cancel, three channels."""
    rng, time = np.random.default_rng(0), np.arange(RATE // 2) / RATE
    kick, snare = (0.5 * synth.sound(kind, 1, RATE)[0][: RATE // 2] for kind in ("kick", "snare"))
    kick, snare = (np.pad(part, (0, RATE // 2 - len(part))) for part in (kick, snare))
    wide = 0.1 * rng.normal(size=(RATE // 2, 2)) * np.exp(-time / 0.1)[:, None]
    return {
        "panned": np.stack([kick, 0.25 * kick], axis=1),
        "left": np.stack([snare, 0 * snare], axis=1),
        "wide": wide,
        "mono": snare,
        "silent": np.zeros((RATE // 2, 2)),
        "cancelling": np.stack([kick, -kick], axis=1),
        "three": np.stack([kick, snare, kick], axis=1),
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny):
    """A folder with the recordings and a model that was never trained: its decodings lack nearly everything."""
    place = tmp_path_factory.mktemp("stereo")
    for name, samples in recordings().items():
        soundfile.write(place / f"{name}.wav", samples, RATE, subtype="FLOAT")
    checkpoint.save_model(
        place / "m" / "best.safetensors", models.create(tiny.model, tiny.audio, jax.random.key(0)), {}
    )
    return place


@pytest.fixture(scope="module")
def tool(place):
    return SoundSampleTool(place / "m")


@pytest.fixture(scope="module")
def stereo(tool, place):
    """Generate from recordings by name, with as many channels as they have."""

    def generate(*names, channels="source", **settings):
        files = [place / f"{name}.wav" for name in names]
        return tool.generate(audio_files=files, channels=channels, **{"seed": 0, **settings})

    return generate


def levels(samples):
    """RMS of each channel in dB."""
    return 20 * np.log10(np.maximum(np.sqrt(np.square(samples).mean(axis=0)), 1e-9))


@pytest.mark.parametrize("name", ["panned", "left", "wide"])
def test_a_stereo_file_comes_back_as_itself(stereo, name):
    samples, source = stereo(name).samples, recordings()[name]
    whole = slice(8, -256)  # ends are faded
    assert samples.dtype == np.float32
    assert samples.shape == source.shape
    np.testing.assert_allclose(samples[whole], source[whole], atol=3e-3)
    loud = levels(source[whole]) > -100
    np.testing.assert_allclose(levels(samples[whole])[loud], levels(source[whole])[loud], atol=0.1)
    assert (levels(samples)[~loud] < -150).all()


@AMOUNTS
@pytest.mark.parametrize("names", [["panned"], ["wide"], ["wide", "panned"], ["left", "mono"]], ids="+".join)
def test_the_latent_and_the_sum_are_those_of_mono(stereo, names, amount):
    """Exactly at 1; nearly below it where channels are alike, whose quietest bins have a phase by rounding."""
    made, mono = stereo(*names, detail=amount), stereo(*names, detail=amount, channels="mono")
    assert made.recipe["latent"] == mono.recipe["latent"]
    assert mono.samples.ndim == 1
    if amount == 1:
        scale = np.abs(mono.samples).max() / np.abs(made.mono).max()  # 1 unless a single channel would clip
        np.testing.assert_allclose(scale * made.mono, mono.samples, atol=2e-4)
    elif "wide" not in names:
        assert np.corrcoef(made.mono, mono.samples)[0, 1] > 0.95
    peak = rendering.true_peak(made.samples)
    assert peak == max(rendering.true_peak(side) for side in made.samples.T)
    assert peak <= rendering.PEAK * 1.001


@AMOUNTS
def test_each_channel_keeps_its_level(stereo, amount):
    left, right = levels(stereo("panned", detail=amount, variance=0.5).samples)
    assert left - right == pytest.approx(20 * np.log10(4), abs=0.1)
    left, right = levels(stereo("left", detail=amount, variance=0.5).samples)
    assert left > -60
    assert right < -120


@AMOUNTS
def test_each_channel_keeps_its_phase(stereo, amount):
    """Wide noise stays wide: both channels as alike as those of the source."""
    samples = stereo("wide", detail=amount).samples
    assert abs(np.corrcoef(samples.T)[0, 1]) < 0.3


@AMOUNTS
def test_a_mono_file_is_in_the_middle(stereo, amount):
    """Beside a stereo file of no weight; in a mix it comes from both sides alike."""
    middle = stereo("wide", "mono", weights=[0, 1], detail=amount)
    alone = stereo("mono", detail=amount)
    assert alone.samples.ndim == 1
    np.testing.assert_allclose(middle.samples, np.stack([alone.samples] * 2, axis=1), atol=2e-4)


def test_without_two_channels_there_is_one(stereo):
    np.testing.assert_array_equal(stereo("mono").samples, stereo("mono", channels="mono").samples)
    np.testing.assert_array_equal(stereo("three").samples, stereo("three", channels="mono").samples)


@pytest.mark.filterwarnings("ignore:.*found silence")
@pytest.mark.parametrize("names", [["silent"], ["cancelling"], ["silent", "wide"], ["cancelling", "panned"]])
@AMOUNTS
def test_extreme_stereo_is_finite_and_below_full_scale(stereo, names, amount):
    samples = stereo(*names, weights=[1, -2][: len(names)], detail=amount, variance=0.1).samples
    assert samples.shape == (RATE // 2, 2)
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() <= rendering.PEAK * 1.001


@pytest.mark.parametrize("settings", [{}, {"detail": 0.0}, {"detail": 0.4, "refine": 2}, {"variance": 0.2, "count": 2}])
@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_regenerate_is_bit_identical(tool, stereo, tmp_path, settings, suffix):
    made = stereo("wide", "mono", weights=[1, 2], out_file=tmp_path / f"g{suffix}", **settings)
    for sound, path in zip(np.atleast_1d(np.array(made, object)), sorted(tmp_path.glob(f"*{suffix}")), strict=True):
        assert audio.read_recipe(path)["channels"] == "source"
        again = vaelab.regenerate(path, model=tool)
        np.testing.assert_array_equal(again.samples, sound.samples)
        assert again.samples.shape == (RATE // 2, 2)
        again.save(tmp_path / f"again{suffix}")
        assert (tmp_path / f"again{suffix}").read_bytes() == path.read_bytes()
        (tmp_path / f"again{suffix}").unlink()


def test_recipes_of_before_are_mono(tool, stereo, tmp_path):
    mono = stereo("wide", channels="mono")
    assert mono.recipe.pop("channels") == "mono"
    mono.save(tmp_path / "old.wav")
    assert "channels" not in audio.read_recipe(tmp_path / "old.wav")
    np.testing.assert_array_equal(vaelab.regenerate(tmp_path / "old.wav", tool).samples, mono.samples)


def test_without_the_sources_it_is_regenerated_in_mono(tool, stereo, tmp_path):
    stereo("wide", out_file=tmp_path / "g.wav")
    again = vaelab.regenerate(tmp_path / "g.wav", tool, phase=False)
    mono = stereo("wide", channels="mono", phase=False, detail=0)
    np.testing.assert_array_equal(again.samples, mono.samples)
    assert again.recipe["channels"] == "mono"


def test_a_recipe_with_other_channels_is_damaged(tool, stereo, tmp_path):
    made = stereo("wide")
    made.recipe["channels"] = "left"
    made.save(tmp_path / "g.wav")
    with pytest.raises(ProvenanceError, match="expected a whole recipe, found one with channels: expected mono or sou"):
        vaelab.regenerate(tmp_path / "g.wav", tool)


def test_random_sounds_borrow_the_channels_of_their_lender(place, tmp_path):
    soundfile.write(tmp_path / "wide.wav", recordings()["wide"], RATE, subtype="FLOAT")
    tool = SoundSampleTool(place / "m", library_dir=tmp_path, home=tmp_path, progress=False)
    made = tool.generate(tmp_path / "out" / "r.wav", detail=1.0, channels="source", seed=3)
    mono = tool.generate(detail=1.0, seed=3)
    assert made.samples.shape == (RATE // 2, 2)
    assert abs(np.corrcoef(made.samples.T)[0, 1]) < 0.3
    scale = np.abs(mono.samples).max() / np.abs(made.mono).max()
    np.testing.assert_allclose(scale * made.mono, mono.samples, atol=2e-4)
    np.testing.assert_array_equal(vaelab.regenerate(tmp_path / "out" / "r.wav", tool).samples, made.samples)


def test_a_way_begins_and_ends_with_both_channels(tool, place, stereo, tmp_path):
    ends = [place / "wide.wav", place / "mono.wav"]
    steps = tool.interpolate(ends, steps=3, channels="source", out_file=tmp_path / "w.wav")
    for step, name in zip((steps[0], steps[2]), ("wide", "mono"), strict=True):
        alone = stereo(name).samples
        alone = alone if alone.ndim == 2 else np.stack([alone] * 2, axis=1)
        np.testing.assert_allclose(step.samples, alone, atol=2e-3)
    np.testing.assert_array_equal(vaelab.regenerate(tmp_path / "w_2.wav", tool).samples, steps[1].samples)


def test_a_generated_sound_in_stereo_is_embedded_as_its_sum(tool, stereo, tmp_path):
    made = stereo("wide")
    made.save(tmp_path / "g.wav", bits=32)
    np.testing.assert_allclose(tool._clips(made, 0.1), tool._clips(tmp_path / "g.wav", 0.1), atol=1e-7)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": "left"}, "channels: expected mono or source, found 'left'"),
        ({"channels": 2}, "channels: expected mono or source, found 2"),
        ({"seconds": 1.0}, "channels: expected mono where no phase is taken from sources .*, found 'source'"),
        ({"phase": False}, "channels: expected mono where no phase"),
        ({"phase": False, "detail": 0}, "channels: expected mono where no phase"),
    ],
)
def test_mistakes_are_named(stereo, tool, place, settings, message):
    with pytest.raises(ToolError, match=message):
        stereo("wide", **settings)


def test_mistakes_without_detail_are_named(tool, place):
    with pytest.raises(ToolError, match="channels: expected mono where no phase"):
        tool.generate(channels="source")
    with pytest.raises(ToolError, match="channels: expected mono where no phase"):
        tool.interpolate([place / "wide.wav"] * 2, detail=0, channels="source")
    with pytest.raises(ToolError, match="channels: expected mono or source, found 'left'"):
        tool.interpolate([place / "wide.wav"] * 2, channels="left")
