"""The mixer by setting values and clicking, without a browser: what it shows is what the tool makes."""

import io
import shutil

import jax
import numpy as np
import pytest
import soundfile

from vaelab import audio, checkpoint, model
from vaelab.audio import Sound
from vaelab.latent import LatentError
from vaelab.tool import SoundSampleTool
from vaelab.train import Evaluation
from vaelab.widgets import LiveCurves, Mixer, Table, inert, short_name

HOSTILE = "<img src=x onerror=alert(1)> $x$ \\(y\\)"


@pytest.fixture(scope="module")
def tool(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    checkpoint.save_model(path, model.create(tiny.model, tiny.audio, jax.random.key(0)), {})
    return SoundSampleTool(path)


@pytest.fixture(scope="module")
def files(sounds):
    return [sounds / "kick" / "kick_0001.wav", sounds / "metal" / "metal_0002.wav", sounds / "drone" / "drone_0001.wav"]


@pytest.fixture
def mixer(tool, files, tmp_path):
    return Mixer(tool, files, folder=tmp_path / "generated")


def same(mixer, **settings):
    wanted = mixer.tool.generate(**settings)
    np.testing.assert_array_equal(mixer.sound.samples, wanted.samples)
    return True


def texts(widget):
    """Everything a widget and those within it put on the page as HTML."""
    own = [widget.value] if type(widget).__name__ == "HTML" else []
    return own + [text for child in getattr(widget, "children", ()) for text in texts(child)]


def test_begins_with_a_sound_that_waits_to_be_played(mixer, files):
    assert same(mixer, audio_files=files, weights=[1, 1, 1], seed=0)
    assert not mixer.player.autoplay
    samples, rate = soundfile.read(io.BytesIO(mixer.player.value))
    assert rate == mixer.sound.sample_rate
    np.testing.assert_allclose(samples, np.clip(mixer.sound.samples, -1, 1), atol=1e-4)
    assert bytes(mixer.picture.value).startswith(b"\x89PNG")
    assert "1 kick_0001 + 1 metal_0002 + 1 drone_0001" in mixer.status.value


def test_each_control_is_what_generate_gets(mixer, files):
    mixer.rows[0].weight.value = -0.5
    assert same(mixer, audio_files=files, weights=[-0.5, 1, 1], seed=0)
    mixer.normalize.value = False
    assert same(mixer, audio_files=files, weights=[-0.5, 1, 1], normalize_weights=False, seed=0)
    mixer.variance.value = 0.4
    mixer.spread.value = 1.5
    mixer.seed.value = 11
    all_of_it = {"weights": [-0.5, 1, 1], "normalize_weights": False, "variance": 0.4, "spread": 1.5, "seed": 11}
    assert same(mixer, audio_files=files, **all_of_it)
    assert mixer.player.autoplay


def test_a_muted_sound_and_one_of_weight_0_are_left_out(mixer, files):
    mixer.rows[1].mute.value = True
    assert same(mixer, audio_files=[files[0], files[2]], weights=[1, 1], seed=0)
    mixer.rows[0].weight.value = 0
    assert same(mixer, audio_files=files[2:], weights=[1], seed=0)
    before = mixer.sound
    mixer.rows[2].mute.value = True
    assert "no new sound: nothing to mix" in mixer.status.value
    assert mixer.sound is before
    mixer.rows[2].mute.value = False
    assert "no new sound" not in mixer.status.value


def test_rolling_the_dice_strays_another_way(mixer):
    mixer.variance.value = 0.5
    before, seed = mixer.sound.samples, mixer.seed.value
    mixer.dice.click()
    assert mixer.seed.value != seed
    assert not np.array_equal(mixer.sound.samples, before)


def test_weights_that_cannot_be_normalised_are_said_so(mixer):
    mixer.rows[0].weight.value = -2
    assert "no new sound" in mixer.status.value
    assert "cannot be normalised" in mixer.status.value


def test_an_original_plays(mixer, files):
    mixer.rows[1].play.click()
    samples, rate = soundfile.read(io.BytesIO(mixer.original.value))
    config = mixer.tool.model.audio
    np.testing.assert_allclose(
        samples, audio.read(files[1], config.sample_rate, seconds=config.clip_seconds), atol=1e-4
    )
    assert rate == config.sample_rate
    assert mixer.original.autoplay
    assert any("metal_0002" in text for text in texts(mixer._original_box))


def test_saves_the_sound_with_a_recipe_and_never_over_another(mixer, files, tmp_path):
    mixer.rows[0].weight.value = 0.5
    mixer.save.click()
    mixer.save.click()
    saved = sorted((tmp_path / "generated").iterdir())
    assert [path.name for path in saved] == ["mix.wav", "mix_2.wav"]
    samples, _ = soundfile.read(saved[0])
    np.testing.assert_allclose(samples, np.clip(mixer.sound.samples, -1, 1), atol=1e-4)
    recipe = audio.read_recipe(saved[0])
    assert recipe["weights"] == [0.5, 1, 1]
    assert (saved[0].parent / recipe["sources"][0]["path"]).samefile(files[0])
    assert "saved" in mixer.status.value
    assert "mix_2.wav" in mixer.status.value


def test_what_cannot_be_saved_or_read_is_said(mixer, tool, sounds, tmp_path):
    mixer.name.value = str(tmp_path / "mix.xyz")
    mixer.save.click()
    assert "not saved" in mixer.status.value
    assert list(tmp_path.iterdir()) == []
    gone = tmp_path / "gone.wav"
    shutil.copy(sounds / "kick" / "kick_0001.wav", gone)
    other = Mixer(tool, [gone])
    gone.unlink()
    other.rows[0].play.click()
    assert "cannot play" in other.status.value
    other.rows[0].weight.value = 2
    assert "no new sound" in other.status.value
    assert "gone.wav" in other.status.value


def test_hostile_names_are_text(tool, sounds, tmp_path):
    hostile = tmp_path / f"{HOSTILE.replace('/', '')}.wav"
    shutil.copy(sounds / "kick" / "kick_0001.wav", hostile)
    mixer = Mixer(tool, [hostile])
    mixer.rows[0].play.click()
    shown = [*texts(mixer), Table({HOSTILE: [HOSTILE]})._repr_html_()]
    assert len(shown) >= 4
    for text in shown:
        assert "<img" not in text
        assert "$x$" not in text
        assert "\\(" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in mixer.status.value


def test_no_sound_to_mix_is_refused(tool):
    with pytest.raises(LatentError, match="at least one sound"):
        Mixer(tool, [])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a < b & 'c'", "a &lt; b &amp; &#x27;c&#x27;"),
        ("$x$", "<span>$</span>x<span>$</span>"),
        ("\\(x", "<span>\\</span>(x"),
        ("two\nlines", "&#x27;two<span>\\</span>nlines&#x27;"),
    ],
)
def test_inert(text, shown):
    assert inert(text) == shown


def test_long_names_keep_their_end():
    assert short_name("/sounds/kick/kick_0001.wav") == "kick/kick_0001"
    assert short_name(f"/sounds/{'x' * 99}/take_7.wav").endswith("xxx/take_7")
    assert len(short_name(f"/sounds/{'x' * 99}/take_7.wav")) == 40


def test_table_in_text_and_html():
    table = Table(
        {"sound": ["kick", "tom"], "size": [1.23456, np.float32(2)], "listen": [Sound(np.zeros(8), 8000)] * 2}
    )
    assert repr(table).splitlines()[1] == "kick   1.235  (0.00 s of sound)"
    page = table._repr_html_()
    assert page.count("<audio") == 2
    assert page.count("<tr>") == 3


def test_live_curves_replace_their_picture(monkeypatch):
    shown = []

    class Handle:
        def update(self, picture):
            shown[-1] = picture

    def display(picture, display_id):
        shown.append(picture)
        return Handle()

    monkeypatch.setattr("vaelab.widgets.display", display)
    history = [{"step": 5, "train_loss": 3.0, "loss": 2.5, "error_db": 9.0}]
    live = LiveCurves(history)
    first = shown[0]
    live(Evaluation(10, {}, {}, [*history, {**history[0], "step": 10}], None))
    assert len(shown) == 1
    assert shown[0] is not first
    assert list(shown[0].axes[0].lines[0].get_xdata()) == [5, 10]
    assert LiveCurves()._shown is None
