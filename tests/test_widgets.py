"""Tables, curves and names, as notebooks show them."""

import numpy as np
import pytest

from vaelab.audio import Sound
from vaelab.training import Evaluation
from vaelab.widgets import LiveCurves, Table, inert, short_name


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a < b & 'c'", "a &lt; b &amp; &#x27;c&#x27;"),
        ("$x$", "<span>$</span>x<span>$</span>"),
        ("\\(x", "<span>\\</span>(x"),
        ("two\nlines", "&#x27;two<span>\\</span>nlines&#x27;"),
    ],
)
def test_inert(text, shown):
    assert inert(text) == shown


def test_long_names_keep_their_end():
    assert short_name("/sounds/kick/kick_0001.wav") == "kick/kick_0001"
    assert short_name(f"/sounds/{'x' * 99}/take_7.wav").endswith("xxx/take_7")
    assert len(short_name(f"/sounds/{'x' * 99}/take_7.wav")) == 40


def test_table_in_text_and_html():
    table = Table(
        {"sound": ["kick", "tom"], "size": [1.23456, np.float32(2)], "listen": [Sound(np.zeros(8), 8000)] * 2}
    )
    assert repr(table).splitlines()[1] == "kick   1.235  (0.00 s of sound)"
    page = table._repr_html_()
    assert page.count("<audio") == 2
    assert page.count("<tr>") == 3


@pytest.mark.parametrize(("count", "width"), [(1, 300), (2, 250), (3, 180), (5, 180)])
def test_players_in_a_row_have_room(count, width):
    sound = Sound(np.zeros(800, np.float32), 8000)
    table = Table({"name": ["a", "b"], **{str(number): [sound, ""] for number in range(count)}})
    assert table._repr_html_().count(f"<audio style='width: {width}px'") == count


def test_live_curves_replace_their_picture(monkeypatch):
    shown = []

    class Handle:
        def update(self, picture):
            shown[-1] = picture

    def display(picture, display_id):
        shown.append(picture)
        return Handle()

    monkeypatch.setattr("vaelab.widgets.display", display)
    history = [{"step": 5, "train_loss": 3.0, "loss": 2.5, "error_db": 5.0, "audible_db": 9.0}]
    live = LiveCurves(history)
    first = shown[0]
    live(Evaluation(10, {}, {}, [*history, {**history[0], "step": 10}], None))
    assert len(shown) == 1
    assert shown[0] is not first
    assert list(shown[0].axes[0].lines[0].get_xdata()) == [5, 10]
    assert LiveCurves()._shown is None
