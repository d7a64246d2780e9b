"""Small widgets of one look, of what ipywidgets 7.7 has; and names for files that are not taken."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import ipywidgets

from vaelab.text import inert


class Status(ipywidgets.HTML):
    """One line that says what was done, or why not."""

    def say(self, text: str) -> None:
        """Show a text, as text."""
        self.value = inert(text)

    def failing(self, failure: str, stopped: Callable[[], bool] = lambda: False) -> AbstractContextManager:
        """Show whatever fails and is still wanted; see `failing`."""
        return failing(self.say, failure, stopped)


@contextmanager
def failing(say: Callable[[str], None], failure: str, stopped: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Say whatever fails and is still wanted: an error that leaves a callback is lost in the browser's log."""
    try:
        yield
    except Exception as error:
        if not stopped():
            say(f"{failure}: {error or type(error).__name__}")


def button(icon: str, tooltip: str, description: str = "") -> ipywidgets.Button:
    """A button with an icon, and words if there is room for them."""
    width = "auto" if description else "3em"
    return ipywidgets.Button(icon=icon, tooltip=tooltip, description=description, layout=wide(width))


def toggle(icon: str, tooltip: str, value: bool) -> ipywidgets.ToggleButton:
    """A button that stays down."""
    return ipywidgets.ToggleButton(icon=icon, tooltip=tooltip, value=value, layout=wide("3em"))


def check(description: str, value: bool, width: str) -> ipywidgets.Checkbox:
    """A box to tick, with words."""
    return ipywidgets.Checkbox(value=value, description=description, indent=False, layout=wide(width))


def amount(name: str, largest: float) -> ipywidgets.FloatSlider:
    """A slider from 0 that speaks when it is let go."""
    return ipywidgets.FloatSlider(
        value=0.0, min=0.0, max=largest, step=0.01, description=name, continuous_update=False, layout=wide("22em")
    )


def line(*widgets: ipywidgets.Widget) -> ipywidgets.HBox:
    """Widgets side by side."""
    return ipywidgets.HBox(widgets, layout=ipywidgets.Layout(align_items="center", grid_gap="0.8em"))


def wide(width: str) -> ipywidgets.Layout:
    """A layout of this width."""
    return ipywidgets.Layout(width=width)


def free(path: Path) -> Path:
    """The path, or the first of NAME_2, NAME_3, ... that is not taken."""
    numbered, number = path, 1
    while os.path.lexists(numbered):
        number += 1
        numbered = path.with_name(f"{path.stem}_{number}{path.suffix}")
    return numbered
