"""The instrument by asking what the browser asks: what is heard, mixed, set by a place, undone, put on pads, saved."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from hostile import HOSTILE, tool_in

import vaelab
from vaelab import audio
from vaelab.audio import Sound
from vaelab.datasets import hydrogen
from vaelab.play import SoundSampleTool
from vaelab.play.latent import LatentError
from vaelab.ui.instrument import SOURCES, Instrument


@pytest.fixture(scope="module")
def tool(tiny, sounds, tmp_path_factory):
    return tool_in(tmp_path_factory.mktemp("instrument"), tiny, sounds)


@pytest.fixture(scope="module")
def coordinates(tool):
    """In rows of four, one unit apart."""
    numbers = np.arange(len(tool.library.files))
    return np.stack([numbers % 4, numbers // 4], axis=1).astype(float)


@pytest.fixture
def shown(tool, coordinates, tmp_path):
    return Instrument(tool, coordinates, folder=tmp_path, sync=True)


def ask(shown, kind, **what):
    shown.asked = {"kind": kind, **what, "turn": str(np.random.default_rng().random())}


def mix(shown, *indices):
    for index in indices:
        ask(shown, "add", index=index)


def weights(shown):
    return [source["weight"] for source in shown.sources]


def heard(shown):
    return np.frombuffer(shown.samples, "<f4")


def pad_titles(shown):
    return [pad["title"] for pad in shown.pads if pad]


def test_is_a_name_of_the_package():
    assert vaelab.Instrument is Instrument


def test_a_point_is_heard_and_a_place_decoded(shown, tool):
    ask(shown, "play", index=4)
    path, config = tool.library.files[4], tool.model.audio
    np.testing.assert_array_equal(heard(shown), audio.read(path, config.sample_rate, seconds=config.clip_seconds))
    assert path.stem in shown.title
    assert pad_titles(shown) == []
    ask(shown, "decode", x=0.5, y=0.1)
    assert shown.status.startswith("decoded; nearest: ")
    assert shown.mark["at"] == [0.5, 0.1]
    np.testing.assert_array_equal(heard(shown), np.clip(shown.sound.samples, -1, 1))
    assert len(pad_titles(shown)) == 1


def test_a_walk_by_a_held_key_leaves_no_pads(shown):
    ask(shown, "decode", x=0.5, y=0.1, live=True)
    assert shown.turn == 1
    assert pad_titles(shown) == []


def test_a_page_to_share(shown, tmp_path):
    """With the map as it is shown; beside one that is there; recordings only where they are asked for."""
    for sounds in ("made", "real"):
        ask(shown, "share", sounds=sounds)
        assert shown.status.startswith("wrote "), shown.status
    made, real = ((tmp_path / name).read_text() for name in ("instrument.html", "instrument_2.html"))
    assert len(made) < len(real)
    ask(shown, "share", sounds="all")
    assert shown.status == "not shared: sounds: expected one of real, made, none, found 'all'"


def test_points_are_mixed(shown, tool):
    mix(shown, 0, 3)
    assert [source["index"] for source in shown.sources] == [0, 3]
    assert weights(shown) == [1, 1]
    assert shown.mixed == {"at": [1.5, 0.0]}
    wanted = tool.generate(**shown.setting.arguments())
    np.testing.assert_array_equal(shown.sound.samples, wanted.samples)
    np.testing.assert_array_equal(heard(shown), np.clip(wanted.samples, -1, 1))
    assert len(pad_titles(shown)) == 2
    mix(shown, 3)
    assert shown.status == "not done: in the mix already"


def test_the_mark_sets_weights(shown):
    """A drag is heard on its way; it is one step to undo, and one pad."""
    mix(shown, 0, 3, 8)
    turn, pads = shown.turn, len(pad_titles(shown))
    for x in (0.2, 0.4, 0.6):
        ask(shown, "blend", x=x, y=0.5, live=True)
        np.testing.assert_allclose(shown.mixed["at"], [x, 0.5], atol=0.02)
    assert shown.turn == turn + 3
    assert len(pad_titles(shown)) == pads
    ask(shown, "blend", x=0.6, y=0.5, live=False)
    assert shown.turn == turn + 3  # it is what is heard already
    assert len(pad_titles(shown)) == pads + 1
    ask(shown, "undo")
    assert weights(shown) == [1, 1, 1]
    assert len(pad_titles(shown)) == pads + 1
    ask(shown, "blend", x=3, y=0, live=False)
    assert weights(shown) == [0, 1, 0]
    assert shown.title == f"1 {shown.tool.library.files[3].stem}"
    assert len(shown.sound.recipe["sources"]) == 1


def test_weights_sources_and_steps_back(shown, tool):
    ask(shown, "undo")
    assert shown.status == "not done: nothing to undo"
    mix(shown, 0, 3)
    ask(shown, "weigh", number=1, weight=-0.5, live=False)
    assert shown.mixed["at"] == [-3.0, 0.0]
    assert "− 0.5" in shown.title
    ask(shown, "weigh", number=1, weight=-9, live=False)
    assert weights(shown) == [1, -2]
    assert shown.mixed == {}
    ask(shown, "source", number=1)
    assert tool.library.files[3].stem in shown.title
    turn = shown.turn
    ask(shown, "mix")
    assert shown.turn == turn + 1
    assert "− 2" in shown.title
    ask(shown, "mix")
    assert shown.turn == turn + 2
    ask(shown, "remove", number=0)
    assert [source["index"] for source in shown.sources] == [3]
    for _ in range(5):
        ask(shown, "undo")
    assert shown.sources == []
    assert shown.mixed == {}


def test_variations_of_a_mix(shown, tool):
    ask(shown, "roll")
    assert shown.status == "not done: no sound in the mix yet"
    mix(shown, 0, 3)
    plain, pads = shown.sound.samples, len(pad_titles(shown))
    ask(shown, "roll")
    assert shown.status == "not done: a variance of 0 has one sound: raise it for others"
    ask(shown, "vary", variance=0.3, live=True)
    assert len(pad_titles(shown)) == pads
    ask(shown, "vary", variance=0.5, live=False)
    assert (shown.variance, shown.sound.recipe["variance"]) == (0.5, 0.5)
    varied = shown.sound.samples
    assert np.abs(varied - plain).max() > 0
    ask(shown, "roll")
    assert np.abs(shown.sound.samples - varied).max() > 0
    assert len(pad_titles(shown)) == pads + 2
    ask(shown, "vary", variance=9, live=False)
    assert shown.variance == 2.0
    for _ in range(3):
        ask(shown, "undo")
    assert shown.variance == 0
    np.testing.assert_array_equal(shown.sound.samples, plain)


def test_a_lasso_fills_the_mix(shown):
    ask(shown, "lasso", corners=[[-1, -1], [9, -1], [9, 9], [-1, 9]])
    assert [source["index"] for source in shown.sources] == list(range(SOURCES))
    assert shown.status.startswith(f"added {SOURCES} of {len(shown.coordinates)} sounds")
    mix(shown, SOURCES)
    assert "take one away first" in shown.status
    ask(shown, "lasso", corners=[[50, 50], [51, 50], [51, 51]])
    assert shown.status == "not done: no sound in the lasso"


def test_sounds_and_kits_are_saved(shown, tmp_path):
    ask(shown, "save")
    assert shown.status == "not done: make a sound first"
    mix(shown, 0, 3)
    for _ in range(2):
        ask(shown, "save")
    assert audio.read_recipe(tmp_path / "sound_2.wav")["call"] == "generate"
    again = vaelab.regenerate(tmp_path / "sound.wav", shown.tool)
    np.testing.assert_allclose(again.samples, shown.sound.samples, atol=1e-6)
    shown.kit_asked = {"turn": "1"}
    kit = hydrogen.read_kit(tmp_path / "kit" / "drumkit.xml")
    assert list(kit.instruments.values()) == pad_titles(shown)


def test_colours(tool, coordinates):
    numbers = np.arange(len(coordinates), dtype=float)
    shown = Instrument(tool, coordinates, {"size": numbers}, sync=True)
    assert shown.colouring == {"names": ["folder", "size"], "name": "folder"}
    ask(shown, "colour", name="size")
    assert shown.legend["scale"]["name"] == "size"
    ask(shown, "colour", name="what?")
    assert shown.status.startswith("not done")


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("play", {"index": 9999}),
        ("add", {"index": -1}),
        ("source", {"number": 0}),
        ("blend", {"x": 0, "y": 0, "live": True}),
        ("weigh", {"number": 3, "weight": 1, "live": True}),
        ("mix", {}),
        ("what?", {}),
    ],
)
def test_what_cannot_be_done_is_said(shown, kind, what):
    ask(shown, kind, **what)
    assert shown.status.startswith("not done: ")
    assert shown.sources == []


def test_needs_a_library(tool, coordinates):
    with pytest.raises(LatentError, match=r"expected a tool with a library and coordinates \(sounds, 2\)"):
        Instrument(tool, coordinates[:3])
    with pytest.raises(LatentError, match="found 0 sounds"):
        Instrument(SoundSampleTool(tool.path))


def test_hostile_names_are_text(shown, tool):
    names = [path.stem for path in tool.library.files]
    mix(shown, *(names.index(name) for name in HOSTILE))
    for text in [shown.title, shown.status, *(source["title"] for source in shown.sources), *pad_titles(shown)]:
        assert "\n" not in text
        text.encode("utf-8")


def test_no_change_is_lost_between_threads(shown, monkeypatch):
    """The worker sends sounds while the page's thread sends weights: each reaches the page."""
    sent = []

    def send(key=None):
        sent.extend([key] if isinstance(key, str) else list(key or ()))
        time.sleep(0.001)  # as large messages take

    monkeypatch.setattr(shown, "send_state", send)
    # ipywidgets 7 sends to a page alone, and outside a notebook there is none.
    monkeypatch.setitem(shown._trait_values, "comm", SimpleNamespace(kernel=True, close=lambda: None))
    sounds = [Sound(np.full(10, number / 100, np.float32), 8000) for number in range(1, 61)]

    def play():
        for sound in sounds:
            shown.hear(sound, f"{sound.samples[0]}")
            shown.status = f"{sound.samples[0]}"

    player = threading.Thread(target=play)
    player.start()
    for number in range(60):
        with shown.hold_sync():
            shown.sources, shown.mixed = [{"weight": number}], {"at": [number, number]}
    player.join()
    counts = {name: sent.count(name) for name in ("samples", "title", "turn", "status", "sources", "mixed")}
    assert counts == dict.fromkeys(counts, 60)
