"""A sound font as a folder of sounds: names, recipes, what stays, what is refused; and as a dataset."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soundfonts
from soundfonts import INSTRUMENT, MODE, RATE, SAMPLE, Instrument, Preset, Sample, tone

from vaelab import audio, cli, files
from vaelab.audio import TakenError
from vaelab.audio.soundfont import SoundFontError
from vaelab.data import DatasetError, load_dataset, make_dataset
from vaelab.datasets import unpacking


def put(path: Path, content: bytes | None = None) -> Path:
    path.write_bytes(soundfonts.simple() if content is None else content)
    return path


def unpack(path, folder, **settings):
    return unpacking.unpack(path, folder, progress=False, **settings)


def sounds(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.wav"))}


def named(samples, presets) -> bytes:
    """A font of presets that each play one of the names' samples."""
    instruments = [Instrument("", [{SAMPLE: number}]) for number in range(len(presets))]
    outer = [Preset(name, [{INSTRUMENT: number}], program=number) for number, name in enumerate(presets)]
    return soundfonts.font([Sample(name, tone(number)) for number, name in enumerate(samples)], instruments, outer)


def test_presets_become_folders_of_sounds(tmp_path):
    path = put(tmp_path / "font.sf2")
    unpacked = unpack(path, tmp_path / "out", seconds=0.5)
    assert list(sounds(tmp_path / "out")) == [
        *("Organ/Tone 2_0002.wav", "Organ/Tone 3_0003.wav", "Piano/Tone 0_0000.wav", "Piano/Tone 1_0001.wav")
    ]
    assert (unpacked.sounds, unpacked.skipped) == (4, {})
    plain, rate = soundfile.read(tmp_path / "out/Piano/Tone 1_0001.wav", dtype="int16")
    assert rate == RATE
    np.testing.assert_array_equal(plain, tone(1))
    held = soundfile.read(tmp_path / "out/Organ/Tone 2_0002.wav", dtype="int16")[0]
    assert len(held) == 4000
    np.testing.assert_array_equal(held[400:600], held[3400:3600])
    assert "4 sounds in" in unpacked.report("out")
    assert "name: Test font" in unpacked.report("out")


def test_recipes_name_the_font(tmp_path):
    path = put(tmp_path / "font.sf2")
    unpack(path, tmp_path / "out")
    recipe = audio.read_recipe(tmp_path / "out/Organ/Tone 2_0002.wav")
    assert recipe == {
        "format": 1,
        "call": "unpack",
        "preset": "Organ",
        "instrument": "High",
        "seconds": 2.0,
        "sources": [
            {
                "path": os.path.join("..", "..", "font.sf2"),
                "sha256": files.content_hash(path),
                "metadata": {"name": "Test font"},
                "samples": [{"number": 2, "name": "Tone 2"}],
            }
        ],
    }
    assert "seconds" not in audio.read_recipe(tmp_path / "out/Piano/Tone 1_0001.wav")


def test_the_same_bytes_every_time(tmp_path):
    path = put(tmp_path / "font.sf2")
    unpack(path, tmp_path / "1")
    unpack(path, tmp_path / "2")
    assert sounds(tmp_path / "1") == sounds(tmp_path / "2")


def test_stereo_pairs_and_samples_without_preset(tmp_path):
    pair = [Sample("Hall(L)", tone(1), kind=4), Sample("Hall(R)", tone(2), kind=2), Sample("Loose", tone(3))]
    content = soundfonts.font(pair, [Instrument("I", [{SAMPLE: 0}, {SAMPLE: 1}])], [Preset("Halls", [{INSTRUMENT: 0}])])
    unpack(put(tmp_path / "font.sf2", content), tmp_path / "out")
    assert list(sounds(tmp_path / "out")) == ["Halls/Hall_0000.wav", "Loose_0002.wav"]
    assert soundfile.info(tmp_path / "out/Halls/Hall_0000.wav").channels == 2
    recipe = audio.read_recipe(tmp_path / "out/Halls/Hall_0000.wav")
    assert [sample["name"] for sample in recipe["sources"][0]["samples"]] == ["Hall(L)", "Hall(R)"]
    assert "preset" not in audio.read_recipe(tmp_path / "out/Loose_0002.wav")


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Piano C#4 (soft)", "Piano C#4 (soft)"),
        ("../../up", "up"),
        ("/etc/passwd", "etc_passwd"),
        ("C:\\x", "C_x"),
        ("a\nb", "a_b"),
        ("v2.3.", "v2_3"),
        (".hidden", "hidden"),
        ("CON", "CON_"),
        ("com1", "com1_"),
        ("<b>&", "b_&"),
        ("Flöte", "Fl_te"),
        ("", ""),
        ("..", ""),
        ("音", ""),
        ("- _ -", ""),
        ("x" * 20, "x" * 20),
    ],
)
def test_strangers_names_are_made_plain(name, plain):
    assert unpacking.plain(name) == plain


def test_hostile_names_stay_inside_the_folder_and_apart(tmp_path):
    names = ["../../up", "same", "same", "", b"\xff\xfe", "/abs", "CON", "soundfont.json"]
    presets = ["../..", "Same", "sAME", "", b"\x80\x81", "/tmp/x", "NUL", "soundfont.json"]
    folder = tmp_path / "deep" / "out"
    unpack(put(tmp_path / "font.sf2", named(names, presets)), folder)
    assert set(sounds(folder)) == {
        "preset_0-0/up_0000.wav",
        "Same/same_0001.wav",
        "Same/same_0002.wav",
        "preset_0-3/sample_0003.wav",
        "preset_0-4/sample_0004.wav",
        "tmp_x/abs_0005.wav",
        "NUL_/CON__0006.wav",
        "soundfont_json/soundfont_json_0007.wav",
    }
    assert {path.name for path in tmp_path.iterdir()} == {"font.sf2", "deep"}


def test_samples_that_cannot_be_used_are_named(tmp_path):
    samples = [
        Sample("Good", tone(1)),
        Sample("Rom", tone(2), kind=0x8001),
        Sample("Bad", tone(3), changes={"end": 10**9}),
    ]
    path = put(tmp_path / "font.sf2", soundfonts.font(samples))
    unpacked = unpack(path, tmp_path / "out")
    assert unpacked.sounds == 1
    assert unpacked.skipped == {
        "Rom_0001.wav": "sample 1, 'Rom': expected a sample in the file, found one in the ROM of a sound card",
        "Bad_0002.wav": "sample 2, 'Bad': expected a place within 0 to 2538, found 1692 to 1000000000",
    }
    assert "skipped Rom_0001.wav: sample 1" in unpacked.report("out")
    assert unpack(path, tmp_path / "out") == unpacked
    with pytest.raises(
        SoundFontError, match=r"expected sounds, found none that can be used: sample 0, 'Rom': expected"
    ):
        unpack(put(tmp_path / "rom.sf2", soundfonts.font([samples[1]])), tmp_path / "rom")
    with pytest.raises(SoundFontError, match=r"found none that can be used: it holds no samples"):
        unpack(put(tmp_path / "none.sf2", soundfonts.font([])), tmp_path / "none")


def test_again_leaves_the_folder_as_a_person_left_it(tmp_path):
    path = put(tmp_path / "font.sf2")
    unpack(path, tmp_path / "out")
    (tmp_path / "out/Piano/Tone 0_0000.wav").unlink()
    before = sounds(tmp_path / "out")
    unpack(path, tmp_path / "out")
    assert sounds(tmp_path / "out") == before
    unpack(path, tmp_path / "out", seconds=0.5)
    assert len(sounds(tmp_path / "out")) == 4


def test_a_persons_recordings_stay(tmp_path):
    path, taken = put(tmp_path / "font.sf2"), tmp_path / "out/Piano/Tone 1_0001.wav"
    taken.parent.mkdir(parents=True)
    soundfile.write(taken, np.zeros(100), RATE)
    with pytest.raises(TakenError, match=r"Tone 1_0001.wav: expected a free name or a sound that vaelab wrote"):
        unpack(path, tmp_path / "out")
    assert list(sounds(tmp_path / "out")) == ["Piano/Tone 1_0001.wav"]
    unpack(path, tmp_path / "out", overwrite=True)
    assert len(sounds(tmp_path / "out")) == 4


def test_a_folder_belongs_to_its_font(tmp_path):
    unpack(put(tmp_path / "font.sf2"), tmp_path / "out")
    other = put(tmp_path / "other.sf2", soundfonts.simple(2))
    with pytest.raises(
        SoundFontError, match=r"out: expected sounds of this sound font, found those of another; choose"
    ):
        unpack(other, tmp_path / "out")


@pytest.mark.parametrize("text", ["", "[]", "null", '{"format": 2}', '{"format": 1}', "[" * 100_000])
def test_damaged_notes_are_refused(tmp_path, text):
    path = put(tmp_path / "font.sf2")
    (tmp_path / "soundfont.json").write_text(text)
    with pytest.raises(
        SoundFontError, match=r"soundfont\.json: expected notes on an unpacked sound font, found damaged"
    ):
        unpack(path, tmp_path)


def test_notes_that_lie_are_refused(tmp_path):
    path = put(tmp_path / "font.sf2")
    unpack(path, tmp_path / "out")
    notes = json.loads((tmp_path / "out/soundfont.json").read_text())
    for lie in ({"skipped": 3}, {"sounds": "many"}, {"more": 1}):
        (tmp_path / "out/soundfont.json").write_text(json.dumps({**notes, **lie}))
        with pytest.raises(SoundFontError, match="found damaged text"):
            unpack(path, tmp_path / "out")


@pytest.mark.parametrize("seconds", [0, -1, 31, float("nan"), float("inf")])
def test_lengths_are_bounded(tmp_path, seconds):
    with pytest.raises(SoundFontError, match=r"seconds: expected 0\.1 to 30, found"):
        unpack(put(tmp_path / "font.sf2"), tmp_path / "out", seconds=seconds)


def test_a_small_file_cannot_fill_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "MOST_BYTES", 40_000)
    with pytest.raises(SoundFontError, match=r"font\.sf2: expected at most 0 GiB of sound, found more"):
        unpack(put(tmp_path / "font.sf2"), tmp_path / "out")


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "font.sf2")
    assert cli.main(["unpack", "font.sf2", "--out-dir", "out", "--seconds", "0.3"]) == 0
    assert "4 sounds in out; notes that loop are held for 0.3 s" in capsys.readouterr().out
    assert soundfile.info("out/Piano/Tone 0_0000.wav").frames == 2400
    put(tmp_path / "text.sf2", b"no font")
    for name, reason in (
        ("text.sf2", "expected a sound font, found"),
        ("none.sf2", "expected a sound file, found none"),
    ):
        assert cli.main(["unpack", name, "--out-dir", "other"]) == 1
        assert f"vaelab: {name}: {reason}" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def make(path, home, **options):
    return make_dataset([path], "set", home=home, progress=False, **options)


def test_a_dataset_of_a_sound_font(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    zones = [{MODE: number % 2, SAMPLE: number} for number in range(8)]
    samples = [Sample(f"Tone {number}", tone(number), (0, 800)) for number in range(8)] + [
        Sample("Rom", tone(9), kind=0x8001)
    ]
    instruments = [Instrument("Low", zones[:4]), Instrument("High", zones[4:])]
    presets = [Preset("Piano", [{INSTRUMENT: 0}]), Preset("Organ", [{INSTRUMENT: 1}], program=16)]
    put(tmp_path / "Font.SF2", soundfonts.font(samples, instruments, presets))
    command = [
        "make-dataset",
        "--data-dir",
        "Font.SF2",
        "--dataset-name",
        "Notes",
        "--classes",
        "--train-ratio",
        "0.75",
    ]
    for _ in range(2):
        assert cli.main(command) == 0
        printed = capsys.readouterr().out
        assert "dataset Notes: 9 scanned = 8 used + 1 skipped" in printed
        assert "2 classes: Organ 4, Piano 4; unlabelled 0" in printed
        assert "skipped 1: sample 8, 'Rom': expected a sample in the file" in printed
    dataset = load_dataset("Notes")
    assert dataset.roots == (str(tmp_path / "datasets/Notes/sounds/Font"),)
    assert all(dataset.source(entry).is_file() for entry in dataset.entries)
    assert {entry.split for entry in dataset.entries} == {"train", "validation"}


def test_sound_fonts_beside_folders(tmp_path):
    put(tmp_path / "font.sf2")
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in/a.wav", tone(20), RATE)
    dataset = make_dataset([tmp_path / "in", tmp_path / "font.sf2"], "set", home=tmp_path / "out", progress=False)
    assert [entry.root for entry in dataset.entries] == [0, 1, 1, 1, 1]


def test_changed_sounds_of_a_font_are_replaced_on_purpose_only(tmp_path):
    path = put(tmp_path / "font.sf2")
    make(path, tmp_path)
    place = tmp_path / "set/sounds/font"
    (place / "soundfont.json").unlink()
    soundfile.write(place / "Piano/Tone 1_0001.wav", tone(30), RATE)
    with pytest.raises(TakenError, match=r"Tone 1_0001.wav: expected a free name"):
        make(path, tmp_path)
    make(path, tmp_path, overwrite=True)
    assert audio.read_recipe(place / "Piano/Tone 1_0001.wav")["call"] == "unpack"


def test_two_fonts_need_two_names(tmp_path):
    paths = [tmp_path / "a" / "font.sf2", tmp_path / "b" / "font.sf2"]
    for path in paths:
        path.parent.mkdir()
        put(path)
    with pytest.raises(DatasetError, match=r"sounds/font: expected folders apart from each other"):
        make_dataset(paths, "set", home=tmp_path, progress=False)
    assert not (tmp_path / "set").exists()


def test_impossible_choices_cost_no_unpacking(tmp_path):
    path = put(tmp_path / "font.sf2")
    with pytest.raises(DatasetError, match="train ratio"):
        make(path, tmp_path, train_ratio=2)
    assert not (tmp_path / "set").exists()
