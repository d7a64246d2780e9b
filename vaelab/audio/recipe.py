"""Recipes: everything that made a sound, as JSON inside a WAV (a RIFF chunk) or beside other formats."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vaelab import files
from vaelab.audio import riff
from vaelab.audio.reading import AudioError, regular
from vaelab.text import printable

CHUNK = b"vlab"
MOST_WORDS = 6  # sources that are named
BESIDE = "file_sha256"  # key of a recipe beside a file: the content that it belongs to


class Recipe(dict[str, Any]):
    """Everything that made a sound: a dict of plain JSON values, in the order in which they are written.

    Keys, in addition to the settings of the call:
        format, versions: 1, and the versions of vaelab and of the libraries that it computes with.
        call: "generate", "interpolate", "decode", "transcode", "slice", "unpack" or "read".
        sources: Files or stretches of tapes, each with "path", "sha256", "start" and "seconds"; a file that was cut
            from tapes also has "tapes", a list of stretches with "timecode" and "metadata".
            That of an unpacked sound is a sound font, with "metadata", and "samples" by number and name.
        model: "path", "sha256", and "name", which only a shipped model has.
        trained_on: The tapes that the model learned from.
        index: Of the sound among those that the call made.
        latent, level_db: Of a sound of one clip.
        channels: "mono", or "source" if it takes as many from its sources as they have; "mono" where it is missing.
        points, seconds: Of a longer one.
    """

    def words(self) -> str:
        """The sum of the sources, as in "1 kick + 2 snare"; of sounds without any, the call that made them."""
        sources = [source for source in self.get("sources") or () if isinstance(source, dict)]
        weights, call = self.get("weights") or [1] * len(sources), str(self.get("call", ""))
        if call not in ("generate", "interpolate") or not all(isinstance(weight, int | float) for weight in weights):
            return call
        if not sources or len(weights) != len(sources):
            return "random"
        names = [printable(Path(str(source.get("path", "?"))).stem) for source in sources[:MOST_WORDS]]
        terms = [f"{weight:+.3g} {name}" for weight, name in zip(weights, names, strict=False)]
        more = len(sources) - len(names)
        text = " ".join(f"{term[0]} {term[1:]}" for term in terms).removeprefix("+ ")
        return text + (f" and {more} more" if more else "")

    def relative_to(self, folder: str | os.PathLike) -> "Recipe":
        """The recipe with the full paths of its sources, their tapes and its model as seen from a folder."""
        here = os.path.realpath(folder)
        return self._with_paths(lambda path: os.path.relpath(path, here) if os.path.isabs(path) else path)

    def absolute(self, folder: str | os.PathLike) -> "Recipe":
        """The recipe with full paths, those in it being as seen from a folder."""
        here = os.path.realpath(folder)
        return self._with_paths(lambda path: os.path.normpath(os.path.join(here, path)))

    def _with_paths(self, change: Callable[[str], str]) -> "Recipe":
        """Change every path; malformed parts stay as they are, for a reader to refuse."""

        def moved(part: Any) -> Any:
            if not isinstance(part, dict) or not isinstance(part.get("path"), str):
                return part
            return {**part, "path": change(part["path"])}

        def moved_source(source: Any) -> Any:
            source = moved(source)
            if not isinstance(source, dict) or not isinstance(source.get("tapes"), list):
                return source
            return {**source, "tapes": [moved(tape) for tape in source["tapes"]]}

        changes = {"model": moved(self["model"])} if "model" in self else {}
        if isinstance(self.get("sources"), list):
            changes["sources"] = [moved_source(source) for source in self["sources"]]
        return Recipe(self, **changes)


def has_recipe(path: str | os.PathLike) -> bool:
    """True if a readable file has a recipe in it or beside it."""
    return _text(Path(path)) is not None


def is_ours(path: str | os.PathLike) -> bool:
    """True if vaelab wrote a readable file: a recipe is in it, or beside it and of this very content."""
    path, text = files.from_home(path), _text(Path(path))
    if text is None or path.suffix.lower() == ".wav":
        return text is not None
    try:
        recipe = json.loads(text)
        return isinstance(recipe, dict) and recipe.get(BESIDE) == files.content_hash(path)
    except (ValueError, RecursionError):
        return False


def read_recipe(path: str | os.PathLike) -> dict[str, Any]:
    """Read the recipe in or beside a sound file.

    Raises:
        AudioError: There is none.
    """
    text = _text(Path(path))
    if text is None:
        raise AudioError(path, "expected a recipe, found none: vaelab did not write this file, or it was edited")
    try:
        recipe = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AudioError(path, f"expected a recipe in JSON, found damaged text: {error}") from error
    if not isinstance(recipe, dict):
        raise AudioError(path, f"expected a recipe, found a JSON {type(recipe).__name__}")
    recipe.pop(BESIDE, None)
    return recipe


def write_recipe(recipe: Recipe, unfinished: Path, path: Path) -> None:
    """Put a recipe into a sound file that is not yet in its place, or beside that place; an empty one is none."""
    relative = recipe.relative_to(path.parent)
    if recipe and path.suffix.lower() == ".wav":
        riff.append_chunk(unfinished, CHUNK, json.dumps(relative).encode("ascii"))
    elif recipe:  # before the sound, so that a name too long for a recipe leaves nothing behind
        files.write_text(_sidecar(path), json.dumps({**relative, BESIDE: files.content_hash(unfinished)}))
    elif os.path.exists(_sidecar(path)):  # of a file which this one replaces
        _sidecar(path).unlink()


def _text(path: Path) -> bytes | None:
    path = files.from_home(path)
    with regular(path):
        if path.suffix.lower() == ".wav":
            return riff.find_chunk(path, CHUNK)
        return _sidecar(path).read_bytes() if os.path.isfile(_sidecar(path)) else None


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".recipe.json")
