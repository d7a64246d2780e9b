"""The feature store: incremental, never misread, safe under two writers, sudden death and a full disk."""

import errno
import json
import os
import random
import re
import resource
import signal
import time
import tracemalloc

import numpy as np
import pytest
from conftest import TINY_AUDIO
from faults import builders
from faults.building import Builders

from vaelab import files, spectral
from vaelab.audio import decoders
from vaelab.config import AudioConfig
from vaelab.datasets import feature_store
from vaelab.datasets.feature_store import FeatureStore

try:
    import fcntl
except ImportError:
    fcntl = None

SOUNDS = 150
ROWS_A_SHARD = 32


@pytest.fixture(scope="module")
def wavs(tmp_path_factory):
    """Content hash -> path of many short sounds."""
    folder = tmp_path_factory.mktemp("many") / "wavs"
    folder.mkdir()
    for seed in range(SOUNDS):
        (folder / f"{seed:03d}.wav").write_bytes(builders.encode(builders.tone(seed, 0.2, 8000), "WAV", rate=8000))
    return {files.content_hash(path): path for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def processes(wavs):
    """Starts processes that build."""
    helper = Builders(next(iter(wavs.values())).parent)
    yield helper
    helper.close()


@pytest.fixture(scope="module")
def undisturbed(wavs, processes, tmp_path_factory):
    """Features of all, built in one go by a process of its own, and the seconds that this took."""
    home = tmp_path_factory.mktemp("undisturbed")
    seconds = processes.finish(processes.start(home, ROWS_A_SHARD))
    return FeatureStore(home, TINY_AUDIO).rows(list(wavs)), seconds


def assert_complete(home, wavs, undisturbed):
    """A store holds every sound with the bytes of an undisturbed run, and nothing besides its shards."""
    found = FeatureStore(home, TINY_AUDIO)
    assert len(found) == len(wavs)
    assert found.rows(list(wavs)).tobytes() == undisturbed[0].tobytes()
    assert_clean(found.folder)


def assert_clean(folder):
    names = sorted(path.name for path in folder.iterdir())
    stems = {name.partition(".")[0] for name in names} - {""}
    assert names == sorted([".lock", *(f"{stem}{end}" for stem in stems for end in (".npy", ".json"))])


def test_rows_come_in_the_order_asked_for(wavs, undisturbed, tmp_path):
    built = FeatureStore(tmp_path, TINY_AUDIO)
    assert built.build(wavs, progress=False) == {}
    hashes = list(wavs)[::-7]
    features = built.rows(hashes)
    assert features.dtype == np.uint8
    assert features.shape == (len(hashes), TINY_AUDIO.frames, TINY_AUDIO.n_mels)
    assert np.array_equal(features, undisturbed[0][::-7])


def test_a_shard_with_levels_of_before_is_read(wavs, tmp_path):
    first = dict(list(wavs.items())[:5])
    before = FeatureStore(tmp_path, TINY_AUDIO)
    before.build(first, progress=False)
    (index,) = before.folder.glob("*.json")
    altered(level_db=[-20.0] * 5)(index)
    again = FeatureStore(tmp_path, TINY_AUDIO)
    assert np.array_equal(again.rows(list(first)), before.rows(list(first)))


def test_adding_ten_computes_ten(wavs, undisturbed, tmp_path, monkeypatch):
    decoded = []
    outcomes = feature_store.workers.outcomes
    monkeypatch.setattr(
        feature_store.workers,
        "outcomes",
        lambda function, items, *more, **options: decoded.extend(items) or outcomes(function, items, *more, **options),
    )
    hashes = list(wavs)
    first = FeatureStore(tmp_path, TINY_AUDIO)
    first.build({sha256: wavs[sha256] for sha256 in hashes[:-10]}, progress=False)
    assert len(decoded) == SOUNDS - 10
    decoded.clear()
    again = FeatureStore(tmp_path, TINY_AUDIO)
    again.build(wavs, progress=False)
    assert [item[-1] for item in decoded] == hashes[-10:]
    decoded.clear()
    assert again.build(wavs, progress=False) == {}
    assert decoded == []
    assert_complete(tmp_path, wavs, undisturbed)


def test_a_rows_bytes_do_not_depend_on_its_neighbours(wavs, undisturbed, tmp_path):
    hashes = list(wavs)
    lonely = FeatureStore(tmp_path / "lonely", TINY_AUDIO)
    for sha256 in hashes[:2]:
        lonely.build({sha256: wavs[sha256]}, progress=False)
    shuffled = FeatureStore(tmp_path / "shuffled", TINY_AUDIO)
    shuffled.build(dict(random.Random(1).sample(sorted(wavs.items()), SOUNDS)), progress=False)
    assert np.array_equal(lonely.rows(hashes[:2]), undisturbed[0][:2])
    assert np.array_equal(shuffled.rows(hashes), undisturbed[0])


@pytest.mark.parametrize("seconds", [0.05, 0.11, 0.2, 0.24, 0.49, 0.6])
@pytest.mark.parametrize("gain", [1.0, 1e-3, 0.0])
def test_rows_are_the_front_ends_features_at_any_length_and_level(seconds, gain, tmp_path):
    """Short sounds take a shorter way, also those so quiet that silence is not far below them."""
    path = tmp_path / "sound.wav"
    samples = gain * builders.tone(1, seconds, 8000)
    path.write_bytes(builders.encode(samples, "WAV", "FLOAT", 8000))
    built = FeatureStore(tmp_path / "store", TINY_AUDIO)
    sha256 = files.content_hash(path)
    assert built.build({sha256: path}, progress=False) == {}
    features = built.rows([sha256])
    expected, _ = spectral.mel(spectral.fit_length(samples[:, 0], TINY_AUDIO)[None], TINY_AUDIO)
    assert np.abs(features.astype(int) - np.asarray(spectral.quantise(expected)).astype(int)).max() <= 1
    assert np.abs(np.asarray(expected) * 255 - features).max() < 0.51


def test_a_file_that_changed_or_went_is_named_and_not_misread(wavs, tmp_path):
    changed, gone, kept = tmp_path / "changed.wav", tmp_path / "gone.wav", next(iter(wavs.values()))
    for seed, path in ((1001, changed), (1002, gone)):
        path.write_bytes(builders.encode(builders.tone(seed, 0.2, 8000), "WAV", rate=8000))
    sounds = {files.content_hash(path): path for path in (changed, gone, kept)}
    changed.write_bytes(builders.encode(builders.tone(1003, 0.2, 8000), "WAV", rate=8000))
    gone.unlink()
    built = FeatureStore(tmp_path / "store", TINY_AUDIO)
    failed = built.build(sounds, progress=False)
    reasons = [failed.get(sha256) for sha256 in sounds]
    assert re.match("expected the content of the dataset, found another; run make-dataset again", reasons[0])
    assert re.match("expected a sound file, found none that can be opened: No such file", reasons[1])
    assert reasons[2] is None
    assert [sha256 in built for sha256 in sounds] == [False, False, True]
    with pytest.raises(KeyError):
        built.rows(list(sounds))


def test_reading_rows_takes_the_memory_of_those_rows(wavs, tmp_path, monkeypatch):
    """A batch from a large store costs a batch, as shards are maps of their files."""
    monkeypatch.setattr(feature_store, "SHARD_ROWS", ROWS_A_SHARD)
    built = FeatureStore(tmp_path, TINY_AUDIO)
    built.build(wavs, progress=False)
    some = list(wavs)[::40]
    reader = FeatureStore(tmp_path, TINY_AUDIO)
    tracemalloc.start()
    features = reader.rows(some)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < features.nbytes + 4096 < len(wavs) * features[0].nbytes


def test_another_config_never_meets_these_rows(wavs, tmp_path):
    few = dict(list(wavs.items())[:3])
    FeatureStore(tmp_path, TINY_AUDIO).build(few, progress=False)
    other = FeatureStore(
        tmp_path, AudioConfig(sample_rate=8000, clip_seconds=0.5, n_fft=256, hop_length=128, n_mels=20)
    )
    assert len(other) == 0
    other.build(few, progress=False)
    assert other.rows(list(few)).shape == (3, TINY_AUDIO.frames, 20)


def test_another_decoder_computes_anew(wavs, tmp_path, monkeypatch):
    few = dict(list(wavs.items())[:3])
    FeatureStore(tmp_path, TINY_AUDIO).build(few, progress=False)
    monkeypatch.setattr(decoders, "version", lambda path: "libsndfile 9.9")
    newer = FeatureStore(tmp_path, TINY_AUDIO)
    assert len(newer) == 0
    newer.build(few, progress=False)
    assert len(newer) == len(FeatureStore(tmp_path, TINY_AUDIO)) == 3
    assert len(list(newer.folder.glob("*.npy"))) == 2


def cut(path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def pipe(path) -> None:
    path.unlink()
    os.mkfifo(path)


def altered(**changes):
    return lambda path: path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# What befalls the rows or the index of a shard of five.
DAMAGES = {
    "cut rows": (".npy", cut),
    "cut index": (".json", cut),
    "no rows": (".npy", lambda path: path.unlink()),
    "empty rows": (".npy", lambda path: path.write_bytes(b"")),
    "rows of objects": (".npy", lambda path: np.save(path, np.array([{}] * 5, object), allow_pickle=True)),
    "a pipe for rows": (".npy", pipe),
    "a nested index": (".json", lambda path: path.write_text("[" * 100_000)),
    "a list for an index": (".json", lambda path: path.write_text("[]")),
    "no hashes": (".json", altered(sha256="abcde")),
}


@pytest.mark.parametrize(("suffix", "damage"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_shard_is_told_and_replaced(suffix, damage, wavs, tmp_path):
    few = dict(list(wavs.items())[:5])
    built = FeatureStore(tmp_path, TINY_AUDIO)
    built.build(few, progress=False)
    before = built.rows(list(few))
    (victim,) = built.folder.glob(f"*{suffix}")
    damage(victim)
    with pytest.warns(UserWarning, match=r"json: expected a shard of features, found a damaged one .* computed again"):
        again = FeatureStore(tmp_path, TINY_AUDIO)
    assert len(again) == 0
    again.build(few, progress=False)
    assert np.array_equal(again.rows(list(few)), before)
    assert_clean(again.folder)
    assert len(FeatureStore(tmp_path, TINY_AUDIO)) == 5


def flipped(path, bit: int) -> None:
    """Flip one bit of a file."""
    body = bytearray(path.read_bytes())
    body[bit // 8] ^= 1 << bit % 8
    path.write_bytes(body)


def checked_rows(home, sounds) -> int:
    """Rows of a store whose shards of some sounds were compared with their checksums."""
    store = FeatureStore(home, TINY_AUDIO)
    store._check_rows(sounds)
    return len(store)


@pytest.mark.parametrize("suffix", [".npy", ".json"])
def test_a_flipped_bit_in_any_shard_is_told_and_its_sounds_made_again(suffix, wavs, undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_store, "SHARD_ROWS", ROWS_A_SHARD)
    FeatureStore(tmp_path, TINY_AUDIO).build(wavs, progress=False)
    rng = random.Random(3)
    shards = sorted(FeatureStore(tmp_path, TINY_AUDIO).folder.glob(f"*{suffix}"))
    assert len(shards) == 5
    for shard in shards:
        flipped(shard, rng.randrange(8 * shard.stat().st_size))
        with pytest.warns(UserWarning, match=f"{shard.stem}.json: expected a shard of .* a damaged one") as told:
            FeatureStore(tmp_path, TINY_AUDIO).build(wavs, progress=False)
        assert len(told) == 1
        assert "\n" not in str(told[0].message)
        assert_complete(tmp_path, wavs, undisturbed)


@pytest.mark.parametrize(("suffix", "most"), [(".npy", 8 * 160), (".json", 8 * 1000)], ids=["header", "index"])
def test_every_bit_of_header_and_index_counts(suffix, most, wavs, tmp_path):
    few = dict(list(wavs.items())[:2])
    FeatureStore(tmp_path, TINY_AUDIO).build(few, progress=False)
    (victim,) = FeatureStore(tmp_path, TINY_AUDIO).folder.glob(f"*{suffix}")
    for bit in range(min(most, 8 * victim.stat().st_size)):
        flipped(victim, bit)
        with pytest.warns(UserWarning, match="a damaged one"):
            assert checked_rows(tmp_path, few) == 0
        flipped(victim, bit)
    assert len(FeatureStore(tmp_path, TINY_AUDIO)) == 2


def test_a_store_goes_on_after_it_made_a_damaged_shard_again(wavs, tmp_path):
    """What it made again is no longer damaged, and is not swept up."""
    hashes = list(wavs)
    few = {sha256: wavs[sha256] for sha256 in hashes[:3]}
    FeatureStore(tmp_path, TINY_AUDIO).build(few, progress=False)
    (rows,) = FeatureStore(tmp_path, TINY_AUDIO).folder.glob("*.npy")
    flipped(rows, 3000)
    store = FeatureStore(tmp_path, TINY_AUDIO)
    with pytest.warns(UserWarning, match="do not fit their checksum"):
        store.build(few, progress=False)
    store.build({hashes[3]: wavs[hashes[3]]}, progress=False)
    assert len(FeatureStore(tmp_path, TINY_AUDIO)) == 4


@pytest.fixture
def bare(wavs, tmp_path):
    """Three sounds whose shard carries no checksum."""
    few = dict(list(wavs.items())[:3])
    FeatureStore(tmp_path, TINY_AUDIO).build(few, progress=False)
    (index,) = FeatureStore(tmp_path, TINY_AUDIO).folder.glob("*.json")
    shard = json.loads(index.read_text())
    del shard["crc32"]
    index.write_text(json.dumps(shard))
    return few


def test_a_shard_of_before_checksums_gets_one(bare, tmp_path):
    """It is told in one line, once; from then on a flipped bit is found."""
    store = FeatureStore(tmp_path, TINY_AUDIO)
    assert len(store) == 3
    with pytest.warns(UserWarning, match="found 1 of before, without; now they have those") as told:
        assert store.build(bare, progress=False) == {}
    assert len(told) == 1
    assert "\n" not in str(told[0].message)
    assert checked_rows(tmp_path, bare) == 3
    flipped(next(store.folder.glob("*.npy")), 3000)
    with pytest.warns(UserWarning, match="do not fit their checksum"):
        assert checked_rows(tmp_path, bare) == 0


def test_a_shard_of_before_checksums_is_read_where_nothing_can_be_written(bare, tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(files, "write_text", refused)
    with pytest.warns(UserWarning, match=r"could not be given any \(.*Read-only file system\), so that damage"):
        assert checked_rows(tmp_path, bare) == 3


@pytest.mark.parametrize("file", [0, 1], ids=["rows", "index"])
def test_a_full_disk_is_told_and_leaves_nothing_half(file, wavs, undisturbed, tmp_path, monkeypatch):
    """The first shard is written; then the disk is full at the second one's rows, or at its index."""
    monkeypatch.setattr(feature_store, "SHARD_ROWS", ROWS_A_SHARD)
    sync, count = files._sync, [0]

    def full(path):
        count[0] += 1
        if count[0] > 2 + file:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(path)

    monkeypatch.setattr(files, "_sync", full)
    built = FeatureStore(tmp_path, TINY_AUDIO)
    with pytest.raises(files.NoRoomError, match=r"(npy|json): expected room to write, found the disk full; what was"):
        built.build(wavs, progress=False)
    assert len(built) == len(FeatureStore(tmp_path, TINY_AUDIO)) == ROWS_A_SHARD
    assert_clean(built.folder)
    monkeypatch.setattr(files, "_sync", sync)
    built.build(wavs, progress=False)
    assert_complete(tmp_path, wavs, undisturbed)


def test_a_write_that_the_system_cuts_short_leaves_nothing(wavs, tmp_path):
    """Here the kernel itself stops the write after 2000 bytes."""
    built = FeatureStore(tmp_path, TINY_AUDIO)
    built.build(dict(list(wavs.items())[:1]), progress=False)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limit[1]))
    try:
        with pytest.raises(files.NoRoomError, match="expected room to write, found the disk full"):
            built.build(wavs, progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert len(FeatureStore(tmp_path, TINY_AUDIO)) == 1
    assert_clean(built.folder)


@pytest.mark.skipif(fcntl is None, reason="this system has no file locks; leftovers stay there")
def test_nothing_is_swept_from_under_another_writer(wavs, tmp_path):
    built = FeatureStore(tmp_path, TINY_AUDIO)
    hashes = list(wavs)
    built.build({hashes[0]: wavs[hashes[0]]}, progress=False)
    unfinished = built.folder / f"{files.TEMPORARY}abc.npy"
    unfinished.write_bytes(b"rows to come")
    with open(built.folder / ".lock", "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        built.build({hashes[1]: wavs[hashes[1]]}, progress=False)
        assert unfinished.exists()
    built.build({hashes[2]: wavs[hashes[2]]}, progress=False)
    assert_clean(built.folder)


def test_two_processes_build_one_store(wavs, undisturbed, processes, tmp_path):
    for pid in [processes.start(tmp_path, ROWS_A_SHARD) for _ in range(2)]:
        processes.finish(pid)
    assert_complete(tmp_path, wavs, undisturbed)


def test_a_process_killed_between_rows_and_index(wavs, undisturbed, processes, tmp_path):
    """It dies at the replacement of the second shard's index: rows stand there that nobody may read."""
    assert processes.status(processes.start(tmp_path, ROWS_A_SHARD, die_at=3)) == -signal.SIGKILL
    left = FeatureStore(tmp_path, TINY_AUDIO)
    assert len(left) == ROWS_A_SHARD
    assert len([path for path in left.folder.glob("*.npy") if not path.name.startswith(".")]) == 2
    assert list(left.folder.glob(f"{files.TEMPORARY}*.json"))
    left.build(wavs, progress=False)
    assert_complete(tmp_path, wavs, undisturbed)


def kill_and_complete(wavs, undisturbed, processes, home, kills: int, seed: int) -> None:
    """Kill builders at random times, then let one finish."""
    rng = random.Random(seed)
    for _ in range(kills):
        pid = processes.start(home, ROWS_A_SHARD)
        time.sleep(rng.uniform(0, undisturbed[1]))
        os.kill(pid, signal.SIGKILL)
        processes.status(pid)
        FeatureStore(home, TINY_AUDIO)  # whatever is left can be read, without a warning
    FeatureStore(home, TINY_AUDIO).build(wavs, progress=False)
    assert_complete(home, wavs, undisturbed)


def test_two_random_kills(wavs, undisturbed, processes, tmp_path):
    kill_and_complete(wavs, undisturbed, processes, tmp_path, kills=2, seed=0)


@pytest.mark.slow
def test_fifty_random_kills(wavs, undisturbed, processes, tmp_path):
    """Ten stores, each built over the ruins of five killed builders."""
    for seed in range(10):
        kill_and_complete(wavs, undisturbed, processes, tmp_path / str(seed), kills=5, seed=1 + seed)
