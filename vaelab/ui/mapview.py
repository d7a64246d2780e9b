"""The map's canvas (`static/map_view.js`) as Python sees it: points, names, colours that everybody can tell apart."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import traitlets
from matplotlib import colormaps
from matplotlib.colors import to_hex

from vaelab.text import printable
from vaelab.ui import scripts
from vaelab.ui.palette import UNKNOWN, look
from vaelab.ui.regions import regions
from vaelab.ui.threads import SharedWidget

STEPS = 64  # of a scale
MOST_GROUPS = 250
NO_NAME, OTHERS = "(none)", "(others)"
BEYOND = (2, 98)  # percentiles: a few odd sounds must not take all of a scale


class MapView(SharedWidget):
    """A canvas of points; group 0 is for sounds without a name or a value."""

    _esm = scripts.joined("map")
    _css = scripts.styles("map")
    points = traitlets.Bytes(b"").tag(sync=True)  # float32 (n, 2), little-endian
    names = traitlets.Bytes(b"").tag(sync=True)  # all names one after the other, UTF-8
    name_ends = traitlets.Bytes(b"").tag(sync=True)  # uint32 (n,), where each ends, bytes
    groups = traitlets.Bytes(b"").tag(sync=True)  # uint8 (n,), into the palette
    palette = traitlets.List([]).tag(sync=True)  # a colour on white, one on black, and a shape for each group
    # {"names": [[group, name], ...], "scale": None or {"low", "high", "name"}}
    legend = traitlets.Dict({}).tag(sync=True)
    regions = traitlets.List([]).tag(sync=True)  # [name, x, y] of where groups gather, the clearest first
    selected = traitlets.Bytes(b"").tag(sync=True)  # uint32, the points that have a ring
    mark = traitlets.Dict({}).tag(sync=True)  # {"at": [x, y], "near": [index, ...]} of the place decoded last; or empty
    # what the browser asks for: {"kind": "play", "index"}, {"kind": "decode", "x", "y"} or {"kind": "lasso",
    # "corners"}, with a "turn" that never comes again
    asked = traitlets.Dict({}).tag(sync=True)

    def __init__(self, coordinates: np.ndarray, names: Sequence[str], **others):
        """Show points (n, 2) and a name for each; `others` are for the classes that a subclass adds."""
        self._coordinates = np.asarray(coordinates, float)
        encoded = [printable(name).encode() for name in names]
        super().__init__(
            points=np.asarray(coordinates, "<f4").tobytes(),
            names=b"".join(encoded),
            name_ends=np.cumsum([len(name) for name in encoded]).astype("<u4").tobytes(),
            **_named([None] * len(encoded)),
            **others,
        )

    def colour(self, by: Sequence[str | None] | np.ndarray, name: str = "") -> None:
        """Colour the points by names, or by numbers (n,) on a scale of this name; None and NaN stay grey."""
        numeric = isinstance(by, np.ndarray) and by.dtype.kind in "fiu"
        gathered = [] if numeric else regions(self._coordinates, by)
        with self.hold_sync():
            for trait, value in (_scaled(by.astype(float), name) if numeric else _named(by)).items():
                setattr(self, trait, value)
            self.regions = [[printable(name), x, y] for name, x, y in gathered]


def _named(names: Sequence[str | None]) -> dict:
    """Traits for a group for each name, the frequent ones if there are too many."""
    counts = Counter(name for name in names if name is not None)
    common = sorted(name for name, _ in counts.most_common(MOST_GROUPS))
    groups = {None: 0, **{name: number for number, name in enumerate(common, start=1)}}
    others = len(common) + 1
    chosen = np.array([groups.get(name, others) for name in names], np.uint8)
    palette = [list(look(number)) for number in range(len(common))]
    shown = [[number, printable(name)] for name, number in groups.items() if name is not None]
    if counts and 0 in chosen:
        shown.append([0, NO_NAME])
    if others in chosen:
        shown.append([others, OTHERS])
    return {
        "palette": [list(UNKNOWN), *palette, list(UNKNOWN)],
        "legend": {"names": shown, "scale": None},
        "groups": chosen.tobytes(),
    }


def _scaled(values: np.ndarray, name: str) -> dict:
    """Traits for a colour for each number, dark to bright on white, the other end of the same scale on black."""
    finite = np.isfinite(values)
    low, high = np.percentile(values[finite], BEYOND) if finite.any() else (0.0, 1.0)
    share = np.clip((np.where(finite, values, low) - low) / max(high - low, 1e-12), 0, 1)
    groups = np.where(finite, 1 + np.round(share * (STEPS - 1)), 0).astype(np.uint8)
    light, dark = (colormaps["cividis"](np.linspace(*ends, STEPS)) for ends in ((0.0, 0.85), (0.25, 1.0)))
    palette = [[to_hex(on_white), to_hex(on_black), 0] for on_white, on_black in zip(light, dark, strict=True)]
    scale = {"low": f"{low:.3g}", "high": f"{high:.3g}", "name": printable(name)}
    return {
        "palette": [list(UNKNOWN), *palette],
        "legend": {"names": [[0, NO_NAME]] if not finite.all() else [], "scale": scale},
        "groups": groups.tobytes(),
    }
