"""Names of regions stand where a group gathers, and nowhere else."""

import numpy as np

from vaelab.ui.palette import LIGHT, MARKERS, look
from vaelab.ui.regions import FEWEST, regions


def test_groups_that_gather_have_a_region_each():
    rng = np.random.default_rng(0)
    islands = rng.normal(size=(30, 2)), rng.normal([10, 0], size=(20, 2))
    places = np.concatenate([*islands, [[5, 5], [5, 6]]])
    names = ["kick"] * 30 + ["clap"] * 20 + ["few", None]
    found = {region.name: (region.x, region.y) for region in regions(places, names)}
    assert found.keys() == {"kick", "clap"}
    np.testing.assert_allclose([found["kick"], found["clap"]], [[0, 0], [10, 0]], atol=1.2)


def test_a_group_that_is_scattered_has_none():
    places = np.random.default_rng(0).random((200, 2))
    assert regions(places, [f"kind {number % 4}" for number in range(200)]) == []
    assert regions(places, [None] * 200) == []
    assert regions(np.zeros((0, 2)), []) == []


def test_the_clearest_region_comes_first():
    """Of two groups on a line, the smaller keeps to itself; among each four of the other is a stranger."""
    places = np.stack([np.r_[np.arange(60), 100 + np.arange(4 * FEWEST)], np.zeros(60 + 4 * FEWEST)], axis=1)
    names = ["mixed", "mixed", "mixed", "other"] * 15 + ["alone"] * (4 * FEWEST)
    assert [region.name for region in regions(places, names)] == ["alone", "mixed"]


def test_looks_differ():
    looks = [look(number) for number in range(len(LIGHT) * len(MARKERS))]
    assert len({(each.light, each.shape) for each in looks}) == len(looks)
    assert len({(each.dark, each.shape) for each in looks}) == len(looks)
