"""Where a library's sounds lie on its map: UMAP's coordinates, kept beside the library's index.

A file holds one map, that of the newest embeddings, for each choice of UMAP's parameters:

    coordinates  float32 (sounds, 2)

Its header holds a digest of the embeddings that the map was drawn of, the parameters with UMAP's version, and a sha256
over the whole file (`vaelab.sealed`). A map of other embeddings is never used.
"""

import hashlib
import json
import os
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from safetensors import numpy as st

from vaelab import files, latent, sealed
from vaelab.audio import printable
from vaelab.library import Library

FORMAT = 1


def of(library: Library, seed: int = 0, neighbors: int = 15, min_dist: float = 0.1) -> np.ndarray:
    """The coordinates of a library's sounds, float32 (sounds, 2); drawn only if they are not kept yet.

    Drawing takes seconds for a thousand sounds and minutes for many, and says so in a line.

    Args:
        library: An open library.
        seed: As the others, of `latent.umap_map`.
        neighbors: How many count as near.
        min_dist: How close points may lie.

    Raises:
        LatentError: Fewer than four sounds, or UMAP is not installed.
    """
    how = {"seed": seed, "neighbors": neighbors, "min_dist": min_dist, "umap": _version()}
    digest = hashlib.sha256(np.ascontiguousarray(library.embeddings)).hexdigest()
    place = _place(library.place, how)
    kept = _kept(place, digest, how)
    if kept is not None and len(kept) == len(library):
        return kept
    print(f"map: laying out {len(library)} sounds with UMAP; this is kept for the next time", flush=True)
    coordinates = latent.umap_map(library.embeddings, seed, neighbors, min_dist)
    try:
        save(place, coordinates, digest, how)
    except OSError as error:
        warnings.warn(f"{printable(place)}: {error}; the map is not kept and will be drawn anew", stacklevel=2)
    return coordinates


def save(path: str | os.PathLike, coordinates: np.ndarray, digest: str, how: dict[str, Any]) -> None:
    """Write a map, whole or not at all.

    Raises:
        files.NoRoomError: The disk is full.
    """
    meta = {"format": FORMAT, "embeddings": digest, "how": how}
    tensors = {"coordinates": np.ascontiguousarray(coordinates, np.float32)}
    with files.replacing(path) as temporary:
        sealed.write(temporary, tensors, meta)


def load(path: str | os.PathLike) -> tuple[np.ndarray, dict[str, Any]]:
    """Read and verify a map: the coordinates, and what its header says.

    Raises:
        OSError: There is none, or it cannot be read.
        ValueError: It is damaged, or something else.
    """
    with files.regular(path) as handle, open(handle, "rb", closefd=False) as file:
        body = file.read()
    try:
        described = sealed.header(body)[0]["__metadata__"]
        sealed.verify(body, described["sha256"])
        meta = dict(json.loads(described["vaelab"]))
        coordinates = st.load(body)["coordinates"]
        if coordinates.dtype != np.float32 or coordinates.shape[1:] != (2,) or not np.isfinite(coordinates).all():
            raise ValueError(f"coordinates of type {coordinates.dtype} and shape {coordinates.shape}, or not finite")
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{printable(path)}: expected the coordinates of a map, found something else: {error}"
        ) from error
    return coordinates, meta


def _kept(place: Path, digest: str, how: dict[str, Any]) -> np.ndarray | None:
    """The coordinates that are kept of these embeddings; None if there are none, or none of use."""
    try:
        coordinates, meta = load(place)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, OSError) as error:
        warnings.warn(f"{error}; the map is drawn anew", stacklevel=3)
        return None
    wanted = {"format": FORMAT, "embeddings": digest, "how": how}
    return coordinates if meta == wanted else None


def _place(index: Path, how: dict[str, Any]) -> Path:
    """One file for each choice of parameters; another version of UMAP takes its place."""
    chosen = {name: value for name, value in how.items() if name != "umap"}
    key = hashlib.sha256(json.dumps(chosen, sort_keys=True).encode("ascii")).hexdigest()[:12]
    return index.with_name(f"{index.stem}.map-{key}.safetensors")


def _version() -> str | None:
    try:
        return version("umap-learn")
    except PackageNotFoundError:  # a map that is kept can be shown, and a new one says what is missing
        return None
