"""The pads: the last sixteen sounds, played in Chromium by click, key and MIDI, and saved as a kit."""

import numpy as np
import pytest
from browsing import CHROMIUM, DARK, MINUTE, keep, shown, traits

from vaelab.audio import Sound
from vaelab.datasets import hydrogen
from vaelab.ui.pads import PADS, Pads

HOSTILE = "<img src=x onerror=window.broken=1> $x$"
RATE = 8000


def tone(number, stereo=False):
    wave = np.sin(2 * np.pi * 100 * (number + 1) * np.arange(800) / RATE).astype(np.float32)
    return Sound(np.stack([wave, -wave], axis=1) if stereo else wave, RATE)


def filled(count, folder="generated"):
    pads = Pads(folder)
    for number in range(count):
        pads.add_pad(tone(number, stereo=number == 1), f"sound {number}" if number else HOSTILE)
    return pads


def titles(pads):
    return [pad.get("title") for pad in pads.pads]


def test_the_newest_sound_takes_the_place_of_the_oldest():
    pads = filled(PADS + 2)
    assert titles(pads) == ["sound 16", "sound 17", *(f"sound {number}" for number in range(2, PADS))]
    turns = [pad["turn"] for pad in pads.pads]
    pads.add_pad(tone(PADS + 1), "the same again")
    assert [pad["turn"] for pad in pads.pads] == turns
    samples = np.frombuffer(filled(2).pad_1, "<i2") / 32767
    np.testing.assert_allclose(samples, tone(1, stereo=True).samples.T.ravel(), atol=1 / 32767)


def test_a_kit_of_the_pads(tmp_path):
    pads = filled(PADS + 2, tmp_path)
    pads.kit_asked = {"turn": "1"}
    assert pads.pads_said == f"saved {tmp_path / 'kit'}"
    pads.kit_asked = {"turn": "2"}
    assert pads.pads_said == f"saved {tmp_path / 'kit_2'}"
    names = list(hydrogen.read_kit(tmp_path / "kit" / "drumkit.xml").instruments.values())
    assert names == [f"sound {number}" for number in range(2, PADS + 2)]


def test_no_kit_of_nothing(tmp_path):
    pads = Pads(tmp_path)
    pads.kit_asked = {"turn": "1"}
    assert pads.pads_said == "no kit: make a sound first"
    assert list(tmp_path.iterdir()) == []


def played(page, number, count):
    page.wait_for_function(f"document.getElementById('widget').dataset.padPlays == {count}", timeout=MINUTE)
    assert page.locator("#widget").get_attribute("data-pad") == str(number)


FAKE_MIDI = """() => {
    const input = { name: 'fake' };
    globalThis.hit = (...data) => input.onmidimessage({ data });
    navigator.requestMIDIAccess = async () => ({ inputs: new Map([['1', input]]) });
}"""


@pytest.mark.parametrize("body", ["", DARK], ids=["light", "dark"])
@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: install Debian's package `chromium`")
def test_pads_play_by_click_key_and_midi(tmp_path, body):
    with shown(tmp_path, "pads", traits(filled(5)), body) as page:
        assert page.locator("img").count() == 0
        page.get_by_role("button", name=HOSTILE).click()
        played(page, 0, 1)
        page.keyboard.press("e")
        played(page, 2, 2)
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        played(page, 1, 3)
        page.keyboard.press("Control+e")
        page.keyboard.press("k")  # an empty pad
        page.evaluate(FAKE_MIDI)
        page.get_by_role("button", name="MIDI").evaluate("button => button.click()")
        page.get_by_text("MIDI: 1 inputs").wait_for(timeout=MINUTE)
        page.evaluate("hit(0x99, 40, 90), hit(0x80, 40, 0), hit(0x90, 20, 90), hit(0x90, 41, 0)")
        played(page, 4, 4)
        page.get_by_role("button", name="save kit").click()
        assert [name for name, _ in page.evaluate("model.saved")] == ["kit_asked"]
        page.evaluate("model.set('pads_said', '<b>saved</b> kit')")
        assert page.get_by_role("status").inner_text() == "<b>saved</b> kit"
        keep(page, f"pads_{'dark' if body else 'light'}")
        page.evaluate("close_widget()")
        assert page.broken == []
