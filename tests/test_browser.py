"""The mixer as a person meets it: a real JupyterLab in a real browser; run all, move a slider, hear another sound.

With VAELAB_SCREENSHOTS=DIR pictures of the page are kept there.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "04_mixer.ipynb"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
]
TOKEN = "test"
HOSTILE = "<img src=x onerror=window.broken=1> $x$.wav"
DECODE = """async address => {
    const bytes = await (await fetch(address)).arrayBuffer();
    return (await new OfflineAudioContext(1, 1, 44100).decodeAudioData(bytes)).duration;
}"""  # the browser's own decoder, on a file with a recipe inside
MINUTE = 60_000  # milliseconds

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: install Debian's package `chromium`"),
]


@pytest.fixture
def lab(tmp_path, sounds):
    """The address of a JupyterLab that shows the mixer notebook, on sounds of which one has a hostile name."""
    own = tmp_path / "own"
    shutil.copytree(sounds, own)
    (own / "clap" / "clap_0001.wav").rename(own / "clap" / HOSTILE)
    shutil.copy(NOTEBOOK, tmp_path)
    settings = tmp_path / "settings"
    settings.mkdir()
    quiet = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
    (settings / "overrides.json").write_text(json.dumps(quiet))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = {f"JUPYTER_{kind}_DIR": str(tmp_path / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    with open(tmp_path / "lab.log", "wb") as log:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"),
                *(f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}"),
                *(f"--ServerApp.root_dir={tmp_path}", f"--LabApp.app_settings_dir={settings}"),
            ],
            env={**os.environ, **folders, "HOME": str(tmp_path), "VAELAB_FAST": "1", "VAELAB_SOUNDS": str(own)},
            cwd=tmp_path,
            stdout=log,
            stderr=log,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(f"{address}/api/status?token={TOKEN}", server)
        yield f"{address}/lab/tree/{NOTEBOOK.name}?token={TOKEN}"
    finally:
        server.terminate()
        server.wait(30)


def wait_for(address, server):
    for _ in range(300):
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except urllib.error.URLError:
            assert server.poll() is None, "JupyterLab ended; see lab.log"
            time.sleep(0.2)
    pytest.fail(f"JupyterLab does not answer at {address}")


@pytest.fixture
def page(lab):
    """The notebook in Chromium, with the page's errors gathered in `page.broken`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 2600})
        page.broken = []
        page.on("pageerror", lambda error: page.broken.append(str(error)))
        page.goto(lab)
        yield page
        keep(page, "last")
        browser.close()


def keep(page, name):
    if folder := os.environ.get("VAELAB_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"mixer_{name}.png")


def run_all(page):
    """Start every cell once the kernel is there; a dialog may ask which kernel first."""
    select = page.locator(".jp-Dialog").get_by_role("button", name="Select")
    idle = page.get_by_text("| Idle")
    select.or_(idle).first.wait_for(timeout=MINUTE)
    if select.is_visible():
        select.click()
    idle.wait_for(timeout=MINUTE)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()


def test_a_slider_changes_what_is_heard(page):
    run_all(page)
    mixer = page.locator(".jp-OutputArea .widget-vbox").first
    status = mixer.locator(".widget-html").filter(has_text="made in")
    status.wait_for(timeout=5 * MINUTE)
    prompts = page.locator(".jp-CodeCell .jp-InputPrompt")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].every(e => /\\d/.test(e.textContent))",
        timeout=5 * MINUTE,
    )
    assert prompts.count() > 5
    assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.error']").count() == 0
    keep(page, "first")

    player = mixer.locator("audio").first
    before = player.get_attribute("src")
    slider = mixer.locator(".widget-slider .noUi-handle").first
    slider.focus()
    for _ in range(4):
        slider.press("ArrowLeft")
    status.filter(has_text="0.8 <img").wait_for()
    page.wait_for_function("([player, before]) => player.src !== before", arg=[player.element_handle(), before])
    page.wait_for_function("player => player.duration > 0.5 && player.currentTime > 0", arg=player.element_handle())

    mixer.locator("button:has(.fa-play)").first.click()
    mixer.locator("audio").nth(1).wait_for()
    keep(page, "moved")
    assert "<img src=x onerror=window.broken=1> $x$" in mixer.inner_text()
    assert page.evaluate("window.broken") is None
    assert page.locator("mjx-container").count() == 0
    mixer.get_by_role("button", name="save").click()
    mixer.get_by_text("saved generated/mix.wav").wait_for()
    assert page.evaluate(DECODE, f"/files/generated/mix.wav?token={TOKEN}") > 0.5
    assert page.broken == []
