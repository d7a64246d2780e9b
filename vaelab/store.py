"""The feature store: each sound's mel features computed once, kept as uint8 and read as memory maps.

Rows are addressed by (content hash, audio config, reader version). A folder `STORE/KEY/` holds shards that
are only ever added: `NAME.npy`, uint8 (rows, frames, mels), and `NAME.json`, its hashes and levels. The
JSON is written last, so a shard counts once it is complete. Features come from padded batches of one fixed
size, so that a row's bytes do not depend on its neighbours.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import joblib
import numpy as np
import soundfile
import soxr
from tqdm.auto import tqdm

from vaelab import audio, files, spectral
from vaelab.config import AudioConfig

READER = 1  # raise when audio.read or spectral.mel changes what it returns
BATCH = 32
SHARD_ROWS = 512


class FeatureStore:
    """Features of sounds for one audio config.

    Attributes:
        folder: Where the shards are.
        config: The front end.
    """

    def __init__(self, home: str | Path, config: AudioConfig):
        """Open (or start) the store of `config` below `home`."""
        self.config = config
        self.folder = Path(home) / store_key(config)
        self._rows: dict[str, tuple[str, int]] = {}
        self._levels: dict[str, float] = {}
        self._maps: dict[str, np.ndarray] = {}
        for index in sorted(self.folder.glob("*.json")):
            self._adopt(index)

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def build(self, sounds: Mapping[str, Path], progress: bool = True) -> dict[str, str]:
        """Compute what is missing.

        Args:
            sounds: Path of each content hash.
            progress: Show a bar.

        Returns:
            The reason for each content hash that could not be computed.
        """
        missing = {sha256: path for sha256, path in sounds.items() if sha256 not in self}
        failed: dict[str, str] = {}
        with tqdm(total=len(missing), desc="features", unit="sound", disable=not progress or not missing) as bar:
            decoded = self._decode(missing, failed)
            while shard := list(islice(decoded, SHARD_ROWS)):
                self._write_shard(shard, bar)
            bar.update(len(failed))
        return failed

    def rows(self, hashes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Stored features uint8 (n, frames, mels) and levels in dB float32 (n,), in the order of `hashes`.

        Raises:
            KeyError: A hash was not built.
        """
        features = np.empty((len(hashes), self.config.frames, self.config.n_mels), np.uint8)
        for position, sha256 in enumerate(hashes):
            shard, row = self._rows[sha256]
            features[position] = self._map(shard)[row]
        return features, np.array([self._levels[sha256] for sha256 in hashes], np.float32)

    def _decode(self, sounds: Mapping[str, Path], failed: dict[str, str]) -> Iterator[tuple[str, np.ndarray]]:
        """Clips of the sounds that can be read, in order; libsndfile and soxr run beside each other in threads."""
        jobs = (
            joblib.delayed(_try_read)(sha256, path, self.config.sample_rate, self.config.clip_seconds)
            for sha256, path in sounds.items()
        )
        pool = joblib.Parallel(n_jobs=-1, prefer="threads", return_as="generator")
        for sha256, samples, reason in pool(jobs):
            if reason is not None:
                failed[sha256] = reason
            else:
                yield sha256, spectral.fit_length(samples, self.config)

    def _write_shard(self, decoded: Sequence[tuple[str, np.ndarray]], bar: tqdm) -> None:
        features, levels = [], []
        for batch in _batches([samples for _, samples in decoded]):
            padded = np.zeros((BATCH, self.config.samples), np.float32)
            padded[: len(batch)] = batch
            values, level_db = spectral.mel(padded, self.config)
            features.append(np.asarray(spectral.quantise(values))[: len(batch)])
            levels.extend(np.asarray(level_db)[: len(batch)].tolist())
            bar.update(len(batch))
        hashes = [sha256 for sha256, _ in decoded]
        name = hashlib.sha256("".join(hashes).encode()).hexdigest()[:32]
        with files.replacing(self.folder / f"{name}.npy") as temporary:
            np.save(temporary, np.concatenate(features))
        with files.replacing(self.folder / f"{name}.json") as temporary:
            temporary.write_text(json.dumps({"sha256": hashes, "level_db": levels}), encoding="ascii")
        self._adopt(self.folder / f"{name}.json")

    def _adopt(self, index: Path) -> None:
        shard = json.loads(index.read_text(encoding="ascii"))
        for row, (sha256, level) in enumerate(zip(shard["sha256"], shard["level_db"], strict=True)):
            self._rows[sha256] = (index.stem, row)
            self._levels[sha256] = level

    def _map(self, shard: str) -> np.ndarray:
        if shard not in self._maps:
            self._maps[shard] = np.load(self.folder / f"{shard}.npy", mmap_mode="r")
        return self._maps[shard]


def store_key(config: AudioConfig) -> str:
    """The name of a config's shards: a hash of everything that decides a row's bytes besides the sound."""
    decides = {
        "audio": config.to_dict(),
        "reader": READER,
        "libsndfile": soundfile.__libsndfile_version__,
        "soxr": soxr.__version__,
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]


def _try_read(sha256: str, path: Path, sample_rate: int, seconds: float):
    """(sha256, samples, None), or (sha256, None, reason)."""
    try:
        return sha256, audio.read(path, sample_rate, seconds=seconds), None
    except audio.AudioError as error:
        return sha256, None, error.reason


def _batches(clips: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
    clips = iter(clips)
    while batch := list(islice(clips, BATCH)):
        yield batch
