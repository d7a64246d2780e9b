"""Colours and shapes of the groups on a map: the same in the browser and in pictures."""

from typing import NamedTuple

# Okabe and Ito's palette without yellow, which is pale on white, or without black, on black; shapes multiply it.
LIGHT = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#000000")
DARK = ("#56b4e9", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#f0e442", "#ffffff")
MARKERS = "os^Dv"  # matplotlib's names of the shapes in `static/shapes.js`


class Look(NamedTuple):
    """A group's colour on white and on black, and the number of its shape."""

    light: str
    dark: str
    shape: int


UNKNOWN = Look("#a0a0a0", "#707070", 0)


def look(number: int) -> Look:
    """The look of the group of this number, from 0; the first seven differ in colour, the first 35 in some way."""
    turn, colour = divmod(number, len(LIGHT))
    return Look(LIGHT[colour], DARK[colour], turn % len(MARKERS))
