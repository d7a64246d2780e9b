"""Pictures of results: each is drawn from what is kept, with the names of its axes and their units."""

import re

import pytest
from matplotlib.container import BarContainer

from experiments.release import pictures

DRAWN = {
    pictures.baseline: ("baseline",),
    pictures.flow: ("flow",),
    pictures.latents: ("latent_dim",),
    pictures.inversion: ("inversion",),
    pictures.recalls: ("classify",),
    pictures.onsets: ("slicing",),
    pictures.verdicts: ("honesty_known", "honesty_new"),
    pictures.search: ("search",),
}


def drawn(draw):
    return draw(*map(pictures.result, DRAWN[draw]))


@pytest.mark.parametrize("draw", DRAWN, ids=lambda draw: draw.__name__)
def test_axes_say_what_they_are(draw):
    figure = drawn(draw)
    assert len(figure._repr_png_()) > 5000
    for axes in figure.axes:
        assert re.search(r"\(.+\)$", axes.get_xlabel())
        names = [text.get_text() for text in axes.get_yticklabels()]
        assert re.search(r"\(.+\)$", axes.get_ylabel()) or (axes.get_ylabel() and all(names))
        coloured = [line for line in axes.lines if line.get_label()[0] != "_"]
        styles = [(line.get_linestyle(), line.get_marker()) for line in coloured]
        assert len(set(styles)) == len(styles)  # no two differ by colour alone
        bars = [group for group in axes.containers if isinstance(group, BarContainer)]
        assert len({group.patches[0].get_hatch() for group in bars}) == len(bars)


def test_posteriors_are_compared_seed_by_seed():
    """A seed that a run lacks leaves no dot."""
    losses = {("no flow", 0): 100.0, ("no flow", 1): 200.0, ("2 steps", 0): 90.0, ("5 steps", 0): 97.0}
    losses["5 steps", 1] = 202.0
    records = [{"run": run, "seed": seed, "best": {"loss": loss}} for (run, seed), loss in losses.items()]
    (axes,) = pictures.flow({"records": records}).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["2 steps", "5 steps"]
    dots = {line.get_label(): line.get_xydata().tolist() for line in axes.lines[:2]}
    assert dots == {"seed 0": [[10, 0], [3, 1]], "seed 1": [[-2, 1]]}


def test_a_column_is_found_by_its_name():
    assert pictures.column({"columns": ["a", "b"], "rows": [[1, 2], [3, 4]]}, "b") == [2, 4]
