"""UMAP coordinates of a library's sounds, cached beside its index, and the latent at a place of the map.

A file holds one map, that of the newest points (`Library.points`), for each choice of UMAP's parameters:

    coordinates  float32 (sounds, 2)

Its header holds a digest of the points that the map was drawn of, the parameters with UMAP's version, and a sha256
over the whole file (`vaelab.tensorfile`). A map of other points is never used.
"""

import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from safetensors import numpy as st

from vaelab import files, numba_cache, tensorfile
from vaelab.library.evening import evened
from vaelab.library.index import LibraryError
from vaelab.library.library import Library
from vaelab.text import printable

FORMAT = 1


def map_coordinates(
    library: Library, *, seed: int = 0, neighbors: int = 15, min_dist: float = 0.1, even: float = 0.6
) -> np.ndarray:
    """The coordinates of a library's sounds, float32 (sounds, 2), by `fit_umap`; drawn only if they are not kept yet.

    Drawing takes seconds for a thousand sounds and minutes for many, and says so in a line. The map that is kept is
    UMAP's own; what is returned is evened out by the share `even` (`vaelab.library.evened`), 0 for not at all.

    Raises:
        LibraryError: Fewer than two neighbors; and those of `evened` and `fit_umap`.
    """
    return evened(_umap_coordinates(library, seed, neighbors, min_dist), even)


def _umap_coordinates(library: Library, seed: int, neighbors: int, min_dist: float) -> np.ndarray:
    """UMAP's own coordinates (sounds, 2), from the file of before or new."""
    if neighbors < 2:
        raise LibraryError(f"neighbors: expected at least 2, found {neighbors}")
    how = {"seed": seed, "neighbors": neighbors, "min_dist": min_dist, "umap": _version()}
    digest = hashlib.sha256(np.ascontiguousarray(library.points)).hexdigest()
    place = _place(library.place, how)
    cached = _load_cached(place, digest, how)
    if cached is not None and len(cached) == len(library):
        return cached
    print(f"map: laying out {len(library)} sounds with UMAP; this is kept for the next time", flush=True)
    coordinates = fit_umap(library.points, seed, neighbors, min_dist)
    try:
        save(place, coordinates, digest, how)
    except OSError as error:
        warnings.warn(f"{printable(place)}: {error}; the map is not kept and will be drawn anew", stacklevel=2)
    return coordinates


def fit_umap(
    embeddings: np.ndarray, seed: int = 0, neighbors: int = 15, min_dist: float = 0.1, *, fitted: int = 20_000
) -> np.ndarray:
    """Flat coordinates that keep neighbours together: (n, latent) -> (n, 2). The same seed, the same map.

    Needs the extra `vaelab[notebook]`. Few neighbors show fine clusters, many the large shape; `min_dist` is how close
    points may lie. The map is fitted on at most `fitted` embeddings, and the others are laid into it.

    Raises:
        LibraryError: Fewer than four embeddings, of which no map can be drawn; or UMAP is not installed.
    """
    if len(embeddings) < 4:
        raise LibraryError(f"map: expected at least 4 sounds, found {len(embeddings)}")
    numba_cache.provide()
    try:
        import umap
    except ImportError as error:
        raise LibraryError("map: expected umap-learn, found none; pip install 'vaelab[notebook]'") from error

    embeddings = np.asarray(embeddings, np.float32)
    order = np.random.default_rng(seed).permutation(len(embeddings))
    first, others = np.sort(order[:fitted]), np.sort(order[fitted:])
    reducer = umap.UMAP(
        n_neighbors=min(neighbors, len(first) - 1),
        min_dist=min_dist,
        random_state=seed,
        n_jobs=1,
        init="spectral" if len(first) > 10 else "random",
    )
    coordinates = np.empty((len(embeddings), 2), np.float32)
    coordinates[first] = reducer.fit_transform(embeddings[first])
    if len(others):
        coordinates[others] = reducer.transform(embeddings[others])
    return coordinates


def latent_at(
    coordinates: np.ndarray, embeddings: np.ndarray, place: Sequence[float], count: int = 8
) -> tuple[np.ndarray, np.ndarray]:
    """The latent (latent,) at a place (2,) of a map (n, 2), and the indices of its neighbours, nearest first.

    It is the mean of the neighbours' embeddings by inverse distance on the map: on a point that point's own.
    """
    distances = np.linalg.norm(np.asarray(coordinates) - np.asarray(place, np.float32)[None, :], axis=1)
    count = min(count, len(distances))
    near = np.argpartition(distances, count - 1)[:count]
    near = near[np.argsort(distances[near], kind="stable")]
    shares = 1 / np.maximum(distances[near], 1e-6 * max(1.0, float(distances[near[-1]])))
    return ((shares / shares.sum()) @ np.asarray(embeddings[near], float)).astype(np.float32), near


def save(path: str | os.PathLike, coordinates: np.ndarray, digest: str, how: dict[str, Any]) -> None:
    """Write a map, whole or not at all."""
    meta = {"format": FORMAT, "embeddings": digest, "how": how}
    with files.replacing(path) as temporary:
        tensorfile.write(temporary, {"coordinates": np.ascontiguousarray(coordinates, np.float32)}, meta)


def load(path: str | os.PathLike) -> tuple[np.ndarray, dict[str, Any]]:
    """Read and verify a map, its coordinates and header; a ValueError says that it is damaged, or something else."""
    with files.regular(path) as handle, open(handle, "rb", closefd=False) as file:
        body = file.read()
    try:
        described = tensorfile.header(body)[0]["__metadata__"]
        tensorfile.verify(body, described["sha256"])
        meta = dict(json.loads(described["vaelab"]))
        coordinates = st.load(body)["coordinates"]
        if coordinates.dtype != np.float32 or coordinates.shape[1:] != (2,) or not np.isfinite(coordinates).all():
            raise ValueError(f"coordinates of type {coordinates.dtype} and shape {coordinates.shape}, or not finite")
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{printable(path)}: expected the coordinates of a map, found something else: {error}"
        ) from error
    return coordinates, meta


def _load_cached(place: Path, digest: str, how: dict[str, Any]) -> np.ndarray | None:
    """The cached coordinates of these embeddings; None if there are none, or none of use."""
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
