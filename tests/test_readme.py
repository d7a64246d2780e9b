"""What is documented is true: every command, every block of Python, every target of make runs or is one."""

import argparse
import importlib
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import soundfonts

import vaelab
from vaelab import audio, cli
from vaelab.audio import built_in_tape
from vaelab.config import Config
from vaelab.models import pretrained

ROOT = Path(__file__).parent.parent
README = "README.md"
GUIDES = [README, *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
PAGES = [*GUIDES, "CONTRIBUTING.md", "experiments/README.md"]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = {
    "app": "tests/test_browser.py",
    "map": "tests/cli/test_app.py",
    "share": "tests/sharing/test_shared_page.py",
}  # subcommands that run there, and only parse here
OTHERS = {  # what else may stand in a block: what runs it
    "python3 -m venv .venv": "Makefile",
    ".venv/bin/python -m pip install": "Makefile",
    ".venv/bin/python notebooks/run.py --out demo": "Makefile",
    ".venv/bin/python -m pytest": "Makefile",
    "make ": "Makefile",
}


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def commands(page: str) -> list[str]:
    """Lines of the page's blocks that call `vaelab`."""
    lines = [line for language, block in BLOCK.findall(text(page)) if not language for line in block.splitlines()]
    return [line.removeprefix("vaelab ") for line in lines if line.startswith("vaelab ")]


def spans(page: str) -> list[str]:
    """Code within the page's sentences, without the blocks."""
    return [span.replace("\n", " ") for span in re.findall(r"`([^`]+)`", BLOCK.sub("", text(page)))]


def run(command: str) -> None:
    """A command as it stands there; a training ends early, and one that a test runs elsewhere is only parsed."""
    words = shlex.split(command)
    short = ["--config", "tiny.json", "--num-steps", "10"] if words[0] == "train" else []
    if words[0] in NOT_RUN:
        cli.parser().parse_args(words)
    else:
        assert cli.main([*words, *short]) == 0, command


@pytest.fixture(scope="module")
def folder(tmp_path_factory, sounds, tiny):
    """A folder as the pages suppose it, with their model, which stands for those that ship as well.

    It holds MySamples with class folders, kick.wav, snare.wav, clap.wav, tapes and a sound font.
    """
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(sounds, folder / "MySamples")
    for kind in ("kick", "snare", "clap"):
        shutil.copy(sounds / kind / f"{kind}_0001.wav", folder / f"{kind}.wav")
    for number, name in enumerate(("tape", "tape87", "tape88")):
        made = built_in_tape.perform(12, number, 8000)
        audio.write(folder / f"{name}.wav", made.samples, made.sample_rate)
    (folder / "tiny.json").write_text(json.dumps(tiny.to_dict()))
    (folder / "FluidR3_GM.sf2").write_bytes(soundfonts.simple())
    (folder / "shipped").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in commands(README)[:2]:
            run(command)
    for name in ("general", "drum_classes"):
        shutil.copy(folder / "model_Industrial" / "best.safetensors", folder / "shipped" / f"{name}.safetensors")
    return folder


@pytest.fixture(scope="module")
def followed(folder):
    """Every block of every guide, run in the order in which it is read; for each guide, its variables."""
    variables = {page: {} for page in GUIDES}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(pretrained, "FOLDER", folder / "shipped")
        for page in GUIDES:
            waiting = commands(page)
            for language, block in BLOCK.findall(text(page)):
                if language == "python":
                    exec(compile(block, page, "exec"), variables[page])
                while waiting and f"vaelab {waiting[0]}\n" in block:
                    run(waiting.pop(0))
            assert waiting == []
    return variables


def test_the_readme(folder, followed):
    assert [command.split()[0] for command in commands(README)] == ["make-dataset", "train", "generate"]
    found = followed[README]
    assert found["tool"].path.name == "general.safetensors"
    assert (folder / "random.wav").exists()
    assert (folder / "generated.wav").stat().st_size > 1000
    assert (folder / "model_Industrial" / "confusion_class.png").exists()
    assert len(list(folder.glob("like_?.wav"))) == 5
    assert len(found["files"]) == 10
    assert len(found["sounds"]) == 2
    assert found["name"] in found["drums"].class_names
    assert "<audio" in found["sounds"][0]._repr_html_()


def test_the_guides(folder, followed):
    played = followed["docs/playing.md"]
    assert len(played["steps"]) == 9
    assert played["morph"].seconds == 3.0
    assert played["refined"].after_db <= played["refined"].before_db
    assert (played["same"].samples == played["mix"].samples).all()
    assert (folder / "again.wav").read_bytes()[-1000:] == (folder / "mix.wav").read_bytes()[-1000:]
    assert (folder / "classes.csv").read_text().count("\n") == 61
    for name in ("remembered", "relatives"):
        assert (folder / f"{name}.wav").exists()
    made = {path.name for path in (folder / "datasets").iterdir()}
    assert {"IndustrialDataset", "Packs", "HeldOut", "Tapes", "Instruments"} <= made
    assert len(list((folder / "Instruments").glob("*/*.wav"))) == 4


@pytest.mark.parametrize("page", PAGES)
def test_blocks_hold_what_runs(page):
    """Nothing hides from these tests in a block of another kind."""
    for language, block in BLOCK.findall(text(page)):
        assert language in ("", "python")
        for line in block.splitlines() if not language else ():
            elsewhere = [place for start, place in OTHERS.items() if line.startswith(start)]
            assert line.startswith("vaelab ") or elsewhere, line
    assert page in GUIDES or not commands(page)


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_sentences_are_commands(page):
    (subcommands,) = (action.choices for action in cli.parser()._actions if action.choices)
    for span in spans(page):
        for command in re.findall(r"^vaelab (.*)", span):
            words = [word for word in shlex.split(command) if word not in ("later", "...")]
            if len(words) == 1:
                assert words[0] in subcommands, span
            else:
                cli.parser().parse_args(words)


def test_what_is_only_parsed_here_runs_elsewhere():
    for name, place in NOT_RUN.items():
        assert f'"{name}"' in text(place)


class Parsed(Exception):
    """Raised once the options of an experiment are parsed: the experiment itself does not run."""


def experiments(page: str) -> list[str]:
    return re.findall(r"python -m experiments\.([^`\n]+)", text(page))


@pytest.mark.parametrize("page", PAGES)
def test_experiments_take_their_options(page, monkeypatch):
    parse = argparse.ArgumentParser.parse_args

    def only_parse(parser, *arguments):
        raise Parsed(parse(parser, *arguments))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", only_parse)
    for command in experiments(page):
        module, *words = shlex.split(command)
        with pytest.raises(Parsed):
            importlib.import_module(f"experiments.{module}").main(words)


def test_experiments_are_found():
    assert len(experiments(README)) > 10
    assert len(experiments("experiments/README.md")) > 15


@pytest.mark.parametrize("page", PAGES)
def test_the_makefile_has_its_targets(page):
    blocks = [block for _, block in BLOCK.findall(text(page))]
    for target in re.findall(r"^make ([a-z-]+)", "\n".join([*spans(page), *blocks]), re.MULTILINE):
        assert re.search(rf"^{target}:", text("Makefile"), re.MULTILINE), target


@pytest.mark.parametrize("page", PAGES)
def test_overrides_are_knobs(page):
    for span in spans(page):
        if span.startswith("{"):
            Config.from_dict(json.loads(span))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)]+)\)", text(page)):
        assert ((ROOT / page).parent / link).exists(), link


def test_every_room_has_its_place():
    page = text("docs/layout.md")
    package = ROOT / "vaelab"
    for path in package.rglob("*.py"):
        if path.stem not in ("__init__", "__main__"):
            folder, section = path.parent.name, page
            if path.parent != package:
                section = page[page.index(f"## {folder}/") :].split("\n## ", 1)[0]
            assert f"`{path.name}`" in section, path


def test_the_citation_is_of_this_version():
    said = dict(re.findall(r"^([a-z-]+): *(.*)$", text("CITATION.cff"), re.MULTILINE))
    assert said["version"] == vaelab.__version__
    assert (said["cff-version"], said["title"], said["license"]) == ("1.2.0", "vaelab", "Apache-2.0")
    assert {"message", "authors"} <= set(said)
