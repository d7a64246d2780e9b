"""The mixer by setting values and clicking, without a browser: what it shows is what the tool makes."""

import os
import shutil
import threading

import ipywidgets
import jax
import numpy as np
import pytest
import soundfile

from vaelab import audio, model
from vaelab.models import checkpoint
from vaelab.play import SoundSampleTool
from vaelab.ui.mixer import MOST_ROWS, SIMILAR, Mixer

HOSTILE = "<img src=x onerror=alert(1)> $x$ \\(y\\)"
SECONDS = 60


@pytest.fixture(scope="module")
def path(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    checkpoint.save_model(path, model.create(tiny.model, tiny.audio, jax.random.key(0)), {})
    return path


@pytest.fixture(scope="module")
def tool(path):
    return SoundSampleTool(path)


@pytest.fixture(scope="module")
def searching(path, sounds):
    return SoundSampleTool(path, library_dir=sounds, home=path.parent, progress=False)


@pytest.fixture(scope="module")
def files(sounds):
    return [sounds / "kick" / "kick_0001.wav", sounds / "metal" / "metal_0002.wav", sounds / "drone" / "drone_0001.wav"]


@pytest.fixture
def mixer(tool, files, tmp_path):
    return Mixer(tool, files, folder=tmp_path / "generated", sync=True)


def same(mixer, **settings):
    wanted = mixer.tool.generate(**settings)
    np.testing.assert_array_equal(mixer.sound.samples, wanted.samples)
    return True


def heard(player):
    return np.frombuffer(player.samples, "<f4")


def texts(widget):
    """Everything a widget and those within it put on the page as HTML."""
    own = [widget.value] if isinstance(widget, ipywidgets.HTML) else []
    return own + [text for child in getattr(widget, "children", ()) for text in texts(child)]


def test_begins_with_a_sound_that_waits_to_be_played(mixer, files):
    assert same(mixer, audio_files=files, weights=[1, 1, 1], seed=0)
    assert not mixer.player.autoplay
    assert mixer.player.sample_rate == mixer.sound.sample_rate
    np.testing.assert_array_equal(heard(mixer.player), np.clip(mixer.sound.samples, -1, 1))
    words = "1 kick_0001 + 1 metal_0002 + 1 drone_0001"
    assert mixer.player.title == words
    assert words in mixer.status.value
    assert mixer.progress.value == 3


def test_each_control_is_what_generate_gets(mixer, files):
    mixer.rows[0].weight.value = -0.5
    assert same(mixer, audio_files=files, weights=[-0.5, 1, 1], seed=0)
    mixer.normalize.value = False
    assert same(mixer, audio_files=files, weights=[-0.5, 1, 1], normalize_weights=False, seed=0)
    mixer.variance.value = 0.4
    mixer.spread.value = 1.5
    mixer.seed.value = 11
    mixer.detail.value = 0.5
    all_of_it = {"weights": [-0.5, 1, 1], "normalize_weights": False, "variance": 0.4, "spread": 1.5, "seed": 11}
    assert same(mixer, audio_files=files, **all_of_it, detail=0.5)
    assert mixer.player.autoplay
    assert mixer.player.turn == 7


def test_stereo_is_a_box_to_tick(tool, files, tmp_path):
    samples, rate = soundfile.read(files[0])
    soundfile.write(tmp_path / "s.wav", samples[:, None] * [1, 0.25], rate)
    mixer = Mixer(tool, [tmp_path / "s.wav", files[1]], folder=tmp_path, sync=True)
    assert mixer.sound.samples.ndim == 1
    mixer.stereo.value = True
    assert same(mixer, audio_files=[tmp_path / "s.wav", files[1]], seed=0, channels="source")
    assert mixer.player.channels == mixer.sound.samples.ndim == 2
    mixer.rows[0].play.click()
    assert mixer.original.channels == 2
    mixer.undo.click()
    assert not mixer.stereo.value
    assert mixer.player.channels == mixer.sound.samples.ndim == 1


def test_muted_soloed_and_weight_0(mixer, files):
    mixer.rows[1].mute.value = True
    assert same(mixer, audio_files=[files[0], files[2]], weights=[1, 1], seed=0)
    mixer.rows[0].weight.value = 0
    assert same(mixer, audio_files=files[2:], weights=[1], seed=0)
    before = mixer.sound
    mixer.rows[2].mute.value = True
    assert "no new sound: nothing to mix" in mixer.status.value
    assert mixer.progress.value == 0
    assert mixer.sound is before
    mixer.rows[2].mute.value = False
    assert "no new sound" not in mixer.status.value
    mixer.rows[0].weight.value = 1
    mixer.rows[0].solo.value = True
    assert same(mixer, audio_files=files[:1], weights=[1], seed=0)


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


def test_undo_goes_back_step_by_step_with_one_sound_each(mixer, files):
    mixer.rows[0].weight.value = 0.5
    mixer.variance.value = 0.3
    mixer.rows[1].remove.click()
    turn = mixer.player.turn
    mixer.undo.click()
    assert [row.channel.path for row in mixer.rows] == files
    assert mixer.player.turn == turn + 1
    assert same(mixer, audio_files=files, weights=[0.5, 1, 1], variance=0.3, seed=0)
    mixer.undo.click()
    mixer.undo.click()
    assert same(mixer, audio_files=files, weights=[1, 1, 1], seed=0)
    mixer.undo.click()
    assert "nothing to undo" in mixer.status.value


def test_slots_are_two_settings(mixer, files):
    mixer.slot.value = "B"
    mixer.rows[2].weight.value = -1
    mixer.slot.value = "A"
    assert mixer.rows[2].weight.value == 1
    assert same(mixer, audio_files=files, weights=[1, 1, 1], seed=0)
    mixer.slot.value = "B"
    assert same(mixer, audio_files=files, weights=[1, 1, -1], seed=0)


def test_sounds_are_added_by_file_and_removed(mixer, files, sounds):
    more = sounds / "tom" / "tom_0001.wav"
    mixer.file.value = str(more)
    mixer.add.click()
    assert same(mixer, audio_files=[*files, more], weights=[1, 1, 1, 1], seed=0)
    mixer.add.click()
    assert len(mixer.rows) == 4
    mixer.rows[0].remove.click()
    assert same(mixer, audio_files=[*files[1:], more], weights=[1, 1, 1], seed=0)
    mixer.file.value = "/no/such.wav"
    mixer.add.click()
    assert "not added: /no/such.wav" in mixer.status.value
    for row in list(mixer.rows):
        row.remove.click()
    assert same(mixer, seed=0)  # without sounds the mixer invents one
    mixer.seed.value = 7
    assert same(mixer, seed=7)
    assert "random sound, seed 7" in mixer.status.value
    assert mixer.label.label == "any class"


def test_rows_are_bounded(tool, sounds):
    mixer = Mixer(tool, sync=True)
    assert mixer.sound is None
    said = mixer.add_sounds([sounds / f"{number}.wav" for number in range(MOST_ROWS + 5)])
    assert f"added {MOST_ROWS} of {MOST_ROWS + 5} sounds" in said
    assert len(mixer.rows) == MOST_ROWS


def test_similar_sounds_of_the_library_are_added(searching, files, tmp_path):
    mixer = Mixer(searching, files, folder=tmp_path, sync=True)
    assert [name for name, _ in mixer.target.options] == ["kick/kick_0001", "metal/metal_0002", "drone/drone_0001"]
    assert mixer.target.value == 0
    mixer.target.value = 1
    nearest = [path for path in searching.find_similar(files[1], 10)[0] if path not in files]
    for times in (1, 2):
        mixer.similar.click()
        assert [row.channel.path for row in mixer.rows[3:]] == nearest[: times * SIMILAR]
        assert mixer.target.value == 1


def test_similar_adds_no_sound_that_is_there_by_a_relative_path(searching, files, sounds, tmp_path, monkeypatch):
    monkeypatch.chdir(sounds)
    mixer = Mixer(searching, ["kick/kick_0001.wav"], folder=tmp_path, sync=True)
    mixer.similar.click()
    places = [mixer.rows[0].channel.path.resolve(), *(row.channel.path for row in mixer.rows[1:])]
    assert len(places) == len(set(places)) == 1 + SIMILAR


def test_similar_looks_around_the_stretch_that_is_mixed(searching, files, sounds, tmp_path):
    """A long file is mixed from its offset, and what is similar to its beginning is something else."""
    long, second = tmp_path / "long.wav", sounds / "clap" / "clap_0003.wav"
    parts = [audio.read(path, 8000, seconds=0.5) for path in (files[2], second)]
    soundfile.write(long, np.concatenate([np.pad(part, (0, 4000 - len(part))) for part in parts]), 8000, "FLOAT")
    mixer = Mixer(searching, folder=tmp_path, sync=True)
    mixer.add_sounds([long], [0.5])
    mixer.similar.click()
    assert mixer.rows[1].channel.path == second


def test_similar_needs_a_library_and_a_sound(tool, searching):
    without, empty = Mixer(tool, sync=True), Mixer(searching, sync=True)
    assert without.similar not in [child for line in without.children for child in getattr(line, "children", ())]
    empty.similar.click()
    assert "not added: there is no sound yet" in empty.status.value


def test_an_original_plays(mixer, files):
    mixer.rows[1].play.click()
    config = mixer.tool.model.audio
    np.testing.assert_array_equal(
        heard(mixer.original), audio.read(files[1], config.sample_rate, seconds=config.clip_seconds)
    )
    assert mixer.original.title == "original: metal/metal_0002"
    assert mixer.original.autoplay


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
    other = Mixer(tool, [gone], sync=True)
    gone.unlink()
    other.rows[0].play.click()
    assert "cannot play" in other.status.value
    other.rows[0].weight.value = 2
    assert "no new sound" in other.status.value
    assert "gone.wav" in other.status.value


@pytest.mark.parametrize(
    "name", [HOSTILE.replace("/", ""), "two\nlines", b"not utf-8 \xff".decode(errors="surrogateescape")]
)
def test_hostile_names_are_text(tool, sounds, tmp_path, name):
    hostile = tmp_path / f"{name}.wav"
    shutil.copy(sounds / "kick" / "kick_0001.wav", hostile)
    mixer = Mixer(tool, [hostile], sync=True)
    mixer.rows[0].play.click()
    plain = [mixer.player.title, mixer.original.title, *(label for label, _ in mixer.target.options)]
    for text in [*texts(mixer), *plain]:
        assert "\n" not in text
        os.fsencode(text).decode("utf-8")
    for text in texts(mixer):
        assert "<img" not in text
        assert "$x$" not in text
        assert "\\(" not in text
    assert "no new sound" not in mixer.status.value


class Held:
    """A tool whose `generate` waits to be let go, and counts."""

    def __init__(self, tool):
        self.model, self.library, self.class_names, self.calls = tool.model, None, (), 0
        self.began, self.go = threading.Event(), threading.Event()
        self._generate = tool.generate

    def generate(self, **settings):
        self.calls += 1
        self.began.set()
        assert self.go.wait(SECONDS)
        return self._generate(**settings)


def test_many_quick_changes_cost_few_sounds(tool, files):
    held = Held(tool)
    mixer = Mixer(held, files)
    assert held.began.wait(SECONDS)
    for number in range(20):
        mixer.rows[0].weight.value = 0.05 * number
    assert mixer.sound is None
    held.go.set()
    assert mixer.worker.wait(SECONDS)
    assert held.calls == 2
    assert mixer.player.turn == 1
    assert same(mixer, audio_files=files, weights=[0.95, 1, 1], seed=0)


def test_cancel_keeps_the_sound_before(tool, files):
    held = Held(tool)
    mixer = Mixer(held, files)
    assert held.began.wait(SECONDS)
    mixer.rows[0].weight.value = 0.5
    mixer.cancel.click()
    held.go.set()
    assert mixer.worker.wait(SECONDS)
    assert held.calls == 1
    assert mixer.sound is None
    assert "stopped" in mixer.status.value
    assert mixer.progress.value == 0
