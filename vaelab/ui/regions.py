"""Names of regions of a map: where most sounds are of one group."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

NEAR = 12  # sounds around each that are counted
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
    numbers = np.full(len(points), -1)
    for number, rows in enumerate(members.values()):
        numbers[rows] = number
    alike = (numbers[near] == numbers[:, None]).mean(axis=1)
    clear = []
    for name, rows in members.items():
        purest = rows[alike[rows] == alike[rows].max()]
        away = np.linalg.norm(points[purest] - np.median(points[purest], axis=0), axis=1)
        best = purest[np.argmin(away)]
        if alike[best] >= MOST_OF:
            middle = points[near[best][numbers[near[best]] == numbers[best]]].mean(axis=0)
            clear.append((-alike[best], -len(rows), Region(name, *map(float, middle))))
    return [region for *_, region in sorted(clear)]


def _members(names: Sequence[str | None]) -> dict[str, np.ndarray]:
    """The rows of each group that is large enough."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        if name is not None:
            rows.setdefault(name, []).append(row)
    return {name: np.array(numbers) for name, numbers in rows.items() if len(numbers) >= FEWEST}
