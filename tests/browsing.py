"""What tests in Chromium share: how it is started, and a bare page that shows one widget's script without a kernel."""

import base64
import http.server
import json
import os
import shutil
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import ipywidgets

from vaelab.ui import scripts

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
MINUTE = 60_000  # milliseconds
PAGE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><link rel="stylesheet" href="NAME.css">
<body style="margin: 12px; BODY"><div id="widget"></div><script type="module">
import widget from "./NAME.js";
const values = STATE;
const listeners = {};
const bytes = (value) => new DataView(Uint8Array.from(atob(value.base64), (letter) => letter.charCodeAt(0)).buffer);
for (const [name, value] of Object.entries(values)) if (value?.base64 !== undefined) values[name] = bytes(value);
globalThis.model = {
  values, saved: [],
  get: (name) => values[name],
  set(name, value) { values[name] = value; model.saved.push([name, value]); model.fire(name); },
  fire: (name) => (listeners[`change:${name}`] ?? []).forEach((call) => call()),
  save_changes() {},
  on(name, call) { (listeners[name] ??= []).push(call); },
  off(name, call) { listeners[name] = (listeners[name] ?? []).filter((other) => other !== call); },
};
const made = widget();
performance.mark("begin");
await made.initialize({ model });
globalThis.close_widget = await made.render({ model, el: document.getElementById("widget") });
document.body.dataset.ready = "yes";
</script>"""
DARK = "background: #111; color: #eee"


@contextmanager
def opened(width=1280, height=900):
    """An empty page in Chromium; the page's errors gather in `page.broken`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.broken = []
        page.on("pageerror", lambda error: page.broken.append(str(error)))
        page.on("console", lambda said: page.broken.append(said.text) if said.type == "error" else None)
        yield page
        browser.close()


@contextmanager
def shown(folder, name, state, body="", css=None, width=1280):
    """A page with a widget of the module `name`, as it is shipped, and these traits, in Chromium; bytes are buffers.

    `css` names its style sheets, if it has others than that of its name.
    """
    (folder / f"{name}.js").write_text(scripts.joined(name), encoding="utf-8")
    (folder / f"{name}.css").write_text(scripts.styles(*(css or [name])), encoding="utf-8")
    text = PAGE.replace("NAME", name).replace("BODY", body)
    (folder / "page.html").write_text(text.replace("STATE", json.dumps(state, default=_packed)), encoding="utf-8")
    with served(folder) as address, opened(width) as page:
        page.goto(f"{address}/page.html")
        page.locator("body[data-ready]").wait_for(timeout=MINUTE)
        yield page


@contextmanager
def served(folder):
    """The address of a folder on localhost."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def barriers(page, part):
    """What axe-core calls serious or critical for people with disabilities within a part of the page."""
    from axe_playwright_python.sync_playwright import Axe

    violations = Axe().run(page, part).response["violations"]
    return [
        (fault["id"], fault["help"], [node["html"][:120] for node in fault["nodes"]])
        for fault in violations
        if fault["impact"] in ("serious", "critical")
    ]


def keep(page, name):
    """A screenshot, where VAELAB_SCREENSHOTS names a folder for them."""
    if folder := os.environ.get("VAELAB_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


def traits(widget):
    """The synchronised traits of a widget that its script reads."""
    common = ipywidgets.DOMWidget.class_trait_names()
    return {name: getattr(widget, name) for name in widget.keys if name not in common and not name.startswith("_")}


def _packed(value):
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode("ascii")}
    raise TypeError(f"{value!r} is no trait of a script")
