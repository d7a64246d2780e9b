"""Diagnosis of an installation: versions, devices, decoders, caches, and their problems."""

import json
import os
import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import soundfile

from vaelab import data, files, library, numba_cache
from vaelab.audio import decoders
from vaelab.library import index, umap_map
from vaelab.models import checkpoint, pretrained
from vaelab.text import printable

PACKAGES = (
    *("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "soundfile", "soxr", "safetensors", "joblib"),
    *("tqdm", "matplotlib", "av", "umap-learn", "librosa", "ipywidgets", "anywidget", "jupyterlab"),
)
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".m4a", ".mp4", ".mkv", ".mov", ".avi")


def examine(home: str | os.PathLike = data.HOME) -> dict[str, Any]:
    """Look around, with datasets in `home`.

    Returns:
        "versions", "devices", "decoders" (by suffix), "models" (shipped ones), "caches" ({"kind", "path", "holds",
        "bytes"} each) and "problems" (texts, each with what to do), as plain JSON values.
    """
    home = files.from_home(home)
    state: dict[str, Any] = {
        "versions": versions(),
        "devices": {
            "jax": [f"{device.platform}: {device.device_kind}" for device in jax.devices()],
            "cores": os.cpu_count(),
        },
        "decoders": {suffix: decoders.version(f"sound{suffix}") for suffix in SUFFIXES},
        "models": sorted(path.stem for path in pretrained.FOLDER.glob("*.safetensors")),
        "caches": [],
        "problems": [],
    }
    if state["decoders"][".m4a"] is None:
        unread = " ".join(suffix for suffix, version in state["decoders"].items() if version is None)
        state["problems"].append(f"{unread} cannot be read: pip install 'vaelab[video]'")
    if not os.environ.get(numba_cache.VARIABLE) and (places := numba_cache.lacking()):
        state["problems"].append(
            f"numba cannot write to {', '.join(map(str, places))}: each run compiles in a temporary folder; set "
            f"{numba_cache.VARIABLE} to a folder that can be written"
        )
    for cache, problems in (*_datasets(home), *_stores(home), *_libraries(home)):
        state["caches"].append(cache)
        state["problems"] += problems
    state["problems"] += _unfinished(home)
    return state


def versions() -> dict[str, str | None]:
    """Versions of the packages in use, None where one is not installed."""
    installed: dict[str, str | None] = {"vaelab": checkpoint.versions()["vaelab"], "python": platform.python_version()}
    for name in PACKAGES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            installed[name] = None
    return {**installed, "libsndfile": soundfile.__libsndfile_version__}


def as_json(state: dict[str, Any]) -> str:
    """The diagnosis as JSON."""
    return json.dumps(state, indent=1)


def as_text(state: dict[str, Any]) -> str:
    """The diagnosis as lines of text."""
    lines = [f"{name:<12} {version or 'not installed'}" for name, version in state["versions"].items()]
    lines += ["", f"{state['devices']['cores']} cores; jax computes on {', '.join(state['devices']['jax'])}"]
    lines += [f"{suffix:<5} {version or 'cannot be read'}" for suffix, version in state["decoders"].items()]
    lines += [f"shipped models: {', '.join(state['models']) or 'none'}", ""]
    for cache in state["caches"]:
        where = printable(cache["path"])
        lines.append(f"{cache['kind']:<8} {cache['bytes'] / 1e6:9.1f} MB  {where}: {cache['holds']}")
    lines += ["", *(f"PROBLEM: {printable(problem)}" for problem in state["problems"])]
    return "\n".join(lines if state["problems"] else [*lines, "no problems"])


def _datasets(home: Path) -> Iterator[tuple[dict[str, Any], list[str]]]:
    for manifest in sorted(home.glob("*/manifest.json")):
        name, problems = manifest.parent.name, []
        holds = "damaged"
        try:
            dataset = data.load_dataset(name, home)
            holds = f"{len(dataset.entries)} sounds"
            gone = [entry for entry in dataset.entries if not dataset.source(entry).exists()]
            if gone:
                problems = [f"dataset {name}: {len(gone)} of {len(dataset.entries)} files are gone; make it again"]
        except data.DatasetError as error:
            problems = [f"{error}; make it again"]
        yield _cache("dataset", manifest.parent, holds), problems


def _stores(home: Path) -> Iterator[tuple[dict[str, Any], list[str]]]:
    for folder in sorted(path for path in (home / ".store").glob("*") if path.is_dir()):
        indices = [path for path in folder.glob("*.json") if not path.name.startswith(files.TEMPORARY)]
        sounds, problems = 0, []
        for path in indices:
            try:
                sounds += len(json.loads(path.read_text(encoding="ascii"))["sha256"])
                if not path.with_suffix(".npy").is_file():
                    problems.append(f"{path}: its rows are missing; training computes them again")
            except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
                problems.append(f"{path}: damaged ({error!r}); training computes its sounds again")
        yield _cache("features", folder, f"{sounds} sounds in {len(indices)} shards"), problems


def _libraries(home: Path) -> Iterator[tuple[dict[str, Any], list[str]]]:
    for path in sorted((home / library.FOLDER).glob("*.safetensors")):
        if path.name.startswith(files.TEMPORARY):
            continue
        if ".map-" in path.name:
            yield _map(path)
            continue
        holds, problems = "damaged", []
        try:
            opened = index.load(path)
            holds = f"{len(opened)} sounds of {opened.root}"
            if not os.path.isdir(opened.root):
                problems = [f"{path}: its folder {opened.root} is gone; delete it"]
        except (index.LibraryError, OSError) as error:
            problems = [f"{error}; delete it, it is made again when it is needed"]
        yield _cache("library", path, holds), problems


def _map(path: Path) -> tuple[dict[str, Any], list[str]]:
    try:
        coordinates, _ = umap_map.load(path)
    except (ValueError, OSError) as error:
        return _cache("map", path, "damaged"), [f"{error}; delete it, it is drawn again when it is needed"]
    return _cache("map", path, f"places of {len(coordinates)} sounds"), []


def _unfinished(home: Path) -> Iterator[str]:
    for path in sorted(home.rglob(f"{files.TEMPORARY}*")):
        yield f"{path}: left by a program that was killed; delete it if nothing is running"


def _cache(kind: str, path: Path, holds: str) -> dict[str, Any]:
    inside = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {"kind": kind, "path": str(path), "holds": holds, "bytes": sum(file.stat().st_size for file in inside)}
