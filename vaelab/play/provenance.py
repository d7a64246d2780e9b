"""Recipes of written sounds: reading them, and checking the sources and the model that they name."""

import os
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from vaelab import VaelabError, audio, files
from vaelab.audio import Recipe
from vaelab.config import AudioConfig
from vaelab.models import checkpoint
from vaelab.play import rendering
from vaelab.text import printable, timecode

FORMAT = 1
_versions = lru_cache(checkpoint.versions)


class ProvenanceError(VaelabError):
    """A recipe that cannot be followed: something is missing or is not what it was; the message says what to do."""


def source(path: str | os.PathLike, start: float = 0.0, seconds: float | None = None) -> dict[str, Any]:
    """A stretch of a file as a recipe names it: full path, hash of the content, time code.

    One that comes from tapes, at whatever remove, also names the stretches of these: "tapes".
    """
    path = files.from_home(path)
    folder, name = os.path.split(os.fsdecode(path))
    place = os.path.join(os.path.realpath(folder), name)
    named = {"path": place, "sha256": files.content_hash(path), "start": float(start), "seconds": seconds}
    stretches = tapes(path, float(start), seconds)
    return {**named, "tapes": stretches} if stretches else named


def tapes(path: str | os.PathLike, offset: float = 0.0, seconds: float | None = None) -> list[dict[str, Any]]:
    """The stretches of tapes that a stretch of a file comes from, with full paths; none if none is known.

    A file that `cutting` wrote names its tape and time code itself; one that was generated names those of its sources.

    Args:
        path: A sound file.
        offset: Start of the stretch, seconds.
        seconds: Its length; None is all.
    """
    if not audio.has_recipe(path):
        return []
    recipe = _absolute(path)
    try:
        sources = _checked(recipe.get("sources", []))
        if recipe.get("call") != "slice":
            return [tape for source in sources for tape in source.get("tapes", [])]
        return [_part(source, offset, seconds) for source in sources]
    except (KeyError, TypeError, AttributeError) as error:
        raise ProvenanceError(f"{printable(path)}: expected a whole recipe, found one without {error}") from error


def _checked(parts: Any) -> list[dict[str, Any]]:
    """Sources of a recipe, each with a path, and so their tapes.

    Raises:
        KeyError: What they lack.
    """
    if not isinstance(parts, list):
        raise KeyError("sources")
    for part in parts:
        if not isinstance(part, dict) or not isinstance(part.get("path"), str):
            raise KeyError("path")
        stretches = part.get("tapes", [])
        if not isinstance(stretches, list):
            raise KeyError("tapes")
        if not all(isinstance(tape, dict) and isinstance(tape.get("path"), str) for tape in stretches):
            raise KeyError("path of a tape")
    return parts


def _part(stretch: dict[str, Any], offset: float, seconds: float | None) -> dict[str, Any]:
    """A part of a stretch of a tape, with its time code."""
    start = stretch["start"] + min(offset, stretch["seconds"])
    end = stretch["start"] + stretch["seconds"]
    end = end if seconds is None else min(end, start + seconds)
    times = {"start": round(start, 6), "seconds": round(end - start, 6)}
    return {**stretch, **times, "timecode": f"{timecode(start)} - {timecode(end)}"}


def stamp() -> dict[str, Any]:
    """Format and versions, for a new recipe."""
    return {"format": FORMAT, "versions": dict(_versions())}


def read(path: str | os.PathLike) -> Recipe:
    """The recipe of a sound file, with full paths, checked to be one that can be followed.

    Raises:
        AudioError: The file is missing or has no recipe.
        ProvenanceError: The recipe is of another format, or lacks something.
    """
    recipe, name = _absolute(path), printable(path)
    if recipe.get("format") != FORMAT:
        raise ProvenanceError(
            f"{name}: expected a recipe of format {FORMAT}, found {recipe.get('format')!r}; use the version of vaelab "
            f"that wrote it: {recipe.get('versions')}"
        )
    try:
        parts = _checked([recipe["model"], *recipe["sources"]])
        if not all(isinstance(part.get("sha256"), str) for part in parts):
            raise KeyError("sha256")
        if not recipe.keys() & {"latent", "points", "played"}:
            raise KeyError("latent")
    except (KeyError, TypeError) as error:
        raise ProvenanceError(f"{name}: expected a whole recipe, found one without {error}") from error
    return recipe


def located(
    recipe: Recipe, folders: Sequence[str | os.PathLike], in_library: Callable[[str], Path | None] | None = None
) -> Recipe:
    """The recipe with each source where its content is: at its own place, or else wherever that is given or searched.

    A source that is elsewhere is told by a warning; one that is nowhere keeps its place.

    Args:
        recipe: With full paths.
        folders: Searched with their sub-folders: first for files of a source's name, then for all of its ending.
        in_library: The place of a content hash in a library, if it is there.
    """
    from vaelab import data  # with all that makes datasets, which most sounds do without

    content = cache(_content)
    searched = cache(lambda: [path for folder in folders for path in data.sound_files(folder)])

    def places(source: dict[str, Any]) -> Iterator[Path]:
        if in_library is not None and (place := in_library(source["sha256"])):
            yield place
        name = Path(source["path"])
        yield from (path for path in searched() if path.name == name.name)
        yield from (path for path in searched() if path.suffix.lower() == name.suffix.lower())

    sources, moves = [], defaultdict(list)
    for source in recipe["sources"]:
        if content(Path(source["path"])) != source["sha256"]:
            place = next((path for path in places(source) if content(path) == source["sha256"]), None)
            if place is not None:
                moves[os.path.dirname(source["path"]), place.parent].append((source["path"], place))
                source = {**source, "path": os.path.realpath(place.parent) + os.sep + place.name}
        sources.append(source)
    for pairs in moves.values():
        (path, place), more = pairs[0], len(pairs) - 1
        warnings.warn(
            f"{printable(path)}: {_absence(path)}; its content is taken from {printable(place)}"
            + (f", and {more} more from that folder" if more else ""),
            stacklevel=3,
        )
    return Recipe(recipe, sources=sources)


def _content(path: Path) -> str | None:
    try:
        return files.content_hash(path) if path.is_file() else None
    except OSError:  # whoever reads it says what is wrong with it
        return None


def _absence(path: str) -> str:
    return "another file has this name now" if os.path.lexists(path) else "the source is no more there"


def check_sources(sources: Sequence[dict[str, Any]], remedy: str = "") -> None:
    """Make sure that sources are there and are what they were.

    Raises:
        ProvenanceError: A source is missing, or its content is another; the message ends with the remedy.
    """
    for source in sources:
        name = printable(source["path"])
        if not Path(source["path"]).is_file():
            raise ProvenanceError(
                f"{name}: expected the source that the recipe names, found none; put it back{remedy} (its content "
                "is neither beside the sound nor in a library; library_dir=FOLDER names another one)"
            )
        if (sha256 := files.content_hash(source["path"])) != source["sha256"]:
            raise ProvenanceError(
                f"{name}: expected the content {source['sha256'][:12]}, found {sha256[:12]}: the source has changed; "
                f"restore it{remedy}"
            )


def clips(sources: Sequence[dict[str, Any]], config: AudioConfig) -> np.ndarray:
    """The clips of a recipe's sources (n, samples), each made sure of.

    Raises:
        ProvenanceError: A source is missing, or its content is another.
        AudioError: It cannot be read.
    """
    check_sources(
        sources, ", or regenerate with phase=False, which makes a sound of the same latent without the source's phase"
    )
    return rendering.read_clips(*_places(sources), config)[1]


def stereo(recipe: Recipe, config: AudioConfig) -> np.ndarray | None:
    """Both channels of `clips` of a recipe (n, 2, samples), if its sound has two; recipes of before have none.

    Raises:
        AudioError: A source cannot be read.
    """
    return rendering.read_stereo(*_places(recipe["sources"]), config, recipe.get("channels", "mono"))


def _places(sources: Sequence[dict[str, Any]]) -> tuple[list[str], list[float]]:
    """Paths and starts (seconds) of a recipe's sources."""
    return [source["path"] for source in sources], [source["start"] for source in sources]


def other_versions(recipe: dict[str, Any]) -> str:
    """The versions in a recipe that are not those at work, as text; empty if all are."""
    then, now = recipe.get("versions") or {}, _versions()
    return ", ".join(f"{name} {then.get(name)} (now {now[name]})" for name in now if then.get(name) != now[name])


def _absolute(path: str | os.PathLike) -> Recipe:
    return Recipe(audio.read_recipe(path)).absolute(os.path.dirname(files.from_home(path)))
