"""Every experiment runs small by `make experiments-fast`, and then keeps nothing."""

import argparse
import importlib
import inspect
import re
from pathlib import Path

import pytest

from experiments.quality import run

ROOT = Path(__file__).parent.parent
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
LISTS = {"quality": "QUALITIES", "speed": "SPEEDS", "release": "RELEASES"}
REACHED_OTHERWISE = {
    "quality.run",
    "release.page",
    "house",
}  # by QUESTIONS, as what is checked at the end, always whole


def listed(name: str) -> list[str]:
    return re.search(rf"^{name} := (.*)$", MAKEFILE, re.MULTILINE)[1].split()


def with_a_main() -> list[str]:
    """Modules that are commands: their `main` takes arguments."""
    folder = ROOT / "experiments"
    names = [".".join(path.relative_to(folder).with_suffix("").parts) for path in folder.rglob("[!_]*.py")]
    mains = {name: getattr(importlib.import_module(f"experiments.{name}"), "main", None) for name in sorted(names)}
    return [name for name, main in mains.items() if main and "arguments" in inspect.signature(main).parameters]


EXPERIMENTS = [f"{folder}.{name}" for folder, list_name in LISTS.items() for name in listed(list_name)]
COMMANDS = [*[f"quality.run {question}" for question in run.questions()], *EXPERIMENTS]


def test_every_experiment_is_in_the_list():
    assert set(with_a_main()) == {*EXPERIMENTS, *REACHED_OTHERWISE}
    assert listed("QUESTIONS") == ["$(basename", "$(notdir", "$(wildcard", "experiments/configs/*.json)))"]


@pytest.mark.parametrize("command", COMMANDS)
def test_it_has_a_tiny_run(command, monkeypatch):
    class Parsed(Exception):
        pass

    parse = argparse.ArgumentParser.parse_args

    def only_parse(parser, *arguments):
        raise Parsed(parse(parser, *arguments).tiny)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", only_parse)
    module, *words = command.split()
    with pytest.raises(Parsed, match="True"):
        importlib.import_module(f"experiments.{module}").main([*words, "--tiny"])


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_tiny_run_keeps_nothing(command, capsys):
    before = kept()
    module, *words = command.split()
    importlib.import_module(f"experiments.{module}").main([*words, "--tiny"])
    assert kept() == before
    assert capsys.readouterr().out


def kept() -> dict[str, tuple[int, int]]:
    """What the repository holds of results and of models, by size and time of change."""
    folders = ROOT / "experiments", ROOT / "vaelab" / "pretrained"
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}
