"""The command line of an experiment."""

import argparse

TINY = "a few steps of a small model on built-in sounds"


def parser(command: str, about: str, tiny: str = TINY) -> argparse.ArgumentParser:
    """Options of an experiment, which has `--tiny` at least; `about` is its module's docstring."""
    options = argparse.ArgumentParser(prog=command, description=about.splitlines()[0])
    options.add_argument("--tiny", action="store_true", help=f"{tiny}; keeps nothing")
    return options
