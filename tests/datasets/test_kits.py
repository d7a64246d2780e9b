"""Kits: read back they hold the same sounds under the same names, and they replace nothing."""

import os
import re
import shutil
import subprocess
import tarfile

import jax
import numpy as np
import pytest
import soundfile

import vaelab
from vaelab import SoundSampleTool, VaelabError, audio, cli, model, save_kit
from vaelab.audio import Sound, TakenError
from vaelab.datasets import hydrogen, kits
from vaelab.datasets.hydrogen import KitError
from vaelab.models import checkpoint

RATE = 8000
HOSTILE = ["Kick <b>&amp;</b>", "../../up", "$x$ sample=/etc/passwd", "two\nlines <region>", "太鼓", "", "Kick", "Kick"]
# SFZ v1: headers, opcodes whose values run to the next opcode or the end of the line, and comments.
TOKEN = re.compile(r"<(?P<header>\w+)>|(?P<opcode>\w+)=(?P<value>.*?)(?=\s+\w+=|\s*<|\s*$)|\s+")


def parsed(text):
    """The regions of an SFZ text: the opcodes of each, with those of its group; fails on what the grammar lacks."""
    group, regions, current = {}, [], None
    for line in text.splitlines():
        line, at = line.split("//")[0], 0
        while at < len(line):
            token = TOKEN.match(line, at)
            assert token, (line, at)
            at = token.end()
            if token["header"] == "group":
                group = current = {}
            elif token["header"] == "region":
                current = dict(group)
                regions.append(current)
            elif token["opcode"]:
                current[token["opcode"]] = token["value"]
            else:
                assert token["header"] is None
    return regions


def noises(count):
    rng = np.random.default_rng(0)
    return [
        Sound(rng.uniform(-0.9, 0.9, (400, 2)[: 1 + number % 2]).astype(np.float32), RATE) for number in range(count)
    ]


def tree(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.skipif(shutil.which("h2cli") is None, reason="no Hydrogen here: install Debian's package `hydrogen`")
def test_hydrogen_calls_a_kit_valid(tmp_path):
    folder = save_kit(tmp_path / "My kit", noises(len(HOSTILE)), HOSTILE)
    with tarfile.open(tmp_path / "mine.h2drumkit", "w:gz") as packed:
        packed.add(folder, folder.name)
    (tmp_path / "home").mkdir()
    checked = subprocess.run(
        ["h2cli", "--driver", "alsa", "--check", tmp_path / "mine.h2drumkit"],
        env={**os.environ, "HOME": str(tmp_path / "home"), "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert b"mine.h2drumkit] is valid" in checked.stdout + checked.stderr


@pytest.mark.parametrize("bits", [16, 32])
def test_a_kit_reads_back_with_the_same_sounds_and_names(tmp_path, bits):
    given, names = noises(len(HOSTILE)), [name or "untold" for name in HOSTILE]
    folder = save_kit(tmp_path / "My kit", given, names, bits=bits)
    kit = hydrogen.read_kit(folder / "drumkit.xml")
    assert kit.name == "My kit"
    assert list(kit.instruments.values()) == [ascii(name) if "\n" in name else name for name in names]
    assert kit.drum_class(next(iter(kit.instruments))) == "kick"
    for file, sound in zip(kit.instruments, given, strict=True):
        assert re.fullmatch(r"[A-Za-z0-9._-]+\.wav", file)
        again = kits.read_sound(folder / file)
        assert again.sample_rate == RATE
        np.testing.assert_allclose(again.samples, sound.samples, atol=1 / 32768 if bits == 16 else 0)
    assert {path.name for path in folder.iterdir()} == {"drumkit.xml", "My_kit.sfz", *kit.instruments}
    assert list(tmp_path.iterdir()) == [folder]


def test_the_sfz_keeps_to_the_grammar(tmp_path):
    folder = save_kit(tmp_path / "kit", noises(len(HOSTILE)), HOSTILE)
    regions = parsed((folder / "kit.sfz").read_text(encoding="utf-8"))
    assert [region["key"] for region in regions] == [str(36 + number) for number in range(len(HOSTILE))]
    assert [region["sample"] for region in regions] == sorted(path.name for path in folder.glob("*.wav"))
    assert {tuple(sorted(region)) for region in regions} == {("key", "loop_mode", "sample")}
    assert {region["loop_mode"] for region in regions} == {"one_shot"}


def test_both_files_agree_about_keys(tmp_path):
    folder = save_kit(tmp_path / "kit", noises(3), ["a", "b", "c"])
    root = hydrogen._parsed((folder / "drumkit.xml").read_bytes())
    notes = {each.findtext(".//{*}filename"): each.findtext("midiOutNote") for each in root.iter("instrument")}
    assert notes == {each["sample"]: each["key"] for each in parsed((folder / "kit.sfz").read_text())}


def test_sounds_of_a_kit_are_made_again_from_their_recipes(tmp_path, tiny, sounds):
    checkpoint.save_model(tmp_path / "tiny.safetensors", model.create(tiny.model, tiny.audio, jax.random.key(0)), {})
    tool = SoundSampleTool(tmp_path / "tiny.safetensors")
    files = sorted((sounds / "kick").iterdir())[:2]
    mix = tool.generate(audio_files=files, weights=[1, 2])
    folder = save_kit(tmp_path / "deep" / "kit", [mix, tool.generate(seed=1)], bits=32)
    names = hydrogen.read_kit(folder / "drumkit.xml").instruments
    assert list(names.values()) == ["1 kick_0001 + 2 kick_0002", "random"]
    for file, sound in zip(names, (mix, None), strict=True):
        again = vaelab.regenerate(folder / file, tool)
        np.testing.assert_array_equal(again.samples, kits.read_sound(folder / file).samples)
        assert sound is None or np.array_equal(again.samples, sound.samples)
    assert kits.read_sound(folder / "02_random.wav").recipe["call"] == "generate"


@pytest.mark.parametrize("what", ["a recording", "a file in its place", "a link"])
def test_nothing_is_replaced(tmp_path, what):
    folder = tmp_path / "kit"
    if what == "a recording":
        folder.mkdir()
        soundfile.write(folder / "01_a.wav", np.zeros(100), RATE)
    elif what == "a link":
        (tmp_path / "elsewhere").mkdir()
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(TakenError, match="expected a folder that is new or empty; nothing was written"):
        save_kit(folder, noises(1), ["a"])
    assert tree(tmp_path) == before
    assert len(list(tmp_path.iterdir())) == (2 if what == "a link" else 1)


def test_a_kit_is_whole_or_not_there(tmp_path):
    (tmp_path / "kit").mkdir()
    broken = Sound(np.array([0, np.nan], np.float32), RATE)
    with pytest.raises(VaelabError, match="expected finite samples"):
        save_kit(tmp_path / "kit", [*noises(2), broken])
    assert list((tmp_path / "kit").iterdir()) == []
    assert len(list(tmp_path.iterdir())) == 1
    save_kit(tmp_path / "kit", noises(2))  # an empty folder is as good as a new one


@pytest.mark.parametrize(
    ("count", "names", "message"),
    [
        (0, None, "expected 1 to 92 sounds, found 0"),
        (93, None, "expected 1 to 92 sounds, found 93"),
        (2, ["a"], "expected a name for each of 2 sounds, found 1"),
    ],
)
def test_too_few_and_too_many(tmp_path, count, names, message):
    with pytest.raises(KitError, match=message):
        save_kit(tmp_path / "kit", noises(count), names)
    assert list(tmp_path.iterdir()) == []


def test_the_command(tmp_path, sounds, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(sounds / "kick" / "kick_0001.wav", "Kick one.wav")
    shutil.copy(sounds / "clap" / "clap_0001.wav", "clap.wav")
    assert cli.main(["kit", "Kick one.wav", "clap.wav", "--out-dir", "kit", "--title", "Two drums"]) == 0
    assert capsys.readouterr().out == "saved 2 sounds as a kit: kit\n"
    kit = hydrogen.read_kit("kit/drumkit.xml")
    assert (kit.name, kit.instruments) == ("Two drums", {"01_Kick_one.wav": "Kick one", "02_clap.wav": "clap"})
    np.testing.assert_array_equal(audio.read("kit/02_clap.wav", RATE), audio.read("clap.wav", RATE))
    assert cli.main(["kit", "clap.wav", "--out-dir", "kit"]) == 1
    assert capsys.readouterr().err.startswith("vaelab: kit: expected a folder that is new or empty")
    assert cli.main(["kit", "missing.wav", "--out-dir", "other"]) == 1
    assert "missing.wav" in capsys.readouterr().err
