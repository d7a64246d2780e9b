"""Names in pictures: letters of every script that a font has."""

import numpy as np
import pytest
from matplotlib.font_manager import FontProperties, findfont, get_font

from vaelab.ui import picture, plots


@pytest.fixture
def fonts(monkeypatch):
    """Sets the fonts behind the default one."""

    def choose(*names):
        monkeypatch.setattr(picture, "SCRIPTS", names)
        for function in (picture._families, picture._is_in_font):
            function.cache_clear()

    yield choose
    for function in (picture._families, picture._is_in_font):
        function.cache_clear()


def test_letters_of_other_scripts_are_drawn_where_a_font_has_them(fonts, tmp_path):
    """With a font that comes with matplotlib in place of those for other scripts; a letter without one warns."""
    own, other = (
        get_font(findfont(FontProperties(family=name))).get_charmap() for name in ("DejaVu Sans", "STIXGeneral")
    )
    letter = chr(min(set(other) - set(own)))
    fonts("no such font")
    assert picture.plain(f"a{letter}") == "a□"
    before = drawn(letter, tmp_path)
    fonts("no such font", "STIXGeneral")
    assert picture.plain(f"a{letter}") == f"a{letter}"
    assert drawn(letter, tmp_path) != before


def drawn(name, folder):
    plots.confusion(np.eye(2, dtype=int), [name, "b"]).savefig(folder / "a.png", metadata={"Software": None})
    return (folder / "a.png").read_bytes()
