"""A map of a tape that says where on it each point is, when the mouse is over it: SVG, with no script at all."""

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex

from vaelab.datasets.segments import CutTape, Segment
from vaelab.text import inert, timecode

WIDTH, HEIGHT, MARGIN, RADIUS = 720, 480, 16, 5  # pixels
COLOURS = "viridis"


class TapeMap:
    """Segments of a tape on a plane, coloured by time; over a point its title and time codes appear.

    Attributes:
        names: What each point says: title of the tape, start and end as hh:mm:ss.mmm, label.
    """

    def __init__(self, coordinates: np.ndarray, cut: CutTape):
        if len(coordinates) != len(cut.segments):
            raise ValueError(f"coordinates: expected {len(cut.segments)}, one a segment, found {len(coordinates)}")
        title = cut.metadata.get("title", "")
        self.names = [_name(title, segment) for segment in cut.segments]
        self._places = _fitted(np.asarray(coordinates, float))
        self._colours = [_colour(segment.start / cut.seconds) for segment in cut.segments]
        self._end = timecode(cut.seconds)[:8]

    def _repr_html_(self) -> str:
        points = "".join(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{RADIUS}" fill="{colour}"><title>{inert(name)}</title></circle>'
            for (x, y), colour, name in zip(self._places, self._colours, self.names, strict=True)
        )
        stops = "".join(f'<stop offset="{share:.1f}" stop-color="{_colour(share)}"/>' for share in np.linspace(0, 1, 6))
        scale = (
            f'<defs><linearGradient id="vaelab-time">{stops}</linearGradient></defs>'
            f'<rect x="{MARGIN + 70}" y="{HEIGHT + 8}" width="{WIDTH - 2 * MARGIN - 140}" height="10" '
            f'fill="url(#vaelab-time)"/><text x="{MARGIN}" y="{HEIGHT + 18}">00:00:00</text>'
            f'<text x="{WIDTH - MARGIN}" y="{HEIGHT + 18}" text-anchor="end">{self._end}</text>'
        )
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 28}" width="{WIDTH}" role="img" font-size="13" '
            f'style="background: white">{points}{scale}</svg>'
        )


def _name(title: str, segment: Segment) -> str:
    return " ".join(
        part for part in (title, f"{timecode(segment.start)} - {timecode(segment.end)}", segment.label) if part
    )


def _colour(share: float) -> str:
    return to_hex(colormaps[COLOURS](share))


def _fitted(coordinates: np.ndarray) -> np.ndarray:
    """Coordinates (n, 2) spread over the picture, upwards as a plot has it."""
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    shares = (coordinates - low) / np.maximum(high - low, 1e-9)
    shares[:, 1] = 1 - shares[:, 1]
    return MARGIN + shares * (np.array([WIDTH, HEIGHT]) - 2 * MARGIN)
