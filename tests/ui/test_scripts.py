"""The widgets' scripts in Chromium on a bare page, without a kernel: what is drawn, heard and asked for."""

import numpy as np
import pytest
from browsing import CHROMIUM, DARK, MINUTE, keep, shown, traits

from vaelab.audio import Sound
from vaelab.config import AudioConfig
from vaelab.ui.mapview import MapView
from vaelab.ui.player import Player

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: install Debian's package `chromium`"),
]
HOSTILE = "<img src=x onerror=window.broken=1> $x$"
CONFIG = AudioConfig()


def chirp(seconds=2.0):
    time = np.arange(int(seconds * CONFIG.sample_rate)) / CONFIG.sample_rate
    swept = np.sin(2 * np.pi * (200 * time + 1500 * time**2)) * np.exp(-2 * time)
    return Sound((0.7 * swept).astype(np.float32), CONFIG.sample_rate)


@pytest.fixture
def sounding():
    player = Player()
    player.hear(chirp(), HOSTILE)
    player.draw(chirp(), CONFIG)
    return traits(player)


def state(page, name):
    return float(page.locator("#widget").get_attribute(f"data-{name}"))


@pytest.mark.parametrize("body", ["", DARK], ids=["light", "dark"])
def test_player_draws_and_plays(tmp_path, sounding, body):
    with shown(tmp_path, "player", sounding, body) as page:
        assert page.locator("img").count() == 0
        assert HOSTILE in page.locator(".vaelab-title").inner_text()
        page.get_by_role("button", name="play").click()
        page.wait_for_function("document.getElementById('widget').dataset.peak > 0.3", timeout=MINUTE)
        keep(page, f"player_{'dark' if body else 'light'}")
        page.get_by_role("button", name="stop").click()
        assert state(page, "level") == 0
        page.evaluate("model.set('autoplay', true), model.set('turn', 2)")
        page.wait_for_function("document.getElementById('widget').dataset.plays == 2", timeout=MINUTE)
        page.get_by_label("loop").check()
        page.wait_for_timeout(2500)
        assert state(page, "level") > 0
        assert page.evaluate("model.saved").count(["loop", True]) == 1
        page.evaluate("close_widget()")
        assert page.broken == []


# The page's sound, which starts only two seconds after it is asked to, as on a busy machine.
SLOW_START = """async () => {
    const context = (globalThis[Symbol.for('vaelab.audio')] = new AudioContext());
    await context.suspend();
    const resume = context.resume.bind(context);
    context.resume = async () => {
        await new Promise((done) => setTimeout(done, 2000));
        await resume();
    };
}"""
# As soon as a sound plays, half a second in which the page does nothing else.
BUSY = """() => new MutationObserver((changes, self) => {
    if (document.getElementById('widget').dataset.state !== 'playing') return;
    self.disconnect();
    for (const begin = performance.now(); performance.now() - begin < 500; );
}).observe(document.getElementById('widget'), { attributeFilter: ['data-state'] })"""


def test_a_click_is_heard_when_the_sound_starts_late(tmp_path, sounding):
    with shown(tmp_path, "player", sounding) as page:
        page.evaluate(SLOW_START)
        page.get_by_role("button", name="play").click()
        page.wait_for_function("document.getElementById('widget').dataset.peak > 0.3", timeout=MINUTE)
        assert page.broken == []


def test_a_short_sound_is_measured_by_a_busy_page(tmp_path):
    player = Player()
    player.hear(chirp(0.1), "short")
    with shown(tmp_path, "player", traits(player)) as page:
        page.evaluate(BUSY)
        page.get_by_role("button", name="play").click()
        page.wait_for_function("document.getElementById('widget').dataset.state == 'stopped'", timeout=MINUTE)
        assert state(page, "peak") > 0.3
        assert state(page, "level") == 0


PLACES = np.array([[0, 0], [10, 0], [0, 10], [10, 10], [9, 9.5]], float)
PAN_AND_ZOOM = """async () => {
    const stage = document.querySelector('.vaelab-stage'), box = stage.getBoundingClientRect();
    const frame = () => new Promise(requestAnimationFrame), FRAMES = 60;
    const at = (kind, x, y) => new PointerEvent(kind, { clientX: box.x + x, clientY: box.y + y, pointerId: 1 });
    stage.setPointerCapture = () => {};
    const slowest = async (act) => {
        const times = [];
        for (let step = 0; step < 12; step += 1) {
            const begin = performance.now();
            act(step);
            await frame(); await frame();  // the second begins when the first is painted
            times.push(performance.now() - begin);
        }
        return times;
    };
    stage.dispatchEvent(at('pointerdown', 300, 200));
    const pan = await slowest((step) => stage.dispatchEvent(at('pointermove', 300 + 9 * step, 200 + 5 * step)));
    const begun = performance.now(), draws = [];
    for (let step = 0; step < FRAMES; step += 1) {
        stage.dispatchEvent(at('pointermove', 400 + 2 * step, 260 + step));
        await frame();
        draws.push(Number(stage.closest('.vaelab-map').dataset.drawMs));
    }
    const rate = (1000 * FRAMES) / (performance.now() - begun);
    stage.dispatchEvent(at('pointerup', 400, 260));
    const zoom = await slowest((step) => stage.dispatchEvent(
        new WheelEvent('wheel', { deltaY: step % 6 < 3 ? -120 : 120, clientX: box.x + 500, clientY: box.y + 240 })));
    const begin = performance.now();
    for (let step = 0; step < 200; step += 1) stage.dispatchEvent(at('pointermove', 4 * step, 2 * step));
    return { pan, zoom, rate, draws, hover: (performance.now() - begin) / 200 };
}"""


def spot(page, x, y, side=10):
    """Where a place of a square map, from 0 to `side`, is on the page: 0.9 of its height, less its border."""
    box = page.locator(".vaelab-stage").bounding_box()
    scale = 0.9 * (box["height"] - 2) / side
    return (
        box["x"] + box["width"] / 2 + (x - side / 2) * scale,
        box["y"] + box["height"] / 2 - (y - side / 2) * scale,
    )


def asked(page):
    return [{**what, "turn": None} for name, what in page.evaluate("model.saved") if name == "asked"]


@pytest.mark.parametrize("body", ["", DARK], ids=["light", "dark"])
def test_map_asks_for_what_is_clicked(tmp_path, body):
    view = MapView(PLACES, [HOSTILE, "kick/kick_0001", "c", "d", "e"])
    view.colour(["kick", "<b>clap</b>", "kick", None, "tom"])
    with shown(tmp_path, "map", traits(view), body) as page:
        page.mouse.move(*spot(page, 0, 0))
        assert page.locator(".vaelab-tip").inner_text() == HOSTILE
        page.mouse.click(*spot(page, 10, 0))
        page.mouse.click(*spot(page, 5, 5))
        page.keyboard.down("Shift")
        page.mouse.move(*spot(page, 8, 8))
        page.mouse.down()
        for corner in [(11, 8), (11, 11), (8, 11), (8, 8)]:
            page.mouse.move(*spot(page, *corner), steps=5)
        page.mouse.up()
        page.keyboard.up("Shift")
        play, decode, lasso = asked(page)
        assert play == {"kind": "play", "index": 1, "turn": None}
        assert decode["kind"] == "decode"
        assert decode["x"] == pytest.approx(5, abs=0.05)
        assert decode["y"] == pytest.approx(5, abs=0.05)
        assert lasso["kind"] == "lasso"
        assert len(lasso["corners"]) == 21
        assert np.ptp(lasso["corners"], axis=0) == pytest.approx([3, 3], abs=0.1)
        page.evaluate("model.set('mark', { at: [5, 5], near: [0, 1] })")
        page.mouse.move(*spot(page, 10, 0))
        page.mouse.down()
        page.mouse.move(*spot(page, 9, 1), steps=4)
        page.mouse.up()
        assert len(asked(page)) == 3
        assert "<b>clap</b>" in page.locator(".vaelab-legend").inner_text()
        assert page.locator(".vaelab-map b, img").count() == 0
        page.wait_for_timeout(200)
        keep(page, f"map_{'dark' if body else 'light'}")
        page.evaluate("close_widget()")
        assert page.broken == []


def test_few_sounds_far_out_do_not_squeeze_the_first_view(tmp_path):
    """The first view is of the others; the button shows all, and from there nothing is lost."""
    near = np.stack(np.meshgrid(np.arange(10.0), np.arange(10.0)), axis=-1).reshape(-1, 2)
    view = MapView(np.concatenate([near, [[1000, 5]]]), [*map(str, range(100)), "far"])
    with shown(tmp_path, "map", traits(view)) as page:
        page.mouse.click(*spot(page, 9, 9, side=9))
        page.get_by_role("button", name="all").click()
        box = page.locator(".vaelab-stage").bounding_box()
        page.mouse.click(box["x"] + 0.95 * box["width"], box["y"] + box["height"] / 2)
        assert [what.get("index") for what in asked(page)] == [99, 100]
        assert page.broken == []


# What is written in the canvas that lies over the points, from now on.
WRITTEN = """() => {
    globalThis.written = [];
    const write = CanvasRenderingContext2D.prototype.fillText;
    CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
        written.push(text);
        write.call(this, text, x, y);
    };
}"""


def test_names_of_regions_are_written_where_there_is_room(tmp_path):
    rng = np.random.default_rng(0)
    kinds = np.repeat([0, 1, 2], 20)
    view = MapView(np.array([[0, 0], [0.1, 0], [9, 9]])[kinds] + rng.normal(size=(60, 2)) * 0.01, [""] * 60)
    view.colour([(HOSTILE, "a long name " * 5, "far")[kind] for kind in kinds])
    assert len(view.regions) == 3
    with shown(tmp_path, "map", traits(view)) as page:
        page.evaluate(WRITTEN)
        page.evaluate("model.fire('regions')")
        page.wait_for_function("written.length >= 4", timeout=MINUTE)
        assert {"far", view.regions[0][0]} <= set(page.evaluate("written"))
        assert len(set(page.evaluate("written"))) == 4  # two axes, two of three names
        assert page.broken == []


def test_a_hundred_thousand_points(tmp_path):
    rng = np.random.default_rng(0)
    islands = rng.normal(size=(20, 2)) * 8
    kind = rng.integers(20, size=100_000)
    view = MapView(islands[kind] + rng.normal(size=(len(kind), 2)), [f"pack_{one}/sound_{one}" for one in kind])
    view.colour([f"kind {one}" for one in kind])
    with shown(tmp_path, "map", traits(view)) as page:
        page.wait_for_function("document.getElementById('widget').dataset.firstMs > 0", timeout=MINUTE)
        times = page.evaluate(PAN_AND_ZOOM)
        keep(page, "map_100000")
        print(f"first {state(page, 'first-ms'):.0f} ms, one {np.median(times['draws']):.1f} ms, ", end="")
        print(f"panned at {times['rate']:.0f} frames a second, ", {name: max(times[name]) for name in ("pan", "zoom")})
        assert state(page, "first-ms") < 3000
        assert max(times["pan"]) < 100
        assert max(times["zoom"]) < 100
        assert times["rate"] > 15  # on a busy machine too; 30 on a quiet one
        assert times["hover"] < 5
        assert page.broken == []
