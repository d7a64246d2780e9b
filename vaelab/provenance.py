"""What a written sound remembers of its making, and the same sound again from that."""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from vaelab import audio, checkpoint, files, spectral
from vaelab.config import AudioConfig

FORMAT = 1
LISTS = ("latent", "points")


class ProvenanceError(Exception):
    """A recipe that cannot be followed: something is missing or is not what it was; the message says what to do."""


def sources(paths: Sequence[str | os.PathLike], offsets: Sequence[float], seconds: float) -> list[dict[str, Any]]:
    """Files as a recipe names them: full path, hash of the content, the time code of the clip."""
    return [
        {
            "path": os.path.join(os.path.realpath(os.path.dirname(path) or "."), os.path.basename(path)),
            "sha256": files.content_hash(path),
            "start": float(offset),
            "seconds": seconds,
        }
        for path, offset in zip(map(os.fsdecode, paths), offsets, strict=True)
    ]


def stamp() -> dict[str, Any]:
    """Format and versions, for a new recipe."""
    return {"format": FORMAT, "versions": dict(_versions())}


def read(path: str | os.PathLike) -> dict[str, Any]:
    """The recipe of a sound file, with full paths, checked to be one that can be followed.

    Raises:
        AudioError: The file is missing or has no recipe.
        ProvenanceError: The recipe is of another format, or lacks something.
    """
    recipe = audio.read_recipe(path)
    name = audio.printable(path)
    if recipe.get("format") != FORMAT:
        raise ProvenanceError(
            f"{name}: expected a recipe of format {FORMAT}, found {recipe.get('format')!r}; use the version of vaelab "
            f"that wrote it: {recipe.get('versions')}"
        )
    try:
        folder = os.path.realpath(os.path.dirname(os.fsdecode(path)) or ".")
        parts = [recipe["model"], *recipe["sources"]]
        places = [os.path.normpath(os.path.join(folder, part["path"])) for part in parts]
        hashes = [part["sha256"] for part in parts]
        if not any(name in recipe for name in LISTS) or not all(isinstance(text, str) for text in hashes):
            raise KeyError("latent")
    except (KeyError, TypeError, ValueError) as error:
        raise ProvenanceError(f"{name}: expected a whole recipe, found one without {error}") from error
    model, *sources = ({**part, "path": place} for part, place in zip(parts, places, strict=True))
    return {**recipe, "model": model, "sources": sources}


def clips(sources: Sequence[dict[str, Any]], config: AudioConfig) -> np.ndarray:
    """The clips of a recipe's sources (n, samples), each made sure of.

    Raises:
        ProvenanceError: A source is missing, or its content is another.
        AudioError: It cannot be read.
    """
    for source in sources:
        check_source(source)
    read = [audio.read(one["path"], config.sample_rate, one["start"], one["seconds"]) for one in sources]
    return np.stack([spectral.fit_length(samples, config) for samples in read])


def other_versions(recipe: dict[str, Any]) -> str:
    """The versions in a recipe that are not those at work, as text; empty if all are."""
    then, now = recipe.get("versions") or {}, dict(_versions())
    return ", ".join(f"{name} {then.get(name)} (now {now[name]})" for name in now if then.get(name) != now[name])


def check_source(source: dict[str, Any]) -> None:
    """Make sure that a source is there and is what it was.

    Raises:
        ProvenanceError: It is missing, or its content is another.
    """
    name = audio.printable(source["path"])
    if not Path(source["path"]).is_file():
        raise ProvenanceError(
            f"{name}: expected the source that the recipe names, found none; put it back, or regenerate with "
            "phase=False, which makes a sound of the same latent without the source's phase"
        )
    if (found := files.content_hash(source["path"])) != source["sha256"]:
        raise ProvenanceError(
            f"{name}: expected the content {source['sha256'][:12]}, found {found[:12]}: the source has changed; "
            "restore it, or regenerate with phase=False"
        )


def check_model(recipe: dict[str, Any], path: str | os.PathLike, sha256: str) -> None:
    """Make sure that a model is the recipe's.

    Raises:
        ProvenanceError: Its hash differs.
    """
    if sha256 != recipe["model"]["sha256"]:
        raise ProvenanceError(
            f"{audio.printable(path)}: expected the model {recipe['model']['sha256'][:12]} that made the sound, found "
            f"{sha256[:12]}; name the right one with model="
        )


@lru_cache
def _versions() -> tuple[tuple[str, str], ...]:
    return tuple(checkpoint.versions().items())
