"""Channels to one: their mean, or the louder channel where they cancel each other, as when one is wired inverted."""

import numpy as np

CANCELS, SOUNDS = 0.3, 0.5  # share of the power of the mean of unrelated channels: below they cancel, above no more
FADE, LEAST = 512, 1024  # samples: from one way to the other, and that are enough to change it


class Downmix:
    """Mixes the blocks of one sound, in turn.

    The mean of n unrelated channels has 1 / n of their mean power. Where less than `CANCELS` of that is left, the
    loudest channel is taken until more than `SOUNDS` is; a change is faded, so that it does not click.
    """

    def __init__(self, channels: int):
        """Begin a sound of so many channels."""
        self._equal = np.full(channels, 1 / channels, np.float32)
        self._shares: np.ndarray | None = None  # of the channels, once something has sounded

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """The next block (samples, channels) as float32 (samples,)."""
        if block.shape[1] == 1:
            return block[:, 0]
        before, self._shares = self._shares, self._next(block)
        if self._shares is None:
            return block @ self._equal
        mixed = block @ self._shares
        if before is not None and not np.array_equal(before, self._shares):
            rise = np.linspace(0, 1, min(FADE, len(block)), dtype=np.float32)
            start = block[: len(rise)]
            mixed[: len(rise)] = rise * mixed[: len(rise)] + (1 - rise) * (start @ before)
        return mixed

    def _next(self, block: np.ndarray) -> np.ndarray | None:
        """Shares of the channels from this block on."""
        if self._shares is not None and len(block) < LEAST:
            return self._shares
        powers = np.einsum("ij,ij->j", block, block, dtype=float)
        if not powers.sum() > 0:
            return self._shares
        mean = (block @ self._equal).astype(float)
        left = mean @ mean * block.shape[1] ** 2 / powers.sum()
        alone = self._shares is not None and not np.array_equal(self._shares, self._equal)
        if left >= (SOUNDS if alone else CANCELS):
            return self._equal
        if alone and powers @ self._shares > powers.max() / 2:
            return self._shares
        return np.eye(block.shape[1], dtype=np.float32)[powers.argmax()]
