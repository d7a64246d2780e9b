"""The map by asking what the browser asks, without one: what is heard, decoded, gathered, coloured, saved."""

import os

import ipywidgets
import numpy as np
import pytest
from hostile import HOSTILE, tool_in

from vaelab import audio
from vaelab.audio import descriptors
from vaelab.library import umap_map
from vaelab.play.latent import LatentError
from vaelab.ui.mapview import MOST_GROUPS, STEPS, MapView
from vaelab.ui.mixer import Mixer
from vaelab.ui.soundmap import SoundMap


@pytest.fixture(scope="module")
def tool(tiny, sounds, tmp_path_factory):
    return tool_in(tmp_path_factory.mktemp("map"), tiny, sounds)


@pytest.fixture(scope="module")
def coordinates(tool):
    """In a row, one unit apart."""
    count = len(tool.library.files)
    return np.stack([np.arange(count), np.zeros(count)], axis=1)


@pytest.fixture
def shown(tool, coordinates, tmp_path):
    mixer = Mixer(tool, folder=tmp_path, sync=True)
    return SoundMap(tool, coordinates, mixer=mixer, folder=tmp_path, sync=True)


def ask(shown, **what):
    shown.view.asked = {**what, "turn": str(np.random.default_rng().random())}


def around(first, last):
    return [[first - 0.4, -1], [last + 0.4, -1], [last + 0.4, 1], [first - 0.4, 1]]


def heard(shown):
    return np.frombuffer(shown.player.samples, "<f4")


def texts(widget):
    own = [widget.value] if isinstance(widget, ipywidgets.HTML) else []
    return own + [text for child in getattr(widget, "children", ()) for text in texts(child)]


def test_a_point_is_heard(shown, tool):
    ask(shown, kind="play", index=4)
    path, config = tool.library.files[4], tool.model.audio
    np.testing.assert_array_equal(heard(shown), audio.read(path, config.sample_rate, seconds=config.clip_seconds))
    assert path.stem in shown.player.title
    assert shown.player.autoplay
    turn = shown.player.turn
    ask(shown, kind="play", index=4)
    assert shown.player.turn == turn + 1


def test_a_place_is_decoded_and_its_nearest_sounds_named(shown, tool):
    ask(shown, kind="decode", x=2.5, y=0.1)
    z, near = umap_map.latent_at(shown.coordinates, tool.library.embeddings, [2.5, 0.1])
    np.testing.assert_array_equal(shown.sound.samples, tool.decode(z[None], detail=1.0)[0].samples)
    np.testing.assert_array_equal(heard(shown), np.clip(shown.sound.samples, -1, 1))
    assert set(near[:2]) == {2, 3}
    assert shown.view.mark == {"at": [2.5, 0.1], "near": near.tolist()}
    nearest = np.linalg.norm(tool.library.embeddings - z[None], axis=1).argmin()
    assert tool.library.files[nearest].stem in shown.player.title
    assert f"({np.linalg.norm(tool.library.embeddings[nearest] - z):.2f})" in shown.status.value


def test_a_lasso_fills_the_mixer(shown, tool):
    ask(shown, kind="lasso", corners=around(1, 3))
    assert shown.chosen.tolist() == [1, 2, 3]
    assert np.frombuffer(shown.view.selected, "<u4").tolist() == [1, 2, 3]
    shown.send.click()
    assert [row.channel.path for row in shown.mixer.rows] == [tool.library.files[index] for index in (1, 2, 3)]
    assert shown.mixer.sound is not None
    assert "added 3 of 3 sounds" in shown.status.value
    ask(shown, kind="lasso", corners=around(50, 60))
    shown.send.click()
    assert "not added: draw a lasso" in shown.status.value


def label(shown, first, last, name):
    ask(shown, kind="lasso", corners=around(first, last))
    shown.label.value = name
    shown.give.click()


def test_a_lasso_names_sounds(shown, tool):
    shown.give.click()
    assert "not labelled" in shown.status.value
    first = [path.name for path in tool.library.files].index("clap_0001.wav")
    label(shown, first, first + 1, "good <b>ones</b>")
    assert shown.labels == {first: "good <b>ones</b>", first + 1: "good <b>ones</b>"}
    assert shown.colour.value == "label"
    assert np.frombuffer(shown.view.groups, np.uint8)[first : first + 3].tolist() == [1, 1, 0]
    assert [1, "good <b>ones</b>"] in shown.view.legend["names"]
    assert "<b>" not in shown.status.value


def test_names_are_found_again(shown, tool, coordinates, tmp_path):
    """By another map in the same folder, for all copies of a sound; a file that is no such list is told and kept."""
    copies = [index for index, path in enumerate(tool.library.files) if path.stem in HOSTILE]
    label(shown, copies[0], copies[0], "odd")
    label(shown, 3, 4, "two")
    again = SoundMap(tool, coordinates, folder=tmp_path, sync=True)
    assert again.labels == shown.labels == dict.fromkeys(copies, "odd") | {3: "two", 4: "two"}
    again.colour.value = "label"
    assert np.count_nonzero(np.frombuffer(again.view.groups, np.uint8)) == len(copies) + 2
    (tmp_path / "labels.csv").write_text("something else")
    damaged = SoundMap(tool, coordinates, folder=tmp_path, sync=True)
    assert damaged.labels == {}
    assert "no labels" in damaged.status.value
    label(damaged, 0, 0, "new")
    assert "not labelled" in damaged.status.value
    assert (tmp_path / "labels.csv").read_text() == "something else"


def test_a_decoded_sound_is_saved_with_its_recipe(shown, tmp_path):
    shown.save.click()
    assert "not saved: click beside the points first" in shown.status.value
    ask(shown, kind="decode", x=2.5, y=0.1)
    shown.save.click()
    shown.save.click()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["place.wav", "place_2.wav"]
    assert audio.read_recipe(tmp_path / "place.wav")["call"] == "decode"


def test_colours(shown, tool):
    assert shown.colour.value == "folder"
    assert {name for _, name in shown.view.legend["names"]} == {"kick", "clap", "own"}
    shown.colour.value = "brightness"
    groups = np.frombuffer(shown.view.groups, np.uint8)
    config = tool.model.audio
    measured = [
        descriptors.measure(audio.read(path, config.sample_rate, seconds=config.clip_seconds), config.sample_rate)
        for path in tool.library.files
    ]
    brightness = np.array([one["brightness"] for one in measured])
    assert groups[brightness.argmin()] == 1
    assert groups[brightness.argmax()] == STEPS
    assert np.all(np.diff(groups[brightness.argsort()].astype(int)) >= 0)
    assert shown.view.legend["scale"]["name"] == "brightness (octaves)"
    assert shown.progress.value == len(tool.library.files)
    shown.colour.value = "folder"
    assert shown.view.legend["scale"] is None


def test_what_cannot_be_read_or_asked_is_said(shown, tool, coordinates, monkeypatch):
    monkeypatch.setattr(audio, "read", lambda path, *_: (_ for _ in ()).throw(audio.AudioError(path, "gone")))
    ask(shown, kind="play", index=0)
    assert "cannot play" in shown.status.value
    shown.colour.value = "pitch"
    assert np.frombuffer(shown.view.groups, np.uint8).max() == 0
    ask(shown, kind="play", index=9999)
    assert "not done" in shown.status.value
    with pytest.raises(LatentError, match=r"expected a tool with a library and coordinates \(sounds, 2\)"):
        SoundMap(tool, coordinates[:3])


def test_hostile_names_are_text(shown, tool):
    names = [path.stem for path in tool.library.files]
    for name in HOSTILE:
        ask(shown, kind="play", index=names.index(name))
        for text in [*texts(shown), shown.player.title, shown.view.names.decode("utf-8")]:
            assert "\n" not in text
            os.fsencode(text).decode("utf-8")
        for text in texts(shown):
            assert "<img" not in text
            assert "$x$" not in text
    ends = np.frombuffer(shown.view.name_ends, "<u4")
    assert len(ends) == len(names)
    assert shown.view.names[ends[4] : ends[5]].decode() == f"{tool.library.files[5].parent.name}/{names[5]}"


def test_a_thousand_names_share_what_colours_there_are():
    view = MapView(np.zeros((1000, 2)), ["x"] * 1000)
    view.colour([f"{number}" for number in range(1000)])
    groups = np.frombuffer(view.groups, np.uint8)
    assert groups.max() == MOST_GROUPS + 1 == len(view.palette) - 1
    assert [MOST_GROUPS + 1, "(others)"] in view.legend["names"]
    view.colour(np.array([np.nan] * 999 + [3.0]), "size")
    assert np.frombuffer(view.groups, np.uint8).tolist() == [0] * 999 + [1]
