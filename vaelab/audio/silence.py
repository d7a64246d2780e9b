"""Silence: files that hold nothing else, and clips that would begin with it."""

import math
from collections.abc import Iterable

import numpy as np

NOTHING = 2 / 32768  # the dither of 16 bits reaches it
QUIET = 1e-3  # -60 dBFS: a hum or hiss before the first sound
LATE_SECONDS = 0.01  # that may pass before the first sound; most files begin sooner, and are read once
LEAD_SECONDS = 0.001  # before the first sound, for its attack


def is_silent(samples: np.ndarray) -> bool:
    """True if nothing can be heard in samples, or there are none."""
    return not len(samples) or max(samples.max(), -samples.min()) <= NOTHING


def first_sound(blocks: Iterable[np.ndarray]) -> int | None:
    """The first sample of mono blocks that is no silence; None if there is none."""
    passed = 0
    for block in blocks:
        loud = np.abs(block) > QUIET
        if loud.any():
            return passed + int(loud.argmax())
        passed += len(block)
    return None


def sounds_early(samples: np.ndarray, rate: int) -> bool:
    """True if the first sound comes at once, or hardly later; rate in Hz."""
    first = first_sound([samples])
    return first is not None and first <= LATE_SECONDS * rate


def clip_start(blocks: Iterable[np.ndarray], rate: int) -> float:
    """The second at which a clip of a sound begins if nobody says it.

    At the first sound, so that the same sound after more silence is the same clip. What begins within 10 ms is taken
    from its own beginning, and so is what is quiet throughout.

    Args:
        blocks: The sound (samples,) from its beginning, in mono.
        rate: Hz.
    """
    first = first_sound(blocks)
    if first is None or first <= LATE_SECONDS * rate:
        return 0.0
    return round(max(0.0, math.floor(first - LEAD_SECONDS * rate) / rate), 6)
