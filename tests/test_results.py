"""The committed results: of today's questions, with what they were made from, and the same when made again."""

import json

import pytest

from experiments.common import measures, results
from experiments.quality import run

RESULTS = sorted(results.RESULTS.glob("*.json"))


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("question", run.questions())
def test_results_are_of_the_knobs_that_are_asked_for(question):
    """A knob whose default changed since would make the table tell of something that no longer runs.

    Classifiers, and what they hear, change nothing in a run without labels.
    """
    asked, outcome = run.read(question), read(results.RESULTS / f"{question}.json")
    runs = {one["name"]: run.config_of(asked, one).to_dict() for one in asked["runs"]}
    assert {record["run"] for record in outcome["records"]} == set(runs)
    for record in outcome["records"]:
        for part, knobs in runs[record["run"]].items():
            hearing = {"cepstra", "timbre"}
            known = {name: knobs[name] for name in record["config"][part] if name in knobs.keys() - hearing}
            assert known == {name: record["config"][part][name] for name in known}


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_results_name_versions_and_command(path):
    outcome = read(path)
    assert {"vaelab", "jax", "flax", "numpy"} <= set(outcome["versions"])
    assert outcome["command"].startswith("python -m experiments.")
    if "records" in outcome:
        assert len(outcome["data"]["hash"]) == 16


def test_the_hash_of_sounds_follows_names_and_contents(tmp_path):
    (tmp_path / "sounds").mkdir()
    assert measures.real_sounds_hash([tmp_path / "sounds"]) is None
    (tmp_path / "sounds" / "a.wav").write_bytes(b"one")
    first = measures.real_sounds_hash([tmp_path / "sounds"])
    (tmp_path / "sounds" / "a.wav").write_bytes(b"two")
    second = measures.real_sounds_hash([tmp_path / "sounds"])
    (tmp_path / "sounds" / "a.wav").rename(tmp_path / "sounds" / "c.wav")
    assert len({first, second, measures.real_sounds_hash([tmp_path / "sounds"])}) == 3


@pytest.mark.parametrize("name", ["classify", "classify_kits"])
def test_shares_are_numbers(name):
    """Not texts, which a picture would set side by side as if they were names."""
    for title, *cells in read(results.RESULTS / f"{name}.json")["rows"]:
        assert all(isinstance(cell, float) and 0 <= cell <= 1 for cell in cells), title
