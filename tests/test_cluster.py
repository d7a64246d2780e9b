"""Scans, features, libraries and slicing on a Dask cluster: the same bytes as on one machine."""

import os
import subprocess
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
import soundfile
from conftest import TINY_AUDIO

from vaelab import audio, data, files, library, slicing
from vaelab.audio import built_in_tape, workers
from vaelab.datasets import cutting, scan_cache
from vaelab.datasets.feature_store import FeatureStore

Client = pytest.importorskip("distributed").Client
HERE = Path(__file__).parent
QUIET = ("--no-dashboard", "--host", "127.0.0.1")


class RefusedError(Exception):
    """No item is refused here."""


def embed(features):
    return features.astype(np.float32).mean(axis=1)[:, ::3] / 255


def die(number):
    """End the worker, as a decoder that crashes does."""
    if number == 3:
        os._exit(1)
    return number


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A client of a scheduler and two workers, each a process of its own, in another folder than this one."""
    folder = tmp_path_factory.mktemp("cluster")
    place = folder / "scheduler.json"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])}
    options = ["--scheduler-file", str(place), *QUIET]

    def start(name, *more):
        command = [sys.executable, "-m", f"distributed.cli.{name}", *options, *more]
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)

    with (folder / "log").open("wb") as log:
        running = [start("dask_scheduler", "--port", "0")]
        running += [start("dask_worker", "--nthreads", "1", "--local-directory", str(folder)) for _ in range(2)]
        try:
            ended = time.monotonic() + 60
            while not place.exists():
                assert time.monotonic() < ended, (folder / "log").read_text()
                time.sleep(0.1)
            with Client(scheduler_file=str(place)) as client:
                client.wait_for_workers(2, timeout=60)
                yield client
        finally:
            for process in running[::-1]:
                process.terminate()
            for process in running[::-1]:
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


@pytest.fixture(params=[60, pytest.param(1000, marks=pytest.mark.slow)])
def root(request, tmp_path, monkeypatch):
    """So many sounds of different lengths, a tape, and a file that is no sound, as if all had been there for long."""
    monkeypatch.setattr(scan_cache, "SETTLED_NS", -10_000_000_000)
    root = tmp_path / "sounds"
    rng = np.random.default_rng(0)
    for number in range(request.param):
        path = root / ("a" if number % 2 else "b") / f"{number:04d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * rng.standard_normal(rng.integers(400, 4000)), 8000)
    soundfile.write(root / "a" / "tape.wav", built_in_tape.perform(20, 1, 8000).samples, 8000)
    (root / "b" / "text.wav").write_text("no sound")
    return root


def everything(root, home):
    """Hashes of the manifest, the store's shards and the libraries made of a folder."""
    dataset = data.make_dataset([root], "set", classes=True, home=home, progress=False)
    store = FeatureStore(home / ".store", TINY_AUDIO)
    assert store.build({entry.sha256: dataset.source(entry) for entry in dataset.entries}, progress=False) == {}
    listener = library.Listener(embed, TINY_AUDIO, "model")
    for slicer in (None, slicing.slice_file):
        opened = library.build(root, listener, home / ".libraries", slicer=slicer, progress=False)
        assert len(opened.skipped) >= 1
    kept = [path for path in sorted(home.rglob("*")) if path.is_file() and path.name != "seen.json"]
    return {str(path.relative_to(home)): files.content_hash(path) for path in kept}


def test_tapes_are_cut_by_the_workers(client, tmp_path, monkeypatch):
    tapes = [tmp_path / f"tape {number}.wav" for number in range(3)]
    for seed, tape in enumerate(tapes):
        audio.write(tape, built_in_tape.perform(8, seed, 8000).samples, 8000)
    assert list(cutting.cut_tapes(tapes, [tmp_path / "here" / tape.stem for tape in tapes])) == 3 * [None]
    monkeypatch.setattr(cutting, "cut_tape", None)  # nothing is cut in the session
    monkeypatch.chdir(tmp_path)  # a relative folder is this one's
    with joblib.parallel_config("dask"):
        assert list(cutting.cut_tapes(tapes, [Path("there") / tape.stem for tape in tapes])) == 3 * [None]
    here, there = (
        {str(path.relative_to(folder)): files.content_hash(path) for path in folder.rglob("*.*")}
        for folder in (tmp_path / "here", tmp_path / "there")
    )
    assert here == there
    assert len(here) > 2 * len(tapes)


def test_a_cluster_makes_the_same_bytes(client, root, tmp_path):
    here = everything(root, tmp_path / "here")
    with joblib.parallel_config("dask"):
        there = everything(root, tmp_path / "there")
    assert here == there
    assert {Path(name).suffix for name in here} >= {".npy", ".json", ".safetensors"}


def test_the_workers_of_the_cluster_do_it(client):
    with joblib.parallel_config("dask"):
        spread = set(workers.outcomes(os.getpid, [()] * 20, RefusedError))
        long = set(workers.on_a_cluster(os.getpid, [()] * 20, RefusedError))
    processes = {(process, None) for process in client.run(os.getpid).values()}
    assert spread <= processes
    assert long <= processes
    assert set(workers.on_a_cluster(os.getpid, [()], RefusedError)) == {(os.getpid(), None)}


@pytest.mark.slow
def test_a_file_that_ends_workers_is_left_out(client):
    """Dask tries it four times; it ends no more than that."""
    with joblib.parallel_config("dask"):
        results = list(workers.outcomes(die, [(number,) for number in range(6)], RefusedError, chunk=2))
    assert [number for number, _ in results] == [0, 1, 2, None, 4, 5]
    assert results[3][1] == workers.DIED
