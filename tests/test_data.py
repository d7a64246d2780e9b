"""Datasets: what is scanned, labelled, split, reported and kept; and what is refused."""

import contextlib
import json
import os
import re
import subprocess
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from faults import builders

from experiments.common.real_sounds import KITS as KIT_NAMES
from vaelab import cli, data
from vaelab.audio import riff
from vaelab.data import DatasetError, load_dataset, make_dataset, sound_files
from vaelab.datasets import hydrogen, scan, splitting

KITS = Path("/usr/share/hydrogen/data/drumkits")
needs_kits = pytest.mark.skipif(not KITS.is_dir(), reason="Hydrogen's drum kits are not installed: hydrogen-drumkits")
KIT = """<?xml version="1.0" encoding="UTF-8"?>
<drumkit_info xmlns="http://www.hydrogen-music.org/drumkit"><name>Shed &amp; Sons</name><instrumentList>
<instrument><filename>a.wav</filename><name>Kick 1</name></instrument>
<instrument><name>Hi-Hat Closed (old)</name><layer><filename>b.wav</filename></layer></instrument>
<instrument><name>Snare</name><instrumentComponent><layer><filename>c.wav</filename></layer></instrumentComponent>
</instrument><instrument><name>Zap</name><layer><filename>d.wav</filename></layer></instrument>
</instrumentList></drumkit_info>"""


def put(root: Path, *names: str, start: int = 0) -> Path:
    """Short sounds, each of its own content."""
    for seed, name in enumerate(names, start):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(builders.encode(builders.tone(seed, 0.02, 8000), "WAV", rate=8000))
    return root


def make(roots, home, **options):
    roots = roots if isinstance(roots, list) else [roots]
    return make_dataset(roots, "set", home=home, progress=False, **options)


def sides(dataset) -> dict[str, str]:
    return {entry.path: entry.split for entry in dataset.entries}


def labels(dataset) -> dict[str, str | None]:
    return {entry.path: entry.label for entry in dataset.entries}


def test_classes_are_folders_and_each_is_split_by_ratio(tmp_path):
    names = [f"{kind}/{i}.wav" for kind, count in (("kick", 20), ("snare", 10), ("gong", 1)) for i in range(count)]
    made = make(put(tmp_path / "in", *names, "loose.wav"), tmp_path / "out", classes=True, train_ratio=0.8)
    held_out = Counter(entry.label for entry in made.side("validation"))
    assert held_out == {"kick": 4, "snare": 2}
    assert made.class_names == ("gong", "kick", "snare")
    assert labels(made)["loose.wav"] is None
    report = made.report()
    assert "3 classes: gong 1, kick 20, snare 10; unlabelled 1" in report
    assert "nothing to hold out, all in train: gong" in report
    assert load_dataset("set", tmp_path / "out") == made


def test_the_split_is_a_function_of_seed_and_content(tmp_path):
    names = [f"{i}.wav" for i in range(30)]
    first = make(put(tmp_path / "in", *names), tmp_path / "1")
    renamed = put(tmp_path / "renamed", *[f"z{29 - i}/{i}.wav" for i in range(30)])
    second = make(renamed, tmp_path / "2")
    by_content = {entry.sha256: entry.split for entry in first.entries}
    assert by_content == {entry.sha256: entry.split for entry in second.entries}
    assert sides(make(tmp_path / "in", tmp_path / "3", seed=1)) != sides(first)


def test_no_content_stands_twice(tmp_path):
    root = put(tmp_path / "in", *[f"a/{i}.wav" for i in range(10)], *[f"b/{i}.wav" for i in range(10)])
    for i in range(10):
        (root / f"c/{i}.wav").parent.mkdir(exist_ok=True)
        (root / f"c/{i}.wav").write_bytes((root / f"a/{i}.wav").read_bytes())
    (root / "b/copy.wav").write_bytes((root / "b/3.wav").read_bytes())
    made = make(root, tmp_path / "out", classes=True)
    hashes = [entry.sha256 for entry in made.entries]
    assert len(hashes) == len(set(hashes)) == 20
    reasons = Counter(skip["reason"] for skip in made.skipped)
    assert reasons == {
        "same content as another file under another label; used once, unlabelled": 10,
        "same content as another file of the dataset": 1,
    }
    assert {entry.label for entry in made.entries} == {None, "b"}


def test_refreshing_keeps_sides_and_fresh_splits_anew(tmp_path):
    root = put(tmp_path / "in", *[f"{i}.wav" for i in range(40)])
    before = sides(make(root, tmp_path / "out"))
    put(root, *[f"new{i}.wav" for i in range(40)], start=100)
    after = sides(make(root, tmp_path / "out", seed=5))
    assert before.items() <= after.items()
    assert sum(side == "validation" for side in after.values()) == 8
    anew = sides(make(root, tmp_path / "out", seed=5, fresh=True))
    assert not before.items() <= anew.items()


def test_whole_packs_stay_on_one_side(tmp_path):
    names = [f"pack{p}/{kind}/{i}.wav" for p in range(10) for kind in ("kick", "snare") for i in range(3)]
    made = make(put(tmp_path / "in", *names), tmp_path / "out", group_by="folder", train_ratio=0.7)
    packs = {side: {entry.path.split("/")[0] for entry in made.side(side)} for side in ("train", "validation")}
    assert not packs["train"] & packs["validation"]
    assert len(packs["validation"]) == 3


def test_packs_below_classes_are_balanced_by_class(tmp_path):
    names = [f"{kind}/pack{p}/{i}.wav" for p in range(10) for kind in ("kick", "snare") for i in range(p + 1)]
    made = make(put(tmp_path / "in", *names), tmp_path / "out", classes=True, group_by="folder", train_ratio=0.8)
    packs = {side: {entry.path.split("/")[1] for entry in made.side(side)} for side in ("train", "validation")}
    assert not packs["train"] & packs["validation"]
    held_out = Counter(entry.label for entry in made.side("validation"))
    assert all(abs(count - 0.2 * 55) <= 10 / 2 for count in held_out.values())  # half of the largest pack


def test_new_sounds_of_a_known_pack_follow_it(tmp_path):
    root = put(tmp_path / "in", *[f"pack{p}/{i}.wav" for p in range(6) for i in range(3)])
    before = make(root, tmp_path / "out", group_by="folder")
    side_of = {entry.path.split("/")[0]: entry.split for entry in before.entries}
    put(root, *[f"pack{p}/new.wav" for p in range(6)], start=100)
    after = make(root, tmp_path / "out", group_by="folder")
    assert all(entry.split == side_of[entry.path.split("/")[0]] for entry in after.entries)


def test_folders_can_be_held_out_by_name(tmp_path):
    root = put(tmp_path / "in", "a/1.wav", "a/deep/2.wav", "b/3.wav", "c/4.wav")
    made = make(root, tmp_path / "out", hold_out=["a", "c"])
    assert sides(made) == {
        "a/1.wav": "validation", "a/deep/2.wav": "validation", "b/3.wav": "train", "c/4.wav": "validation",
    }  # fmt: skip
    by_folder = make(root, tmp_path / "classes", classes=True, hold_out=["a", "c"]).report()
    assert "nothing to hold out, all in train: b" in by_folder
    assert "nothing to train on: a, c" in by_folder
    with pytest.raises(DatasetError, match=r"hold out: expected folders with sounds, found none called 'zebra'"):
        make(root, tmp_path / "out", hold_out=["a", "zebra"])


def test_several_roots_and_any_case(tmp_path):
    one, two = put(tmp_path / "one", "x.WAV"), put(tmp_path / "two", "deep/er/y.Wav", "z.wav", start=5)
    made = make([one, two], tmp_path / "out")
    assert [(entry.root, entry.path) for entry in made.entries] == [(0, "x.WAV"), (1, "z.wav"), (1, "deep/er/y.Wav")]
    assert all(made.source(entry).is_file() for entry in made.entries)


def test_names_that_are_not_utf8_survive_the_manifest(tmp_path):
    root = put(tmp_path / "in", "a.wav", "b.wav")
    strange = os.fsencode(root) + b"/\xff\xfe"
    os.mkdir(strange)
    os.rename(root / "a.wav", strange + b"/\xe9.wav")
    made = make(root, tmp_path / "out", classes=True)
    text = (tmp_path / "out/set/manifest.json").read_bytes()
    assert text.isascii()
    loaded = load_dataset("set", tmp_path / "out")
    assert loaded == made
    (entry,) = [entry for entry in loaded.entries if entry.label]
    assert loaded.source(entry).is_file()
    assert entry.label == r"\xff\xfe"


def test_links_are_followed_once_and_never_in_circles(tmp_path):
    """A link's name is a class; what is searched already, or lies around, is named and not entered again."""
    root = put(tmp_path / "in", "a/1.wav", "b/2.wav")
    elsewhere = put(tmp_path / "elsewhere", "3.wav", "deep/4.wav", start=9)
    (root / "3.wav").symlink_to(elsewhere / "3.wav")
    (root / "out").symlink_to(elsewhere, target_is_directory=True)
    circles = {
        root / "a/back": root,
        root / "again": elsewhere,
        root / "part": elsewhere / "deep",
        root / "sibling": root / "b",
        elsewhere / "deep/back": root / "a",
        elsewhere / "deep/up": elsewhere,
        elsewhere / "top": tmp_path.parent,
        root / "disk": Path("/"),
    }
    for link, target in circles.items():
        link.symlink_to(target, target_is_directory=True)
    names = [str(path.relative_to(root)) for path in sound_files(root)]
    assert names == ["3.wav", "a/1.wav", "again/3.wav", "again/deep/4.wav", "b/2.wav"]
    made = make(root, tmp_path / "out", classes=True)
    reasons = {skip["path"]: skip["reason"] for skip in made.skipped}
    named = [path for path, reason in reasons.items() if "searched anyway, or around it" in reason]
    assert len(named) == len(circles)
    assert len(made.entries) == 4
    assert made.class_names == ("a", "again", "b")


def test_folders_that_cannot_be_listed_are_named(tmp_path, monkeypatch):
    root = put(tmp_path / "in", "a/1.wav", "b/2.wav", "c/3.wav")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    made = make(root, tmp_path / "out")
    assert made.skipped == (
        {"path": "b", "root": 0, "reason": "expected a folder, found none that can be listed: Permission denied"},
    )


def test_deep_trees_are_no_recursion(tmp_path):
    """As deep as names may get; removed at once, as pytest's own cleaning recurses."""
    depth = 1200
    (tmp_path / "in").mkdir()
    here = os.getcwd()
    try:
        os.chdir(tmp_path / "in")
        for _ in range(depth):
            os.mkdir("d")
            os.chdir("d")
        Path("x.wav").write_bytes(builders.sound("WAV"))
        found = [path for path, _ in scan.candidates(tmp_path / "in")]
    finally:
        os.chdir(here)
        subprocess.run(["rm", "-rf", str(tmp_path / "in")], check=True)
    assert found == ["d/" * depth + "x.wav"]


def test_hydrogen_labels_by_instrument_and_by_kit(tmp_path):
    names = [f"{kit}/{name}.wav" for kit in ("shed", "barn", "plain") for name in "abcd"]
    root = put(tmp_path / "in", *names)
    (root / "shed/drumkit.xml").write_text(KIT)
    (root / "barn/drumkit.xml").write_text(KIT.replace("Shed &amp; Sons", "Barn"))
    by_instrument = make(root, tmp_path / "1", labels="hydrogen-instrument", group_by="folder")
    found = {path: label for path, label in labels(by_instrument).items() if path.startswith("shed")}
    assert found == {"shed/a.wav": "kick", "shed/b.wav": "closed_hat", "shed/c.wav": "snare", "shed/d.wav": None}
    assert labels(by_instrument)["plain/a.wav"] is None
    folders = {
        side: {entry.path.split("/")[0] for entry in by_instrument.side(side)} for side in ("train", "validation")
    }
    assert not folders["train"] & folders["validation"]
    by_kit = make(root, tmp_path / "2", labels="hydrogen-kit")
    assert labels(by_kit)["shed/d.wav"] == "Shed & Sons"
    assert by_kit.class_names == ("Barn", "Shed & Sons")


BOMB = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><drumkit_info>&b;</drumkit_info>'
OUTSIDER = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><drumkit_info><name>&a;</name></drumkit_info>'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, "expected a drumkit.xml without document type, found one"),
        (OUTSIDER, "expected a drumkit.xml without document type, found one"),
        ("<drumkit_info><name>", "expected a drumkit.xml, found damaged XML: no element found"),
        ("not XML", "expected a drumkit.xml, found damaged XML: syntax error"),
        ("<html></html>", "expected a drumkit.xml, found one of 'html'"),
        ("<drumkit_info>" + "<a>" * 100, "nested at most 32 deep, found a deeper one"),
        ('<?xml version="1.0" encoding="nonsense"?><drumkit_info/>', "found damaged XML: unknown encoding"),
        (" " * ((4 << 20) + 1), "at most 4 MiB, found a larger one"),
        (f"<drumkit_info><name>{'&amp;' * 800_000}</name>", "names of at most 200 characters, found one of 800000"),
        (KIT.replace("Kick 1", "hat " * 500_000), "names of at most 200 characters, found one of 1999999"),
    ],
)
def test_hostile_kits_are_refused_by_name_and_cost_only_labels(text, reason, tmp_path):
    root = put(tmp_path / "in", "kit/a.wav", "kit/b.wav")
    (root / "kit/drumkit.xml").write_text(text)
    with pytest.raises(hydrogen.KitError, match=reason):
        hydrogen.read_kit(root / "kit/drumkit.xml")
    made = make(root, tmp_path / "out", labels="hydrogen-instrument")
    assert len(made.entries) == 2
    (skip,) = made.skipped
    assert skip["path"] == "kit/drumkit.xml"
    assert re.search(reason, skip["reason"])


def test_a_kit_that_is_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "drumkit.xml")
    with pytest.raises(hydrogen.KitError, match="it is a folder or a special file"):
        hydrogen.read_kit(tmp_path / "drumkit.xml")


@pytest.mark.parametrize(
    ("instrument", "drum_class"),
    [
        ("BassDrum", "kick"),
        ("PowR_BD_1", "kick"),
        ("VariBreaks Snare 2", "snare"),
        ("Snare Rimshot (Pearl Free Floating Maple 14x3.5)", "rim"),
        ("Pearl Side Stick", "rim"),
        ("f#3 - hi-hat closed", "closed_hat"),
        ("Sabian Hat Semi-Open", "open_hat"),
        ("Hat Op Phaser", "open_hat"),
        ("VariBreaks Hat 1 Pd", "pedal_hat"),
        ("Hi-Hat Pedal (Paiste Alpha Metal edge 14\")", "pedal_hat"),
        ("Tambourine Pedal (Pearl PTM-10GH)", "tambourine"),
        ("tomhi2", "tom"),
        ("Crash/Ride Bow", "cymbal"),
        ("ride-cup", "ride"),
        ("Cowbell", "cowbell"),
        ("Djembe3 Slap", "hand_drum"),
        ("23", None),
        ("", None),
    ],
)  # fmt: skip
def test_instrument_names_fold_to_drum_classes(instrument, drum_class):
    assert hydrogen.drum_class(instrument) == drum_class


@needs_kits
def test_the_installed_kits_are_labelled(tmp_path):
    made = make(KITS, tmp_path, labels="hydrogen-instrument", group_by="folder")
    entries = [entry for entry in made.entries if entry.path.split("/")[0] in KIT_NAMES]  # others may be installed
    counts = Counter(entry.label for entry in entries)
    assert {"kick", "snare", "rim", "clap", "closed_hat", "open_hat", "tom", "ride", "crash", "cowbell"} <= set(counts)
    assert counts[None] < 0.25 * len(entries)
    folders = {side: {entry.path.split("/")[0] for entry in made.side(side)} for side in ("train", "validation")}
    assert not folders["train"] & folders["validation"]
    skipped = [skip for skip in made.skipped if skip["path"].split("/")[0] in KIT_NAMES]
    assert len(entries) + len(skipped) == 754


def test_a_hundred_thousand_sounds_are_split_in_a_second():
    groups = [f"{i:064x}" for i in range(100_000)]
    names = [f"class {i % 50}" for i in range(100_000)]
    start = time.process_time()
    chosen = splitting.sides(groups, names, 0.9, seed=0)
    assert time.process_time() - start < 5  # 0.6 s where nothing else runs
    held_out = Counter(name for group, name in zip(groups, names, strict=True) if chosen[group] == "validation")
    assert set(held_out.values()) == {200}


def test_a_class_never_loses_its_only_group():
    chosen = splitting.sides(["a", "b", "c"], ["x", "x", "y"], 0.5, seed=0)
    assert chosen["c"] == "train"
    assert sorted((chosen["a"], chosen["b"])) == ["train", "validation"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_ratio": 1.0}, "train ratio: expected a share above 0 and below 1, found 1; 0.9 trains on nine tenths"),
        ({"labels": "colour"}, "labels: expected one of folder, hydrogen-instrument, hydrogen-kit, found 'colour'"),
        ({"group_by": "moon"}, "group by: expected one of folder, found 'moon'"),
        ({"classes": True, "labels": "hydrogen-kit"}, "expected --classes or --labels hydrogen-kit, found both"),
    ],
)
def test_impossible_choices_are_refused(options, message, tmp_path):
    with pytest.raises(DatasetError, match=message):
        make(put(tmp_path / "in", "a.wav", "b.wav"), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_errors_name_the_folder_and_say_what_to_do(tmp_path):
    root = put(tmp_path / "in", "p/a.wav", "p/b.wav")
    with pytest.raises(DatasetError, match=r"nowhere: expected a folder of sounds, found none"):
        make(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(
        DatasetError, match=r"in/p: expected folders apart from each other, found it in .*/in; name one"
    ):
        make([root, root / "p"], tmp_path / "out")
    with pytest.raises(
        DatasetError, match=r"expected at least 2 folders to hold one out, found 1 .*leave out --group-by"
    ):
        make(root, tmp_path / "out", group_by="folder")
    (root / "p/b.wav").write_bytes(b"text")
    with pytest.raises(
        DatasetError, match=r"expected at least 2 different sounds .* found 1 among 2 files .*p/b.wav: exp"
    ):
        make(root, tmp_path / "out")
    with pytest.raises(
        DatasetError, match=r"dataset name: expected a plain folder name of 1 to 200 bytes, found '../up'"
    ):
        make_dataset([root], "../up", home=tmp_path / "out")
    with pytest.raises(DatasetError, match=r"data_dirs: expected a list of folders, found one: \['sounds'\]"):
        make_dataset("sounds", "set", home=tmp_path / "out")
    with pytest.raises(DatasetError, match=r"hold out: expected a list of folders' names, found one: \['kicks'\]"):
        make(root, tmp_path / "out", hold_out="kicks")
    with pytest.raises(DatasetError, match=r"no dataset 'other': looked for .*manifest.json; there is none yet"):
        load_dataset("other", tmp_path / "out")


@pytest.mark.parametrize("path", ["../../secret.wav", "/etc/secret.wav", "a/../../b.wav"])
def test_a_manifest_cannot_point_out_of_its_folders(path, tmp_path):
    make(put(tmp_path / "in", "a.wav", "b.wav"), tmp_path / "out")
    manifest = tmp_path / "out/set/manifest.json"
    content = json.loads(manifest.read_text())
    content["files"][0]["path"] = path
    manifest.write_text(json.dumps(content))
    with pytest.raises(
        DatasetError, match=r"manifest.json: expected a dataset's manifest, found damaged text.*outside"
    ):
        load_dataset("set", tmp_path / "out")


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "null",
        "[" * 100_000,
        '{"format": 1, "name": "set", "roots": [], "files": [], "skipped": []}',
        '{"format": 99}',
        '{"format": 1, "name": "set", "roots": ["/"], "files": [{"path": "a"}], "skipped": []}',
        '{"format": 1, "name": "set", "roots": ["/"], "skipped": [], "files": [{"path": 3, "root": 0, "sha256": "a",'
        ' "seconds": 1.0, "label": null, "split": "train"}]}',
        '{"format": 1, "name": "set", "roots": ["/"], "skipped": [5], "files": [{"path": "a", "root": 0, "sha256": "a",'
        ' "seconds": 1.0, "label": null, "split": "train"}]}',
    ],
)
def test_a_manifest_of_nonsense_is_refused(text, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set/manifest.json").write_text(text)
    with pytest.raises(DatasetError, match=r"manifest.json: expected a dataset's manifest, found damaged text"):
        load_dataset("set", tmp_path)


def test_a_place_that_cannot_be_written_is_refused_before_the_scan(tmp_path, monkeypatch):
    root = put(tmp_path / "in", "a.wav", "b.wav")
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(data, "scan", lambda *_: pytest.fail("scanned"))
    with pytest.raises(DatasetError, match=r"file/set: expected a place to write the dataset, but .*file is no folder"):
        make(root, tmp_path / "file")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(
        DatasetError, match=r"out/set: expected a place to write the dataset, but .* may not be written"
    ):
        make(root, tmp_path / "out")


@pytest.mark.parametrize("blocked", ["manifest.json", "seen.json"])
def test_a_folder_in_the_manifests_place_is_named(blocked, tmp_path):
    (tmp_path / "out/set" / blocked).mkdir(parents=True)
    manager = pytest.warns(UserWarning, match="damaged file") if blocked == "seen.json" else contextlib.nullcontext()
    with manager, pytest.raises(DatasetError, match=r"out/set: expected a place to write the dataset, but Is a direc"):
        make(put(tmp_path / "in", "a.wav", "b.wav"), tmp_path / "out")


@pytest.mark.parametrize("name", ["", " ", ".", "..", "a/b", "a\0b", "a\nb", "x" * 201, "\u00e9" * 101])
def test_names_of_datasets_are_plain(name, tmp_path):
    with pytest.raises(DatasetError, match="dataset name: expected a plain folder name of 1 to 200 bytes, found"):
        make_dataset([put(tmp_path / "in", "a.wav", "b.wav")], name, home=tmp_path / "out", progress=False)


def test_the_command_reports(tmp_path, monkeypatch, capsys):
    root = put(tmp_path / "in", *[f"{kind}/{i}.wav" for kind in ("kick", "snare") for i in range(4)])
    (root / "kick/bad.wav").write_bytes(b"text")
    monkeypatch.chdir(tmp_path)
    command = ["make-dataset", "--data-dir", str(root), "--dataset-name", "Drums", "--classes", "--train-ratio", "0.75"]
    assert cli.main(command) == 0
    printed = capsys.readouterr().out
    for line in (
        r"dataset Drums: 9 scanned = 8 used \+ 1 skipped",
        r"6 train, 2 validation; 0.16 s of sound: shortest 0.02 s, median 0.02 s, longest 0.02 s",
        r"2 classes: kick 4, snare 4; unlabelled 0",
        r"skipped 1: expected a sound file; libsndfile says: Format not recognised. \(such as kick/bad.wav\)",
    ):
        assert re.search(line, printed)
    assert len(load_dataset("Drums").entries) == 8
    assert cli.main([*command, "--labels", "hydrogen-kit"]) == 1
    assert "vaelab: --labels: expected --classes or --labels hydrogen-kit" in capsys.readouterr().err
    assert cli.main(["make-dataset", "--data-dir", str(root), "--dataset-name", "Packs", "--group-by", "folder"]) == 0


def test_datasets_stand_in_one_place():
    assert Path("datasets") == data.HOME


def test_the_same_samples_in_several_files_are_used_once(tmp_path):
    """As WAV, FLAC, WAV with other tags, and two equal channels: none of them straddles the split."""
    root = tmp_path / "in"
    root.mkdir()
    for number in range(8):
        samples = np.round(32768 * builders.tone(number, 0.1, 8000)).astype(np.int16)
        soundfile.write(root / f"{number}.wav", samples, 8000)
        soundfile.write(root / f"{number}.flac", samples, 8000)
        soundfile.write(root / f"{number} 24.wav", samples.astype(np.int32) << 16, 8000, subtype="PCM_24")
        soundfile.write(root / f"{number} tagged.wav", samples, 8000)
        riff.append_chunk(root / f"{number} tagged.wav", b"note", b"again")
        soundfile.write(root / f"{number} two.wav", np.repeat(samples, 2, axis=1), 8000)
    made = make(root, tmp_path / "out", train_ratio=0.5)
    assert len(made.entries) == 8
    assert {skip["reason"] for skip in made.skipped} == {"same samples as another file of the dataset"}
    first = {entry.path: entry.split for entry in made.entries}
    for number, entry in enumerate(made.entries):  # the next time another file of each kind comes first
        soundfile.write(root / f" {number}.flac", soundfile.read(root / entry.path, dtype="int16")[0], 8000)
    again = make(root, tmp_path / "out", train_ratio=0.5)
    assert {entry.path[1:] for entry in again.entries} == {f"{number}.flac" for number in range(8)}
    assert [entry.split for entry in again.entries] == list(first.values())
    assert make(root, tmp_path / "out", train_ratio=0.5) == again


def test_a_copy_in_another_format_under_another_label_has_none(tmp_path):
    root = put(tmp_path / "in", *[f"{kind}/{i}.wav" for kind in ("kick", "snare") for i in range(3)])
    samples, rate = soundfile.read(root / "kick" / "0.wav", dtype="int16")
    soundfile.write(root / "snare" / "copy.flac", samples, rate)
    made = make(root, tmp_path / "out", classes=True)
    assert [entry.path for entry in made.entries if entry.label is None] == ["kick/0.wav"]
    assert [skip["reason"] for skip in made.skipped] == [
        "same samples as another file under another label; used once, unlabelled"
    ]
