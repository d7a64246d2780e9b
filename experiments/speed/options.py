"""The options that commands of speed share."""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from experiments.common import commands
from experiments.common.real_sounds import installed_if_any
from vaelab.audio import synth


@contextmanager
def parsed(command: str, about: str, arguments: Sequence[str] | None) -> Iterator[argparse.Namespace]:
    """Options of a command; a tiny run has one round, on a few built-in sounds."""
    parser = commands.parser(command, about, "one round on a few built-in sounds")
    parser.add_argument("--data-dir", nargs="+", type=Path, default=[], metavar="DIR", help="your own sounds")
    parser.add_argument("--limit", type=int, default=1000, help="sounds at most (default 1000)")
    parser.add_argument("--rounds", type=int, default=3, help="the best counts (default 3)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        if options.tiny:
            options.data_dir, options.rounds = [synth.write_dataset(scratch, per_class=2, progress=False)], 1
        yield options


@contextmanager
def folders(named: Sequence[Path], per_class: int) -> Iterator[Sequence[Path]]:
    """Folders of sounds: those named, or installed ones, or built-in sounds written for the occasion."""
    if named := named or installed_if_any():
        yield named
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield [synth.write_dataset(Path(scratch) / "sounds", per_class=per_class)]
