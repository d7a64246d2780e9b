"""The instrument's page in Chromium, without a kernel: keys, clicks, drags, and its look at several widths."""

import numpy as np
import pytest
from browsing import CHROMIUM, DARK, MINUTE, barriers, keep, shown

from vaelab.audio import Sound
from vaelab.config import AudioConfig
from vaelab.ui.instrument import Instrument
from vaelab.ui.mapview import MapView
from vaelab.ui.pads import Pads
from vaelab.ui.player import Player

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: install Debian's package `chromium`"),
]
HOSTILE = "<img src=x onerror=window.broken=1> $x$"
PLACES = np.array([[0, 0], [10, 0], [0, 10], [10, 10], [5, 2]], float)
CONFIG = AudioConfig()
# The boxes of visible parts that stick out of the surface, or whose words are cut by their own edges.
CUT = """() => {
    const edge = document.getElementById('widget').getBoundingClientRect().right + 1;
    return [...document.querySelectorAll('#widget *')].filter((part) => {
        const box = part.getBoundingClientRect();
        const cut = part.matches('button, label, output, kbd') && part.scrollWidth > part.clientWidth + 1;
        return box.width && (box.right > edge || (cut && !part.matches('.vaelab-pad') && part.clientWidth));
    }).map((part) => part.outerHTML.slice(0, 80));
}"""
# Parts of the surface that overlap.
OVERLAPS = """() => {
    const parts = [...document.querySelectorAll('.vaelab-surface > section')];
    const boxes = parts.map((part) => part.getBoundingClientRect());
    return boxes.filter((box, at) => boxes.some((other, to) => to > at && box.left < other.right - 1
        && other.left < box.right - 1 && box.top < other.bottom - 1 && other.top < box.bottom - 1)).length;
}"""
NAMELESS = """() => [...document.querySelectorAll('#widget button, #widget input, #widget select')].filter((part) =>
    !(part.ariaLabel || part.title || part.textContent.trim() || part.closest('label')?.textContent.trim())).length"""


@pytest.fixture
def state():
    """What an instrument would tell: five sounds, two of them mixed, one sound on a pad."""
    wave = np.sin(np.arange(44100) / 20).astype(np.float32) * 0.5
    view, player, pads = MapView(PLACES, [HOSTILE, "b", "c", "d", "e"]), Player(autoplay=False), Pads()
    view.colour(["kick", "<b>clap</b>", "kick", "tom", "tom"])
    player.hear(Sound(wave, 44100), HOSTILE)
    player.draw(Sound(wave, 44100), CONFIG)
    pads.add_pad(Sound(wave, 44100), HOSTILE)
    values = {
        name: getattr(widget, name)
        for widget in (view, player, pads)
        for name in widget.trait_names(sync=True)
        if not name.startswith("_") and name in Instrument.class_trait_names(sync=True)
    }
    own = {
        "sources": [{"index": 0, "title": HOSTILE, "weight": 1}, {"index": 1, "title": "b", "weight": 1}],
        "mixed": {"at": [5, 0]},
        "variance": 0,
        "colouring": {"names": ["folder", HOSTILE], "name": "folder"},
        "status": HOSTILE,
    }
    return {name: value for name, value in {**values, **own}.items() if name not in ("layout", "comm", "tabbable")}


def opened(tmp_path, state, body="", width=1280):
    return shown(tmp_path, "instrument", state, body, ("map", "player", "pads", "instrument"), width)


def spot(page, x, y):
    """Where a place of the square map, from 0 to 10, is on the page."""
    box = page.locator(".vaelab-stage").first.bounding_box()
    scale = 0.9 * (box["height"] - 2) / 10
    return box["x"] + box["width"] / 2 + (x - 5) * scale, box["y"] + box["height"] / 2 - (y - 5) * scale


def asked(page):
    """What was asked since the last time, without its turns."""
    saved = page.evaluate("model.saved.splice(0).filter(([name]) => name === 'asked').map(([, what]) => what)")
    return [{name: value for name, value in what.items() if name != "turn"} for what in saved]


def drag(page, start, *places):
    page.mouse.move(*start)
    page.mouse.down()
    for place in places:
        page.mouse.move(*place, steps=4)
    page.mouse.up()


def test_everything_by_keys(tmp_path, state):
    with opened(tmp_path, state) as page:
        page.locator(".vaelab-stage").first.focus()
        for key in ("ArrowDown", "ArrowRight", "ArrowUp", "Enter", "1", "2", "3", " ", "z", "Control+z"):
            page.keyboard.press(key)
        assert asked(page) == [
            {"kind": "play", "index": 4},
            {"kind": "play", "index": 1},
            {"kind": "play", "index": 3},
            {"kind": "add", "index": 3},
            {"kind": "source", "number": 0},
            {"kind": "source", "number": 1},
            {"kind": "mix"},
            {"kind": "undo"},
        ]
        page.keyboard.press("q")
        page.wait_for_function("document.querySelector('.vaelab-pads').dataset.padPlays == 1", timeout=MINUTE)
        page.get_by_label(f"weight of {HOSTILE}").focus()
        page.keyboard.press("ArrowRight")
        weighed = asked(page)
        assert [(what["kind"], what["live"]) for what in weighed] == [("weigh", True), ("weigh", False)]
        assert weighed[0]["weight"] == pytest.approx(1.05)
        page.get_by_label("variance").focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("n")
        varied = {"kind": "vary", "variance": 0.05}
        assert asked(page) == [{**varied, "live": True}, {**varied, "live": False}, {"kind": "roll"}]
        page.get_by_role("button", name="take b away").focus()
        page.keyboard.press(" ")
        assert asked(page) == [{"kind": "remove", "number": 1}]
        assert page.evaluate(NAMELESS) == 0
        assert page.broken == []


def test_places_beside_the_points_by_keys(tmp_path, state):
    """From the point that the cursor is on, or from the place that was clicked; a held key leaves no pads."""
    with opened(tmp_path, state) as page:
        page.mouse.click(*spot(page, 5, 2))
        for key in ("Shift+ArrowRight", "Shift+ArrowUp", "ArrowUp", "Shift+ArrowLeft"):
            page.keyboard.press(key)
        page.mouse.click(*spot(page, 3, 6))
        page.keyboard.press("Shift+ArrowDown")
        page.keyboard.down("Shift")
        page.keyboard.down("ArrowDown")
        page.keyboard.down("ArrowDown")
        played, right, up, _, left, clicked, *down = asked(page)
        assert played == {"kind": "play", "index": 4}
        assert {what["kind"] for what in (right, up, left, clicked, *down)} == {"decode"}
        step = right["x"] - 5
        assert step > 0
        for what, place in ((right, (5 + step, 2)), (up, (5 + step, 2 + step)), (left, (-step, 10))):
            assert [what["x"], what["y"]] == pytest.approx(place, abs=0.01)
        assert [what["y"] - clicked["y"] for what in down] == pytest.approx([-step, -2 * step, -3 * step], abs=0.01)
        assert [what["live"] for what in down] == [False, False, True]


def test_sharing_is_asked_for(tmp_path, state):
    with opened(tmp_path, state) as page:
        page.get_by_text("share as a page").focus()
        page.keyboard.press(" ")
        assert page.get_by_text("Whoever has it can copy the sounds in it").is_visible()
        assert asked(page) == []
        page.get_by_role("button", name="with recordings", exact=True).click()
        page.get_by_text("share as a page").click()
        page.get_by_role("button", name="without recordings").click()
        assert asked(page) == [{"kind": "share", "sounds": "real"}, {"kind": "share", "sounds": "made"}]


def test_drags_and_clicks(tmp_path, state):
    with opened(tmp_path, state) as page:
        panel = page.locator(".vaelab-mix").bounding_box()
        within = panel["x"] + 40, panel["y"] + panel["height"] - 8
        drag(page, spot(page, 10, 10), within)
        assert asked(page) == [{"kind": "add", "index": 3}]
        drag(page, spot(page, 10, 10), spot(page, 8, 8))
        assert asked(page) == []
        drag(page, spot(page, 5, 0), spot(page, 3, 1))
        blends = asked(page)
        assert {what["kind"] for what in blends} == {"blend"}
        assert [what["live"] for what in blends] == [*[True] * (len(blends) - 1), False]
        assert [blends[-1]["x"], blends[-1]["y"]] == pytest.approx([3, 1], abs=0.1)
        page.mouse.click(*spot(page, 0, 10))
        page.mouse.click(*spot(page, 3, 6))
        play, decode = asked(page)
        assert play == {"kind": "play", "index": 2}
        assert decode["kind"] == "decode"
        page.get_by_role("button", name="▶ mix").click()
        page.keyboard.press("z")  # keys are for the map again
        assert [what["kind"] for what in asked(page)] == ["mix", "undo"]
        page.get_by_label("colour").select_option(HOSTILE)
        assert asked(page) == [{"kind": "colour", "name": HOSTILE}]
        page.evaluate("close_widget()")
        assert page.broken == []


def test_touch(tmp_path, state):
    """A finger drags the mark as a mouse does; the page does not scroll under it."""
    with opened(tmp_path, state) as page:
        assert page.locator(".vaelab-stage").first.evaluate("stage => getComputedStyle(stage).touchAction") == "none"
        page.locator(".vaelab-stage").first.evaluate(
            """(stage, [from, to]) => {
                stage.setPointerCapture = () => {};
                const send = (kind, [clientX, clientY]) => stage.dispatchEvent(
                    new PointerEvent(kind, { clientX, clientY, pointerId: 7, pointerType: 'touch', button: 0 }));
                send('pointerdown', from), send('pointermove', to), send('pointerup', to);
            }""",
            [spot(page, 5, 0), spot(page, 2, 2)],
        )
        assert [what["kind"] for what in asked(page)] == ["blend", "blend"]


@pytest.mark.parametrize("body", ["", DARK], ids=["light", "dark"])
def test_no_barriers(tmp_path, state, body):
    with opened(tmp_path, state, body) as page:
        page.locator(".vaelab-stage").first.focus()
        page.keyboard.press("ArrowRight")  # the name of a point is shown
        assert barriers(page, "#widget") == []
        page.evaluate("document.querySelector('.vaelab-mix button').removeAttribute('title')")
        page.evaluate("document.querySelector('.vaelab-mix button').textContent = ''")
        assert [fault for fault, *_ in barriers(page, "#widget")] == ["button-name"]  # it does look


def test_what_python_tells_is_shown(tmp_path, state):
    with opened(tmp_path, state) as page:
        assert page.locator("#widget img, #widget b").count() == 0
        assert page.locator(".vaelab-status").inner_text() == HOSTILE
        page.evaluate("model.set('sources', [{ index: 4, title: 'e', weight: -0.5 }])")
        assert page.locator(".vaelab-source").inner_text().split() == ["1", "e", "−0.50", "×"]
        page.evaluate("model.set('sources', [])")
        assert "Drag points of the map here" in page.locator(".vaelab-mix").inner_text()
        page.evaluate("model.set('mixed', {})")
        page.wait_for_timeout(100)
        assert page.broken == []


@pytest.mark.parametrize("body", ["", DARK], ids=["light", "dark"])
@pytest.mark.parametrize("width", [500, 800, 1200, 1600])
def test_nothing_is_cut_or_overlaps(tmp_path, state, width, body):
    with opened(tmp_path, state, body, width) as page:
        assert page.evaluate(CUT) == []
        assert page.evaluate(OVERLAPS) == 0
        stacked = page.locator(".vaelab-part-mix").bounding_box()["x"] < width / 2
        assert stacked == (width < 900)
        keep(page, f"instrument_{width}_{'dark' if body else 'light'}")
