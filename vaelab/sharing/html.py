"""The HTML of a page: its scripts, its style and its data in place, and a policy that allows nothing else to run."""

import base64 as encoding
import hashlib
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import vaelab

STATIC = Path(__file__).parent / "static"
WORKER = ("arrays", "fft", "spectral", "inversion", "texture", "decoder", "worker")
SCRIPT = ("arrays", "voice", "latents", "plane", "page", "legend")
POLICY = (
    "default-src 'none'; script-src {script} blob:; worker-src blob:; style-src {style}; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)


def page(data: dict[str, Any], body: bytes, weights: bytes) -> str:
    """The whole page, ASCII: values of JSON for `static/page.js`, the bytes of its tables, and those of the decoder.

    Names are in the JSON alone, where no character of theirs can end the element, and scripts show them as text.
    """
    style, script, worker = _style(), _scripts(SCRIPT), _scripts(WORKER)
    parts = {
        "POLICY": POLICY.format(script=_allowed(script), style=_allowed(style)),
        "GENERATOR": f"vaelab {vaelab.__version__}",
        "STYLE": style,
        "SCRIPT": script,
        "WORKER": worker,
        "DATA": json.dumps(data).replace("<", "\\u003c"),
        "BYTES": base64(body),
        "WEIGHTS": base64(weights),
    }
    template = (STATIC / "page.html").read_text(encoding="ascii")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template)


def base64(body: bytes) -> str:
    """Bytes as base64."""
    return encoding.b64encode(body).decode("ascii")


@lru_cache
def _scripts(names: tuple[str, ...]) -> str:
    """Scripts, one after the other; they are ASCII, since the page is."""
    return "\n".join((STATIC / f"{name}.js").read_text(encoding="ascii") for name in names)


@lru_cache
def _style() -> str:
    return (STATIC / "page.css").read_text(encoding="ascii")


def _allowed(text: str) -> str:
    """The name of an inline script or style in a policy: a browser runs no other."""
    return f"'sha256-{base64(hashlib.sha256(text.encode('ascii')).digest())}'"
