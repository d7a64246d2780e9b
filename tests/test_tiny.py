"""Every experiment runs small by `make experiments-fast`, and then keeps nothing."""

import argparse
import importlib
import inspect
import re
from pathlib import Path

import pytest

from experiments import run, speed

ROOT = Path(__file__).parent.parent
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
REACHED_OTHERWISE = {"run", "speed", "table"}  # by QUESTIONS, by SPEEDS, as what is checked at the end


def listed(name: str) -> list[str]:
    return re.search(rf"^{name} := (.*)$", MAKEFILE, re.MULTILINE)[1].split()


def with_a_main() -> list[str]:
    """Modules that are commands: their `main` takes arguments."""
    names = sorted(path.stem for path in (ROOT / "experiments").glob("[!_]*.py"))
    mains = {name: getattr(importlib.import_module(f"experiments.{name}"), "main", None) for name in names}
    return [name for name, main in mains.items() if main and "arguments" in inspect.signature(main).parameters]


COMMANDS = [
    *[f"run {question}" for question in run.questions()],
    *[f"speed {name}" for name in speed.COMMANDS],
    *listed("EXPERIMENTS"),
]


def test_every_experiment_is_in_the_list():
    assert set(with_a_main()) == {*listed("EXPERIMENTS"), *REACHED_OTHERWISE}
    assert set(listed("SPEEDS")) == set(speed.COMMANDS)
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
