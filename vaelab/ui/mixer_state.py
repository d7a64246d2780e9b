"""State of a mixer as plain values: sounds and controls, two slots to compare, and an undo history."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vaelab.play.latent import LatentError
from vaelab.text import printable

SLOTS = ("A", "B")
STEPS_BACK = 200
MOST_TERMS = 6
SEEDS = 2**31 - 1


@dataclass(frozen=True)
class Channel:
    """One sound of a mix.

    Attributes:
        path: Its file.
        offset: Where in the file it starts, seconds; None is where its clip does by itself (`audio.read_clip`).
        weight: Its part of the sum.
        mute: Left out.
        solo: While any channel is solo, only those are heard.
    """

    path: Path
    offset: float | None = None
    weight: float = 1.0
    mute: bool = False
    solo: bool = False


@dataclass(frozen=True)
class Setting:
    """Everything that a mix depends on.

    Attributes:
        channels: The sounds.
        normalize: Whether weights are divided by their sum.
        variance: Of the noise added to the embedding.
        spread: Scale of draws from each sound's posterior.
        seed: Of all that is random.
        label: Class of the random sounds that a mixer without channels makes; None is any.
        detail: How much of the sounds' own detail is put back, 0 to 1.
        stereo: Whether a mix has two channels where a sound of it has two.
    """

    channels: tuple[Channel, ...]
    normalize: bool = True
    variance: float = 0.0
    spread: float = 0.0
    seed: int = 0
    detail: float = 1.0
    label: str | None = None
    stereo: bool = False

    def audible(self) -> list[Channel]:
        """The channels that take part.

        Raises:
            LatentError: None does.
        """
        alone = any(channel.solo for channel in self.channels)
        audible = [part for part in self.channels if part.weight and not part.mute and (part.solo or not alone)]
        if not audible:
            raise LatentError("nothing to mix: every sound is muted, has weight 0, or stands back for a solo")
        return audible

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments of `tool.generate`: a mix, or without channels a random sound.

        Raises:
            LatentError: There are channels, and none takes part.
        """
        if not self.channels:
            return {"seed": self.seed, "label": self.label}
        audible = self.audible()
        return {
            "audio_files": [channel.path for channel in audible],
            "offsets": [channel.offset for channel in audible],
            "weights": [channel.weight for channel in audible],
            "normalize_weights": self.normalize,
            "variance": self.variance,
            "spread": self.spread,
            "seed": self.seed,
            "detail": self.detail,
            "channels": "source" if self.stereo else "mono",
        }

    def words(self) -> str:
        """The sum, as in "1 kick_0001 − 0.5 drone_0003"; of many sounds only the first."""
        if not self.channels:
            return f"random {self.label or 'sound'}, seed {self.seed}"
        terms, audible = [], self.audible()
        for channel in audible[:MOST_TERMS]:
            sign = "− " if channel.weight < 0 else "+ " if terms else ""
            terms.append(f"{sign}{abs(channel.weight):g} {printable(channel.path.stem)}")
        more = len(audible) - MOST_TERMS
        return " ".join(terms) + (f" and {more} more" if more > 0 else "")


class History:
    """Two slots, each with its present setting and those before it.

    Attributes:
        slot: "A" or "B".
    """

    def __init__(self, first: Setting):
        """Begin in slot A; B begins as a copy of A when it is first opened."""
        self.slot = SLOTS[0]
        self._settings = {self.slot: [first]}

    @property
    def present(self) -> Setting:
        """The setting of the open slot."""
        return self._settings[self.slot][-1]

    def change(self, setting: Setting) -> bool:
        """Take a new setting; False if it is the present one."""
        if setting == self.present:
            return False
        self._settings[self.slot] = [*self._settings[self.slot][-STEPS_BACK:], setting]
        return True

    def undo(self) -> bool:
        """Go one step back in the open slot; False at its beginning."""
        if len(self._settings[self.slot]) == 1:
            return False
        self._settings[self.slot].pop()
        return True

    def open(self, slot: str) -> None:
        """Go to a slot."""
        self._settings.setdefault(slot, [self.present])
        self.slot = slot


def channels(paths: Iterable[Path], offsets: Iterable[float | None]) -> list[Channel]:
    """Channels of weight 1 of sounds and where they start, seconds or None."""
    return [
        Channel(Path(path), None if offset is None else float(offset))
        for path, offset in zip(paths, offsets, strict=True)
    ]
