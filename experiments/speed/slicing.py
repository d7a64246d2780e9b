"""Speed and memory of slicing a long tape: `python -m experiments.speed.slicing`.

A stereo wav at 44.1 kHz, a built-in performance over and over, sliced by a process of its own.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from experiments.common import commands, measures, timing
from vaelab.audio import built_in_tape

COMMAND = "python -m experiments.speed.slicing"

RATE = 44100
PART_S = 300.0
CHILD = """
import json, sys, time
from vaelab import slicing
def kilobytes(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name))
before, start = kilobytes("VmRSS"), time.perf_counter()
segments = slicing.slice_file(sys.argv[1])
print(json.dumps([len(segments), time.perf_counter() - start, (kilobytes("VmHWM") - before) / 1000]))
"""


def write(path: Path, minutes: float) -> None:
    """A tape of some minutes, written block by block."""
    part = built_in_tape.perform(PART_S, seed=1, sample_rate=RATE).samples
    left = round(60 * minutes * RATE)
    with soundfile.SoundFile(path, "w", RATE, 2) as file:
        while left > 0:
            file.write(np.stack([part[:left], 0.9 * part[:left]], axis=1))
            left -= len(part)


def measure(minutes: float) -> tuple[int, float, float]:
    """Segments found in a tape of some minutes, seconds it took, and peak memory above that after imports, MB."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tape.wav"
        write(path, minutes)
        done = subprocess.run([sys.executable, "-c", CHILD, path], capture_output=True, text=True, check=True)
    return tuple(json.loads(done.stdout))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep the table."""
    parser = commands.parser(COMMAND, __doc__, "a tape of six seconds")
    parser.add_argument("--minutes", nargs="+", type=float, default=[10.0, 60.0], help="lengths (default 10 60)")
    options = parser.parse_args(arguments)
    rows = []
    for minutes in [0.1] if options.tiny else options.minutes:
        segments, seconds, megabytes = measure(minutes)
        rows.append([minutes, segments, seconds, 60 * minutes / seconds, megabytes])
    note = (
        f"stereo wav at {RATE} Hz, {timing.machine()}; memory is the peak beyond that of the imports. Target for 60 "
        "minutes: 60 times real time on two cores, 300 MB"
    )
    columns = ["minutes", "segments", "seconds", "times real time", "MB"]
    name = None if options.tiny else "slicing_speed"
    measures.report(name, COMMAND, columns, rows, note)


if __name__ == "__main__":
    main()
