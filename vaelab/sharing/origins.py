"""Origins of the sounds of a library: built in, made by vaelab of nothing else, or recordings; and their licences."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from vaelab import VaelabError, audio
from vaelab.audio import synth
from vaelab.datasets import hydrogen
from vaelab.text import printable

BUILT_IN, GENERATED, RECORDING = "built-in", "made by vaelab", "recording"
FREE = "free of rights"
CUT = ("slice", "unpack", "read")  # calls whose sounds are stretches of recordings
DEEPEST = 8  # sources of sources that are looked at
LICENCE_NAMES = ("licence", "license", "copying", "copyright")
LONGEST_LICENCE = 120  # characters


class SharingError(VaelabError):
    """A page that cannot be written; the message says what was expected, and what to do."""


@dataclass(frozen=True)
class Origin:
    """The origin of a sound.

    Attributes:
        kind: `BUILT_IN`, `GENERATED`, or `RECORDING`: everything that is not certainly one of the others.
        licence: In words; None if it is not known.
    """

    kind: str
    licence: str | None


def origin(path: str | os.PathLike, root: str | os.PathLike) -> Origin:
    """The origin of a sound below the folder of a library."""
    path = Path(path)
    if synth.is_built_in(path):
        return Origin(BUILT_IN, FREE)
    recipe = _recipe(path)
    kind = GENERATED if _is_made(recipe, DEEPEST) else RECORDING
    return Origin(kind, _licence_of_recipe(recipe) or _licence_of_folder(path.parent, Path(root)))


def _recipe(path: Path) -> Mapping[str, Any]:
    """The recipe of a sound, its sources with full paths; empty where there is none, or none that can be read."""
    try:
        if not audio.has_recipe(path):
            return {}
        return audio.Recipe(audio.read_recipe(path)).absolute(path.parent)
    except (audio.AudioError, OSError):
        return {}


def _is_made(recipe: Mapping[str, Any], depth: int) -> bool:
    """True if a sound holds nothing of a recording: a mix keeps the phase and the detail of its sources."""
    sources = recipe.get("sources", [])
    if not recipe.get("call") or recipe["call"] in CUT or not isinstance(sources, list) or not depth:
        return False
    return all(_is_made_source(source, depth - 1) for source in sources)


def _is_made_source(source: Any, depth: int) -> bool:
    if not isinstance(source, dict) or not isinstance(source.get("path"), str):
        return False
    path = Path(source["path"])
    return path.is_file() and (synth.is_built_in(path) or _is_made(_recipe(path), depth))


def _licence_of_recipe(recipe: Mapping[str, Any]) -> str | None:
    """The licence among the metadata of a sound's sources, such as `vaelab slice --metadata license=...` puts there."""
    sources = recipe.get("sources")
    for source in sources if isinstance(sources, Sequence) else ():
        metadata = source.get("metadata") if isinstance(source, dict) else None
        for name, value in metadata.items() if isinstance(metadata, dict) else ():
            if str(name).lower() in LICENCE_NAMES and isinstance(value, str):
                return _shortened(value)
    return None


@lru_cache(maxsize=1024)
def _licence_of_folder(folder: Path, root: Path) -> str | None:
    """The licence that a drum kit or a text beside the sounds names, here or in the nearest folder up to the root."""
    licence = _licence_of_kit(folder / "drumkit.xml") or _licence_of_text(folder)
    if licence or folder == root or root not in folder.parents:
        return licence
    return _licence_of_folder(folder.parent, root)


def _licence_of_kit(path: Path) -> str | None:
    try:
        return _shortened(hydrogen.read_kit(path).licence) if path.is_file() else None
    except hydrogen.KitError:
        return None


def _licence_of_text(folder: Path) -> str | None:
    """The first line of a text that is called licence, or the like."""
    try:
        texts = sorted(path for path in folder.iterdir() if path.stem.lower() in LICENCE_NAMES and path.is_file())
        if not texts:
            return None
        with texts[0].open(encoding="utf-8", errors="replace") as file:
            lines = file.read(4096).splitlines()
    except OSError:
        return None
    return next((_shortened(line) for line in lines if line.strip()), None)


def _shortened(text: str) -> str | None:
    text = printable(" ".join(text.split()))
    return text if len(text) <= LONGEST_LICENCE else f"{text[: LONGEST_LICENCE - 1]}…"
