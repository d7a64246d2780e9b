"""Silence: files that hold nothing else, and clips that would begin with much of it."""

import math
from collections.abc import Iterable

import numpy as np

NOTHING = 2 / 32768  # the dither of 16 bits reaches it
QUIET = 1e-3  # -60 dBFS: a hum or hiss before the first sound
LEAD_SECONDS = 0.005  # before the first sound, for its attack
LATE = 0.5  # share of a clip that may pass before the first sound


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


def sounds_early(samples: np.ndarray, rate: int, seconds: float) -> bool:
    """True if the first sound comes within half of a clip of some seconds at a rate in Hz."""
    first = first_sound([samples])
    return first is not None and first <= LATE * seconds * rate


def clip_start(blocks: Iterable[np.ndarray], rate: int, seconds: float) -> float:
    """The second at which a clip of a sound begins if nobody says it.

    At the sound's own beginning, unless more than half of the clip would pass before the first sound: then there. What
    is quiet throughout is taken from its beginning too.

    Args:
        blocks: The sound (samples,) from its beginning, in mono.
        rate: Hz.
        seconds: Length of the clip.
    """
    first = first_sound(blocks)
    if first is None or first <= LATE * seconds * rate:
        return 0.0
    return round(max(0.0, math.floor(first - LEAD_SECONDS * rate) / rate), 6)
