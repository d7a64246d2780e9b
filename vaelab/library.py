"""A library of embedded sounds, and exact search in it."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vaelab.data import sound_files


class LibraryError(Exception):
    """A library that cannot be built; the message says what was looked for, and where."""


@dataclass(frozen=True)
class Library:
    """The sounds of a folder and where they lie in latent space.

    Attributes:
        files: Their paths.
        onsets: Where in its file each sound starts, seconds (sounds,).
        embeddings: float32 (sounds, latent).
        skipped: {"path", "reason"} of each file that could not be read.
    """

    files: tuple[Path, ...]
    onsets: np.ndarray
    embeddings: np.ndarray
    skipped: tuple[dict[str, str], ...]

    def similar(self, query: np.ndarray, count: int) -> tuple[list[Path], np.ndarray, np.ndarray]:
        """The `count` nearest sounds, best first: files, onsets in seconds, Euclidean distances."""
        indices, distances = nearest(self.embeddings, query, min(count, len(self.files)))
        return [self.files[index] for index in indices], self.onsets[indices], distances


def build(folder: str | os.PathLike, embed: Callable[[Sequence[Path]], tuple[np.ndarray, dict[Path, str]]]) -> Library:
    """Embed every readable sound below a folder.

    Args:
        folder: Searched with its sub-folders.
        embed: Embeds files; returns (readable, latent) and the reason for each file it could not read.

    Raises:
        LibraryError: No such folder, or no readable sound in it.
    """
    root = Path(folder)
    if not root.is_dir():
        raise LibraryError(f"{root}: expected a folder of sounds as library, found none")
    found = list(sound_files(root))
    embeddings, failed = embed(found) if found else (np.zeros((0, 1)), {})
    if not len(embeddings):
        raise LibraryError(f"{root}: expected at least one readable sound, found none in {len(found)} files")
    readable = tuple(path for path in found if path not in failed)
    skipped = tuple({"path": str(path), "reason": reason} for path, reason in failed.items())
    return Library(readable, np.zeros(len(readable)), embeddings, skipped)


def nearest(embeddings: np.ndarray, query: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest embeddings to each query, exactly.

    Args:
        embeddings: (sounds, latent).
        query: (latent,) or (n, latent).
        k: How many, at most the number of sounds.

    Returns:
        indices and Euclidean distances, best first: (k,) each for one query, (n, k) for n.
    """
    if not 1 <= k <= len(embeddings):
        raise ValueError(f"k: expected 1 to {len(embeddings)} (the number of sounds), found {k}")
    points, queries = np.asarray(embeddings, np.float32), np.atleast_2d(np.asarray(query, np.float32))
    # |p - q|^2 without its constant |q|^2 ranks by one matrix product; the few kept are then measured exactly.
    ranking = (points**2).sum(axis=1)[None, :] - 2 * queries @ points.T
    kept = np.argpartition(ranking, k - 1, axis=1)[:, :k]
    distances = np.linalg.norm(points[kept].astype(float) - queries[:, None, :], axis=2)
    order = np.argsort(distances, axis=1, kind="stable")
    indices, distances = np.take_along_axis(kept, order, 1), np.take_along_axis(distances, order, 1)
    return (indices[0], distances[0]) if np.ndim(query) == 1 else (indices, distances)
