"""The README's pictures, taken of the real thing: `python notebooks/screenshots.py --out docs`.

`vaelab app` serves a model that ships and a folder of real sounds; Chromium opens the page, clicks beside the points of
the map, mixes, and takes the pictures of map, mixer and instrument. Exit status: 0 done, 1 something is missing or did
not come.
"""

import argparse
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))  # the checkout: what real sounds are is written in experiments

from experiments.common.real_sounds import HYDROGEN, KITS
from vaelab import data

MIXED = 3  # sounds
MINUTE = 60_000  # milliseconds
PLACE = {"x": 0.42, "y": 0.5}  # of the canvas: where a sound is decoded
WAYS = (["ArrowUp"] * 4, ["ArrowRight"] * 6, ["ArrowDown"] * 7)  # from sound to sound of a mix
DARK = """() => {
    document.documentElement.style.setProperty('--jp-ui-font-color1', '#eee');
    document.body.style.background = '#111';
    for (const part of document.querySelectorAll('body *')) {
        if (part.contains(document.querySelector('.vaelab-instrument'))) part.style.background = '#111';
    }
    document.body.style.setProperty('--jp-ui-font-color1', '#eee');
    document.body.dataset.jpThemeLight = 'false';
}"""  # the page as a dark theme has it
BROWSER = ["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]


def main() -> int:
    """Take the pictures; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="general", help="of the map and the mixer (default general)")
    parser.add_argument("--library-dir", type=Path, metavar="DIR", help="sounds (default Hydrogen's drum kits)")
    parser.add_argument("--out", type=Path, default="docs")
    options = parser.parse_args()
    with TemporaryDirectory() as scratch:
        options.library_dir = options.library_dir or linked(Path(scratch) / "kits")
        return take_all(options)


def linked(folder: Path) -> Path:
    """A folder of links to the drum kits of Debian's hydrogen-drumkits, and no others that are installed."""
    folder.mkdir()
    for kit in KITS:
        (folder / kit).symlink_to(HYDROGEN / kit)
    return folder


def take_all(options: argparse.Namespace) -> int:
    """Take the pictures of a library; returns the exit status."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    found = list(data.sound_files(options.library_dir)) if options.library_dir.is_dir() else []
    if len(found) < MIXED or chromium is None:
        print(
            f"expected Chromium, and sounds in {options.library_dir}: apt-get install chromium hydrogen-drumkits",
            file=sys.stderr,
        )
        return 1
    files = found[:: len(found) // MIXED][:MIXED]
    options.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=BROWSER)
        for arguments, size, take in (
            (files, (1100, 1600), take_both),
            (["--instrument"], (1240, 900), take_instrument),
        ):
            with served(options.model, options.library_dir, arguments) as address:
                page = browser.new_page(viewport=dict(zip(("width", "height"), size, strict=True)))
                page.goto(address, timeout=10 * MINUTE)  # it comes when all sounds are embedded
                take(page, options.out)
                page.close()
        browser.close()
    return 0


@contextmanager
def served(model: str, library: Path, arguments: list[str | Path]):
    """The address of the app, with its token."""
    command = [sys.executable, "-m", "vaelab.cli", "app", model, *arguments, "--library-dir", library, "--no-browser"]
    server = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
    try:
        for line in server.stdout:
            if found := re.match(r"open (\S+)", line):
                yield found[1]
                return
        raise SystemExit("vaelab app did not start")
    finally:
        server.terminate()
        server.wait()


def take_both(page: Page, out: Path) -> None:
    """Click beside the points, wait for the sound and its picture, and keep map and mixer."""
    shown = page.locator(".widget-vbox:has(> .vaelab-map)").first
    shown.wait_for(timeout=10 * MINUTE)
    mixer = shown.locator(":scope > .widget-vbox").last
    mixer.locator(".widget-html").filter(has_text="made in").wait_for(timeout=5 * MINUTE)
    stage = shown.locator(".vaelab-stage").first
    box = stage.bounding_box()
    stage.click(position={"x": PLACE["x"] * box["width"], "y": PLACE["y"] * box["height"]})
    shown.get_by_text("decoded; nearest").first.wait_for(timeout=5 * MINUTE)
    page.wait_for_timeout(1500)
    player = shown.locator(".vaelab-player").first.bounding_box()
    top = shown.bounding_box()
    clip = {"x": 0, "y": top["y"], "width": 1100, "height": player["y"] + player["height"] - top["y"]}
    page.screenshot(path=out / "map.png", clip=clip, full_page=True)
    mixer.locator(".widget-slider .noUi-handle").nth(1).press("ArrowLeft")
    page.wait_for_timeout(3000)
    mixer.screenshot(path=out / "mixer.png")


def take_instrument(page: Page, out: Path) -> None:
    """Mix three sounds by keys, drag the mark, decode a place, and keep the surface, light and dark."""
    shown = page.locator(".vaelab-instrument").first
    stage, pads = shown.locator(".vaelab-stage").first, shown.locator(".vaelab-pad:enabled")
    stage.wait_for(timeout=10 * MINUTE)
    stage.focus()
    for number, way in enumerate(WAYS):
        for key in way:
            page.keyboard.press(key)
            page.wait_for_timeout(500)
        page.keyboard.press("Enter")
        pads.nth(number).wait_for(timeout=5 * MINUTE)
    box = stage.bounding_box()
    x, y = shown.evaluate("part => part.dataset.mark.split(',').map(Number)")
    page.mouse.move(box["x"] + x, box["y"] + y)
    page.mouse.down()
    page.mouse.move(box["x"] + x - 25, box["y"] + y - 12, steps=4)
    page.mouse.up()
    pads.nth(len(WAYS)).wait_for(timeout=5 * MINUTE)
    page.keyboard.press(" ")
    page.wait_for_timeout(4000)
    shown.screenshot(path=out / "instrument.png")
    page.evaluate(DARK)
    page.wait_for_timeout(1000)
    shown.screenshot(path=out / "instrument_dark.png")


if __name__ == "__main__":
    sys.exit(main())
