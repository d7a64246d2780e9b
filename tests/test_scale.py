"""Many files: bounded memory for each, and adding ten costs ten, in the scan and in the store."""

import tracemalloc
from pathlib import Path

import pytest
from conftest import TINY_AUDIO

from experiments.speed import scale
from vaelab.data import make_dataset
from vaelab.datasets import scan_cache

BYTES_A_FILE = 4000  # of the session's own memory while it makes a dataset; 2,600 when measured


@pytest.fixture(scope="module")
def costs(tmp_path_factory):
    """Every step of the measurement on 2000 files; its memory beyond what this process had taken before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan_cache, "SETTLED_NS", 100_000_000)
        patch.setattr(scale, "SETTLED_NS", 200_000_000)
        patch.setattr(scale, "AudioConfig", lambda: TINY_AUDIO)
        before = scale.tree_memory()
        steps = scale.run(2000, 300, tmp_path_factory.mktemp("scale"))
    for cost in steps.values():
        cost.peak -= before
    return steps


def test_adding_ten_decodes_ten_in_scan_and_store(costs):
    assert {step: cost.decoded for step, cost in costs.items()} == {
        "scanned and split": 2000,
        "10 added": 10,
        "nothing added": 0,
        "features of 300": 300,
        "of 10 more": 10,
    }


def test_a_second_scan_takes_a_part_of_the_time_and_memory_stays_bounded(costs):
    assert costs["nothing added"].seconds < costs["scanned and split"].seconds
    assert max(cost.peak for cost in costs.values()) < 1e9


def test_memory_for_each_file_is_bounded(tmp_path):
    """What 2000 files take at their peak beyond what 500 take, traced to the byte."""
    peaks = []
    for count in (500, 2000):
        home = tmp_path / str(count)
        scale.write_tree(home / "in", 0, count)
        tracemalloc.start()
        make_dataset([home / "in"], "set", home=home, progress=False)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert 0 < (peaks[1] - peaks[0]) / 1500 < BYTES_A_FILE


def test_the_tree_is_of_readable_sounds_of_their_own(tmp_path):
    scale.write_tree(tmp_path / "in", 0, 300)
    made = make_dataset([tmp_path / "in"], "set", home=tmp_path, progress=False)
    assert (len(made.entries), len(made.skipped)) == (300, 0)
    assert {entry.path.split("/")[0] for entry in made.entries} == {"pack 00000", "pack 00001"}
    assert {Path(entry.path).suffix for entry in made.entries} == {".wav", ".aiff", ".flac"}
