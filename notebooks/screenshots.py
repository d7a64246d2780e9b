"""The README's pictures, taken of the real thing: `python notebooks/screenshots.py --out docs`.

`vaelab app` serves a model that ships and a folder of real sounds; Chromium opens the page, clicks beside the points of
the map, mixes, and takes the pictures. Exit status: 0 done, 1 something is missing or did not come.
"""

import argparse
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from vaelab import data

KITS = Path("/usr/share/hydrogen/data/drumkits")
MIXED = 3  # sounds
MINUTE = 60_000  # milliseconds
PLACE = {"x": 0.42, "y": 0.5}  # of the canvas: where a sound is decoded
BROWSER = ["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]


def main() -> int:
    """Take the pictures; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="general", help="of the map and the mixer (default general)")
    parser.add_argument("--library-dir", type=Path, default=KITS, metavar="DIR", help=f"sounds (default {KITS})")
    parser.add_argument("--out", type=Path, default="docs")
    options = parser.parse_args()
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
    with served(options.model, options.library_dir, files) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=BROWSER)
        page = browser.new_page(viewport={"width": 1100, "height": 1600})
        page.goto(address, timeout=10 * MINUTE)  # it comes when all sounds are embedded
        take(page, options.out)
        browser.close()
    return 0


@contextmanager
def served(model: str, library: Path, files: list[Path]):
    """The address of the app, with its token."""
    command = [sys.executable, "-m", "vaelab.cli", "app", model, *files, "--library-dir", library, "--no-browser"]
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


def take(page: Page, out: Path) -> None:
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


if __name__ == "__main__":
    sys.exit(main())
