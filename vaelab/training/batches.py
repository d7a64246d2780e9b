"""Batches for the device: features that stay there, or rows of the next steps read ahead from the store.

Which sounds a step sees is a pure function of (seed, step), so both ways train the same model, bit for bit.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache

import jax
import numpy as np
from jax.sharding import Mesh

from vaelab.config import TrainConfig
from vaelab.datasets.feature_store import FeatureStore
from vaelab.models import devices
from vaelab.models.evaluate import Sounds


class StoredRows:
    """Features that stay in the store until they are asked for: `rows[indices]` reads uint8 (n, frames, mels)."""

    def __init__(self, store: FeatureStore, hashes: Sequence[str]):
        self._store, self._hashes = store, list(hashes)
        self.shape = (len(self._hashes), store.config.frames, store.config.n_mels)
        self.nbytes = int(np.prod(self.shape))

    def __len__(self) -> int:
        return len(self._hashes)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        return self._store.rows([self._hashes[index] for index in indices])


class Resident:
    """All features on the device, put there once."""

    def __init__(self, sounds: Sounds, seed: int, config: TrainConfig, mesh: Mesh):
        self._features = devices.place(np.asarray(sounds.features), devices.everywhere(mesh))
        self._seed, self._config, self._sounds = seed, config, len(sounds.features)

    def take(self, step: int, count: int, after: int) -> tuple[jax.Array, np.ndarray]:
        """Features on the device, uint8 (rows, frames, mels), and the rows in it of `count` steps from `step`.

        The rows are int32 (steps_per_dispatch, batch); `after` is the number of steps that will be asked for next.
        """
        return self._features, sounds_of(self._seed, step, count, self._config, self._sounds)

    def close(self) -> None:
        """Do nothing, as there is no thread to end."""


class Streamed:
    """The rows of the next dispatch, read by a thread while the device is at work on those before."""

    def __init__(self, sounds: Sounds, seed: int, config: TrainConfig, mesh: Mesh):
        self._features, self._mesh = sounds.features, mesh
        self._seed, self._config = seed, config
        self._thread = ThreadPoolExecutor(1, "vaelab feed")
        self._ahead: tuple[tuple[int, int], Future] | None = None

    def take(self, step: int, count: int, after: int) -> tuple[jax.Array, np.ndarray]:
        """As `Resident.take`; then the steps after these are read ahead."""
        ahead, self._ahead = self._ahead, None
        block = ahead[1].result() if ahead is not None and ahead[0] == (step, count) else self._read(step, count)
        if after:
            wanted = (step + count, after)
            self._ahead = wanted, self._thread.submit(self._read, *wanted)
        shape = (self._config.steps_per_dispatch, self._config.batch_size)
        return block, np.arange(np.prod(shape), dtype=np.int32).reshape(shape)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(cancel_futures=True)

    def _read(self, step: int, count: int) -> jax.Array:
        sounds = sounds_of(self._seed, step, count, self._config, len(self._features))
        block = np.zeros((sounds.size, *self._features.shape[1:]), np.uint8)
        wanted = sounds[:count].ravel()
        block[: wanted.size] = self._features[wanted]
        return devices.place(block, devices.everywhere(self._mesh))


def feed(sounds: Sounds, seed: int, config: TrainConfig, mesh: Mesh) -> Resident | Streamed:
    """Choose the resident or the streamed feed by the features' size and `device_megabytes`."""
    return (Resident if fits(sounds.features.nbytes, config) else Streamed)(sounds, seed, config, mesh)


def fits(size: int, config: TrainConfig) -> bool:
    """True if features of this size in bytes are kept on the device."""
    return size <= config.device_megabytes * 2**20


def sounds_of(seed: int, step: int, count: int, config: TrainConfig, sounds: int) -> np.ndarray:
    """Row indices of several steps, int32 (steps_per_dispatch, batch); rows beyond `count` are 0."""
    chosen = np.zeros((config.steps_per_dispatch, config.batch_size), np.int32)
    for place in range(count):
        chosen[place] = batch_indices(seed, step + place, config.batch_size, sounds)
    return chosen


def batch_indices(seed: int, step: int, batch_size: int, sounds: int) -> np.ndarray:
    """Row indices of a step, (batch,): epochs are shuffled one by one and read without gaps."""
    positions = step * batch_size + np.arange(batch_size)
    epochs, places = np.divmod(positions, sounds)
    chosen = np.empty(batch_size, np.int32)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        chosen[here] = _epoch_order(seed, int(epoch), sounds)[places[here]]
    return chosen


@lru_cache(maxsize=4)
def _epoch_order(seed: int, epoch: int, sounds: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(sounds)
