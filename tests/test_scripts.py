"""The widgets' scripts in Chromium on a bare page, without a kernel: what is drawn, heard and asked for."""

import numpy as np
import pytest
from browsing import CHROMIUM, DARK, MINUTE, keep, shown, traits

from vaelab.audio import Sound
from vaelab.config import AudioConfig
from vaelab.player import Player

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
