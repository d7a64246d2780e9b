"""The map of a tape says time codes over its points, as text that can do nothing."""

import xml.etree.ElementTree as tree

import numpy as np
import pytest

from vaelab.datasets.segments import CutTape, Segment
from vaelab.ui.tape_map import TapeMap

SEGMENTS = (Segment(1.5, 2.0), Segment(3661.0, 3662.5, "<b>$x$"))
CUT = CutTape("/t.wav", "0" * 64, 3700.0, {"title": "Compilation <1987>"}, SEGMENTS)


def test_every_point_says_where_it_is():
    drawn = TapeMap(np.array([[0.0, 0.0], [1.0, 2.0]]), CUT)
    assert drawn.names[1] == "Compilation <1987> 01:01:01.000 - 01:01:02.500 <b>$x$"
    page = drawn._repr_html_()
    root = tree.fromstring(page.replace("&nbsp;", " "))
    points = root.findall("circle")
    assert [point.get("cx") for point in points] == ["16.0", "704.0"]
    assert [point.get("cy") for point in points] == ["464.0", "16.0"]  # upwards
    said = ["".join(point.find("title").itertext()) for point in points]
    assert "00:00:01.500 - 00:00:02.000" in said[0]
    assert "01:01:01.000 - 01:01:02.500" in said[1]
    assert points[0].get("fill") != points[1].get("fill")
    assert "<b>" not in page
    assert "$x$" not in page
    assert "<script" not in page


def test_one_point_is_a_map_too():
    one = CutTape("/t.wav", "0" * 64, 10.0, {}, SEGMENTS[:1])
    assert TapeMap(np.zeros((1, 2)), one)._repr_html_().count("<circle") == 1
    with pytest.raises(ValueError, match="coordinates: expected 1, one a segment, found 2"):
        TapeMap(np.zeros((2, 2)), one)
