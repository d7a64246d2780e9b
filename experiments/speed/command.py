"""Processor time of `vaelab generate` by phase, beside that of JAX alone: `python -m experiments.speed.command`.

Each figure is of a process of its own, whose compilations an earlier one has cached. Processor time is counted and not
the clock, which other work on the machine moves; that of JAX alone, in the same round, says how fast the machine is.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from experiments.common import commands, measures, timing
from vaelab.audio import synth

COMMAND = "python -m experiments.speed.command"
ROUNDS = 5  # of which the best counts
BOUND_S = 3.0  # of a random sound, made by the command
ALONE = "import jax; jax.jit(lambda x: x + 1)(1.0)"  # the least that any program with JAX costs
WHOLE = "-m", "vaelab.cli", "generate", "--model", "general", "--out-file", "new.wav"
# The command's own steps, in its order. Output of the command goes where this one's does.
PHASES = """
import json, sys, time
spent = {}
def until_here(phase):
    spent[phase] = time.process_time() - sum(spent.values())
until_here("the interpreter")
import jax
until_here("import jax")
import flax.linen
until_here("import flax")
from vaelab.cli import commands
from vaelab.models import checkpoint, devices
from vaelab.play import SoundSampleTool
until_here("import vaelab")
devices.cache_compilations()
tool = SoundSampleTool("general")
until_here("open the model")
tool.generate("new.wav", seed=0)
until_here("trace, load what is compiled, make the sound")
json.dump(spent, open("spent.json", "w"))
"""


def measure(rounds: int) -> list[list[object]]:
    """Rows of what, its processor seconds, and their ratio to those of JAX alone."""
    with tempfile.TemporaryDirectory() as scratch:
        pair = [
            str(synth.write_dataset(scratch, per_class=1, kinds=[kind], progress=False) / kind / f"{kind}_0001.wav")
            for kind in ("kick", "snare")
        ]
        runs = {"JAX alone": ("-c", ALONE), "a random sound": WHOLE, "a mix of two sounds": (*WHOLE, *pair)}
        rows = {name: processor_seconds(arguments, scratch) for name, arguments in runs.items()}  # fills the cache
        for _ in range(rounds):
            for name, arguments in runs.items():
                rows[name] = min(rows[name], processor_seconds(arguments, scratch))
        rows |= {f"  {phase}": seconds for phase, seconds in phases(rounds, scratch).items()}
    return [[name, seconds, seconds / rows["JAX alone"]] for name, seconds in rows.items()]


def phases(rounds: int, folder: str) -> dict[str, float]:
    """Processor seconds of each phase of a random sound, of the round that took least."""
    spent = []
    for _ in range(rounds):
        processor_seconds(("-c", PHASES), folder)
        spent.append(json.loads((Path(folder) / "spent.json").read_text(encoding="ascii")))
    return min(spent, key=lambda phase: sum(phase.values()))


def processor_seconds(arguments: Sequence[str], folder: str) -> float:
    """Processor seconds of a process of Python in a folder, with the compilations that are cached there.

    Raises:
        CalledProcessError: It failed.
    """
    places = {"PYTHONPATH": str(Path(__file__).parents[2]), "JAX_COMPILATION_CACHE_DIR": str(Path(folder) / "compiled")}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *arguments], cwd=folder, env={**os.environ, **places}, check=True, stdout=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and keep."""
    options = commands.parser(COMMAND, __doc__, "one round").parse_args(arguments)
    rounds = 1 if options.tiny else ROUNDS
    rows = measure(rounds)
    note = (
        f"processor seconds of processes after a first one, user and system; best of {rounds} rounds "
        f"({timing.machine()}). The phases, indented, are those of a random sound, which should take at most "
        f"{BOUND_S:g} s"
    )
    name = None if options.tiny else "command"
    measures.report(name, COMMAND, ["what", "seconds", "times JAX alone"], rows, note, on_real_sounds=False)


if __name__ == "__main__":
    main()
