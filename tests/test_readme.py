"""The README is true: its Python and its commands run as they stand there."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from vaelab import audio, cli, tape

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^vaelab (.*)$", README, re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, sounds, tiny):
    """A folder as the README supposes it: MySamples with class folders, kick.wav, snare.wav and clap.wav, tapes."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(sounds, folder / "MySamples")
    for kind in ("kick", "snare", "clap"):
        shutil.copy(sounds / kind / f"{kind}_0001.wav", folder / f"{kind}.wav")
    for number, name in enumerate(("tape", "tape87", "tape88")):
        made = tape.perform(12, number, 8000)
        audio.write(folder / f"{name}.wav", made.samples, made.sample_rate)
    (folder / "tiny.json").write_text(json.dumps(tiny.to_dict()))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in COMMANDS:
            short = ["--config", "tiny.json", "--num-steps", "10"] if command.startswith("train") else []
            assert cli.main([*shlex.split(command), *short]) == 0, command
    return folder


def test_the_commands(folder):
    assert [command.split()[0] for command in COMMANDS] == [
        *("make-dataset", "train", "generate", "similar", "classify", "doctor", "slice", "make-dataset")
    ]
    assert (folder / "generated.wav").stat().st_size > 1000
    assert (folder / "model_Industrial" / "confusion_class.png").exists()


def test_the_python(folder, monkeypatch):
    monkeypatch.chdir(folder)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 4
    namespace = {}
    for code in blocks:
        exec(compile(code, "README.md", "exec"), namespace)
    assert (folder / "random.wav").exists()
    assert (folder / "mix.wav").exists()
    assert len(list(folder.glob("like_?.wav"))) == 5
    assert len(namespace["files"]) == 10
    assert len(namespace["sounds"]) == 2
    assert len(namespace["steps"]) == 9
    assert namespace["morph"].seconds == 3.0
    assert namespace["refined"].after_db <= namespace["refined"].before_db
    assert (namespace["same"].samples == namespace["mix"].samples).all()
    assert (folder / "remembered.wav").exists()
    assert (folder / "relatives.wav").exists()
    assert "<audio" in namespace["sounds"][0]._repr_html_()


def test_the_makefile_has_its_targets():
    makefile = (Path(__file__).parent.parent / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`make ([a-z]+)`", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
