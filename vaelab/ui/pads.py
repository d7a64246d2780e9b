"""Pads: the last sounds that were made, played by click, key and MIDI, and saved together as a kit."""

import os
from pathlib import Path

import numpy as np
import traitlets

from vaelab.audio import Sound
from vaelab.datasets import kits
from vaelab.text import printable
from vaelab.ui import scripts
from vaelab.ui.controls import failing, free
from vaelab.ui.threads import SharedWidget

PADS = 16


class Pads(SharedWidget):
    """The last `PADS` sounds, each on a pad of its own until the newest takes the place of the oldest.

    They live in the kernel, so that a page that is loaded again shows and plays them.

    Attributes:
        pads: For each pad {"title", "channels", "sample_rate" (Hz), "turn"}, the turn new with each sound; or {}.
        pad_0, pad_1, ...: Samples of each pad, int16, little-endian; in stereo all of the left, then the right.
        kit_asked: The browser's wish for a kit, {"turn"}.
        pads_said: What became of that wish.
        folder: Where kits are saved.
        filled: The sounds and their titles, by pad, or None.
    """

    _esm = scripts.joined("pads")
    _css = scripts.styles("pads")
    pads = traitlets.List([{}] * PADS).tag(sync=True)
    # A trait for each pad, since a new sound then sends its own samples alone.
    vars().update({f"pad_{number}": traitlets.Bytes(b"").tag(sync=True) for number in range(PADS)})
    kit_asked = traitlets.Dict({}).tag(sync=True)
    pads_said = traitlets.Unicode("").tag(sync=True)

    def __init__(self, folder: str | os.PathLike = "generated", **traits):
        self.folder = Path(folder)
        self.filled: list[tuple[Sound, str] | None] = [None] * PADS
        self._count = 0
        super().__init__(**traits)
        self.observe(lambda _: self._answer(), names="kit_asked")

    def add_pad(self, sound: Sound, title: str) -> None:
        """Put a sound on the next pad, unless the newest pad holds the same one."""
        newest = self.filled[(self._count - 1) % PADS]
        if newest is not None and np.array_equal(newest[0].samples, sound.samples):
            return
        number, self._count = self._count % PADS, self._count + 1
        self.filled[number] = (sound, title)
        facts = {"title": printable(title), "channels": sound.samples.ndim, "sample_rate": sound.sample_rate}
        with self.hold_sync():
            setattr(self, f"pad_{number}", _int16(sound.samples.T))
            self.pads = [*self.pads[:number], {**facts, "turn": self._count}, *self.pads[number + 1 :]]

    def save_kit(self) -> Path:
        """Save all sounds as the kit `kit` in `folder`, the oldest first; where it is taken its name gets a number.

        Raises:
            LookupError: There is no sound yet.
        """
        oldest = self._count % PADS
        pairs = [pair for pair in (*self.filled[oldest:], *self.filled[:oldest]) if pair]
        if not pairs:
            raise LookupError("make a sound first")
        sounds, titles = zip(*pairs, strict=True)
        return kits.save_kit(free(self.folder / "kit"), sounds, titles)

    def _answer(self) -> None:
        with failing(lambda text: setattr(self, "pads_said", printable(text)), "no kit"):
            self.pads_said = f"saved {printable(self.save_kit())}"


def _int16(samples: np.ndarray) -> bytes:
    return np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
