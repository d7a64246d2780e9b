"""Pictures of results: each is drawn from what is kept, with the names of its axes and their units."""

import re

import numpy as np
import pytest
from matplotlib.container import BarContainer

from experiments.release import pictures

DRAWN = {
    pictures.baseline: ("baseline",),
    pictures.flow: ("iaf_depth",),
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


def test_the_flow_is_compared_seed_by_seed():
    def record(run, seed, loss):
        return {"run": run, "seed": seed, "best": {"loss": loss}}

    records = [record("no flow", seed, 100.0 * seed) for seed in (1, 2)]
    records += [
        record(name, seed, 100.0 * seed - 10 * seed) for name in ("2 steps", "5 steps", "8 steps") for seed in (1, 2)
    ]
    (axes,) = pictures.flow({"records": records}).axes
    dots = [line.get_ydata() for line in axes.lines[:2]]
    np.testing.assert_allclose(dots, [[10, 10, 10], [20, 20, 20]])
    (mean,) = [group for group in axes.containers if not isinstance(group, BarContainer)]
    np.testing.assert_allclose(mean.lines[0].get_ydata(), 15)


def test_a_column_is_found_by_its_name():
    assert pictures.column({"columns": ["a", "b"], "rows": [[1, 2], [3, 4]]}, "b") == [2, 4]
