"""Names of regions of a map: where most sounds are of one group."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

NEAR = 12  # sounds around each that are counted, at most
FEWEST = 5  # sounds of a group that has a region
MOST_OF = 0.6  # of the sounds around a region's middle that are of its group


class Region(NamedTuple):
    """A group's name and the middle of its region on the map."""

    name: str
    x: float
    y: float


def regions(coordinates: np.ndarray, names: Sequence[str | None]) -> list[Region]:
    """The regions of the groups on a map (n, 2) that gather somewhere, the clearest first; None is of no group.

    A region lies where the share of a group among its neighbours is largest; of many such places, in their midst.
    """
    points, members = np.asarray(coordinates, float), _members(names)
    if not members:
        return []
    _, near = cKDTree(points).query(points, min(NEAR, len(points)))
    clear = []
    for name, rows in members.items():
        own = np.isin(near[rows, : len(rows)], rows)  # of a small group, as many neighbours as it has sounds
        shares = own.mean(axis=1)
        purest = np.flatnonzero(shares == shares.max())
        best = purest[_midst(points[rows[purest]])]
        if shares[best] >= MOST_OF:
            middle = points[near[rows[best], : len(rows)][own[best]]].mean(axis=0)
            clear.append((-shares[best], -len(rows), Region(name, *map(float, middle))))
    return [region for *_, region in sorted(clear)]


def _midst(points: np.ndarray) -> int:
    """The number of the point (n, 2) in the midst of all."""
    return int(np.argmin(np.linalg.norm(points - np.median(points, axis=0), axis=1)))


def _members(names: Sequence[str | None]) -> dict[str, np.ndarray]:
    """The rows of each group that is large enough."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        if name is not None:
            rows.setdefault(name, []).append(row)
    return {name: np.array(numbers) for name, numbers in rows.items() if len(numbers) >= FEWEST}
