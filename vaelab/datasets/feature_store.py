"""The feature store: each sound's mel features computed once, kept as uint8 and read as memory maps.

Rows are addressed by (content hash, audio config, reader and its version). A folder `STORE/KEY/` holds shards that
are only ever added: `NAME.npy`, uint8 (rows, frames, mels), and `NAME.json`: its hashes and decoder, of which NAME is
a hash, and the CRC-32 of the other file. The JSON is written last, so a shard counts once it is complete. Indexes are
checked when a store is opened, rows when `build` is asked for one of them; shards of before, which carry no checksum,
then get one.

Features come from padded batches of one fixed size, so that a row's bytes do not depend on its neighbours. Any number
of processes may write at once: they adopt each other's shards, and a row that two of them compute has the same bytes.
What a killed writer leaves is swept up by the next one that is alone.
"""

import hashlib
import io
import json
import math
import warnings
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tokenize import TokenError

import numpy as np
import soxr

from vaelab import audio, files
from vaelab.audio import decoders, workers
from vaelab.config import AudioConfig
from vaelab.datasets.feature_rows import BATCH, computed
from vaelab.progress import progress_bar

READER = 5  # raise when audio.read_clip or spectral.mel changes, or older shards cannot be read any more
SHARD_ROWS = 512
CLIPS_BYTES = 192 << 20  # of decoded clips that may wait for the front end
DECODED_TOGETHER = 8  # files per message to a worker
INDEX_KEYS = {"decoder", "sha256", "crc32", "level_db"}  # shards of before have levels, and some no checksum
UNREADABLE = (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, RecursionError, TokenError)


class FeatureStore:
    """Features of sounds for one audio config.

    Attributes:
        folder: Where the shards are.
        config: The front end.
    """

    def __init__(self, home: str | Path, config: AudioConfig):
        self.config = config
        self.folder = Path(home) / store_key(config)
        self._rows: dict[str, tuple[str, int]] = {}
        self._maps: dict[str, np.ndarray] = {}
        self._unchecked: dict[str, int | None] = {}  # checksums of shards whose rows were not compared with them yet
        self._seen: set[str] = set()
        self._damaged: set[str] = set()
        self._adopt_new()

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def build(self, sounds: Mapping[str, Path], progress: bool = True) -> dict[str, str]:
        """Compute what is missing of the sounds, a path for each content hash; show a bar.

        A damaged shard that holds one of them is told by a warning and counts as missing.

        Returns:
            The reason for each content hash that could not be computed, also for that of a file which has changed.

        Raises:
            files.NoRoomError: The disk is full; what was stored before is intact.
        """
        self._check_rows(sounds)
        missing = {sha256: path for sha256, path in sounds.items() if sha256 not in self}
        failed: dict[str, str] = {}
        if not missing:
            return failed
        bar = progress_bar(show=progress, total=len(missing), desc="features", unit="sound")
        with bar, files.writing_in(self.folder, self._sweep):
            for decoder, hashes in self._parts(missing):
                self._adopt_new()
                wanted = {sha256: missing[sha256] for sha256 in hashes if sha256 not in self}
                bar.update(len(hashes) - len(wanted))
                self._write_shard(decoder, self._decode(wanted, failed, bar))
        return failed

    def rows(self, hashes: Sequence[str]) -> np.ndarray:
        """Stored features, uint8 (n, frames, mels), in the order of `hashes`; a KeyError for one that was not built."""
        features = np.empty((len(hashes), self.config.frames, self.config.n_mels), np.uint8)
        for position, sha256 in enumerate(hashes):
            shard, row = self._rows[sha256]
            features[position] = self._maps[shard][row]
        return features

    def _parts(self, sounds: Mapping[str, Path]) -> Iterator[tuple[str, list[str]]]:
        """Hashes by what decodes their files, in parts of one shard."""
        by_decoder: dict[str, list[str]] = defaultdict(list)
        for sha256, path in sounds.items():
            by_decoder[decoders.version(path) or ""].append(sha256)
        fitting = CLIPS_BYTES // (4 * self.config.samples)
        rows = min(SHARD_ROWS, max(BATCH, fitting // BATCH * BATCH))
        for decoder, hashes in by_decoder.items():
            for start in range(0, len(hashes), rows):
                yield decoder, hashes[start : start + rows]

    def _decode(self, sounds: Mapping[str, Path], failed: dict[str, str], bar) -> Iterator[tuple[str, np.ndarray]]:
        """Hash and samples of each sound that can be read, in order; the reasons of the others go to `failed`."""
        config = self.config
        items = [(path, config.sample_rate, None, config.clip_seconds, sha256) for sha256, path in sounds.items()]
        outcomes = workers.outcomes(audio.read_clip, items, audio.AudioError, DECODED_TOGETHER, len(items))
        for sha256, (clip, reason) in zip(sounds, outcomes, strict=True):
            bar.update()
            if reason is None:
                yield sha256, clip[1]
            else:
                failed[sha256] = reason

    def _write_shard(self, decoder: str, decoded: Iterable[tuple[str, np.ndarray]]) -> None:
        batches = list(computed(decoded, self.config))
        if not batches:
            return
        hashes = [sha256 for keys, _ in batches for sha256 in keys]
        name = _shard_name(decoder, hashes)
        rows, index = self.folder / f"{name}.npy", self.folder / f"{name}.json"
        buffer = io.BytesIO()
        np.save(buffer, np.concatenate([features for _, features in batches]))
        checksum = zlib.crc32(buffer.getbuffer())
        with files.replacing(rows) as temporary:
            temporary.write_bytes(buffer.getbuffer())
        try:
            files.write_text(index, json.dumps({"decoder": decoder, "sha256": hashes, "crc32": checksum}))
        except OSError:
            if not index.exists():  # another writer may have finished the same shard
                rows.unlink(missing_ok=True)
            raise
        self._adopt(index)

    def _adopt_new(self) -> None:
        """Take in the shards that were written since the last look."""
        for index in sorted(self.folder.glob("*.json")):
            if index.stem not in self._seen and not index.name.startswith(files.TEMPORARY):
                self._adopt(index)

    def _adopt(self, index: Path) -> None:
        """Take in one shard, unless another version of a decoder made it."""
        self._seen.add(index.stem)
        rows = index.with_suffix(".npy")
        try:
            if not (index.is_file() and rows.is_file()):  # a pipe would be waited for
                raise ValueError("rows and index are not both there as files")
            shard = json.loads(index.read_text(encoding="ascii"))
            hashes, decoder = shard["sha256"], shard["decoder"]
            features = _mapped(rows)
            self._check(index.stem, shard, features)
        except files.NoMapError:
            raise
        except UNREADABLE as error:  # numpy raises a TokenError for a header that is none
            self._report_damage(index.stem, error)
            return
        self._damaged.discard(index.stem)
        if decoder not in (decoders.version("sound.wav"), decoders.version("sound.m4a")):
            return
        self._maps[index.stem] = features
        self._unchecked[index.stem] = shard.get("crc32")
        self._rows |= {sha256: (index.stem, row) for row, sha256 in enumerate(hashes)}

    def _check(self, name: str, shard: dict, features: np.ndarray) -> None:
        hashes = shard["sha256"]
        expected = (len(hashes), self.config.frames, self.config.n_mels)
        if not all(isinstance(sha256, str) and len(sha256) == 64 for sha256 in hashes):
            raise ValueError("what should be content hashes is none")
        if unknown := shard.keys() - INDEX_KEYS:
            raise ValueError(f"unknown keys {sorted(unknown)}")
        if name != _shard_name(shard["decoder"], hashes):
            raise ValueError("its hashes or its decoder are not those that it is named by")
        if features.dtype != np.uint8 or features.shape != expected:
            raise ValueError(f"expected uint8 of shape {expected}, found {features.dtype} of shape {features.shape}")

    def _check_rows(self, wanted: Iterable[str]) -> None:
        """Compare the shards of some sounds with their checksums, each once; forget the rows of damaged ones."""
        shards = {self._rows[sha256][0] for sha256 in wanted if sha256 in self._rows}
        bare = []
        for name in sorted(shards & self._unchecked.keys()):
            actual, checksum = zlib.crc32(self._maps[name].base), self._unchecked.pop(name)  # with the file's header
            if checksum is None:
                bare.append((name, actual))
            elif actual != checksum:
                del self._maps[name]
                self._rows = {sha256: place for sha256, place in self._rows.items() if place[0] != name}
                self._report_damage(name, "its rows do not fit their checksum")
        if bare:
            self._add_checksums(bare)

    def _add_checksums(self, shards: Sequence[tuple[str, int]]) -> None:
        """Give shards of before the checksums of their rows as they are, told in one line."""
        outcome = "now they have those of their rows as they are; to compute these features anew, remove the folder"
        try:
            for name, checksum in shards:
                index = self.folder / f"{name}.json"
                files.write_text(index, json.dumps(json.loads(index.read_text("ascii")) | {"crc32": checksum}))
        except OSError as error:
            outcome = f"they could not be given any ({error}), so that damage to their rows would not be noticed"
        warnings.warn(
            f"{self.folder}: expected shards of features with checksums, found {len(shards)} of before, without; "
            f"{outcome}",
            stacklevel=3,
        )

    def _report_damage(self, name: str, reason: Exception | str) -> None:
        self._damaged.add(name)
        warnings.warn(
            f"{self.folder / name}.json: expected a shard of features, found a damaged one ({reason}); its sounds are "
            "computed again",
            stacklevel=2,
        )

    def _sweep(self) -> None:
        """Remove what writers that were killed left: unfinished files, rows without index, damaged shards."""
        for path in sorted(path for path in self.folder.iterdir() if not path.is_dir()):
            orphan = path.suffix == ".npy" and not path.with_suffix(".json").exists()
            if path.name.startswith(files.TEMPORARY) or orphan or path.stem in self._damaged:
                path.unlink(missing_ok=True)


def store_key(config: AudioConfig) -> str:
    """The name of a config's shards: a hash of what decides a row's bytes besides the sound and its decoder."""
    decides = {"audio": config.to_dict(), "reader": READER, "soxr": soxr.__version__}
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]


def _shard_name(decoder: str, hashes: Sequence[str]) -> str:
    return hashlib.sha256("".join([decoder, *hashes]).encode()).hexdigest()[:32]


def _mapped(path: Path) -> np.ndarray:
    """The array in a .npy file as a map of the file; its `base` leads to all of the file's bytes."""
    body = files.mapped(path)
    if np.lib.format.read_magic(body) != (1, 0):
        raise ValueError("expected an array of format 1.0, found another")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(body)
    if fortran or dtype != np.uint8:
        raise ValueError(f"expected rows of uint8, found {dtype}")
    return np.frombuffer(body, np.uint8)[body.tell() :][: math.prod(shape)].reshape(shape)
