"""Sources as a model sees them, each measured by itself and once: a mix whose weights change measures nothing anew.

One sound at a time costs less than a batch of few, and is compiled once for any number of sources.
"""

from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from vaelab.model import Model
from vaelab.play import rendering
from vaelab.spectral import Samples

REMEMBERED = 32  # sources, of 0.6 MB each at 44.1 kHz and 2 s


class Measured(NamedTuple):
    """Measurements of n sources.

    Attributes:
        features: As the store has them, (n, frames, mels).
        levels_db: Their maxima of mel power, (n,).
        embeddings: (n, latent).
        residuals: Features that were not rounded minus the decodings of the embeddings, (n, frames, mels).
    """

    features: Float[np.ndarray, "sources frames mels"]
    levels_db: Float[np.ndarray, " sources"]
    embeddings: Float[np.ndarray, "sources latent"]
    residuals: Float[np.ndarray, "sources frames mels"]


class Sources:
    """Measures sources for one model, and remembers the last of them by their samples."""

    def __init__(self, model: Model):
        """Measure nothing yet."""
        self._measure = lru_cache(REMEMBERED)(partial(_measured, model))

    def measure(self, clips: Samples, refine: int = 0) -> Measured:
        """Measurements of clips (n, samples), n at least 1, embedded as by `rendering.embed`."""
        rows = [self._measure(np.asarray(clip, np.float32).tobytes(), refine) for clip in clips]
        return Measured(*map(np.concatenate, zip(*rows, strict=True)))


def _measured(model: Model, clip: bytes, refine: int) -> Measured:
    clips = np.frombuffer(clip, np.float32)[None]
    features, levels_db = rendering.stored_features(clips, model.audio)
    embeddings = rendering.embed(model, features, refine)
    return Measured(features, levels_db, embeddings, rendering.residuals(model, clips, embeddings))
