"""Time to build a library from a folder: `python -m experiments.speed.library`."""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import jax

from experiments.common import measures, timing
from experiments.speed.options import parsed
from vaelab import SoundSampleTool
from vaelab import model as models
from vaelab.config import AudioConfig, ModelConfig
from vaelab.models import checkpoint

COMMAND = "python -m experiments.speed.library"
SAMPLEVAE_MS = 46.0  # a file, measured once on two cores of another day
TARGET = 20.0


def measure(folders: Sequence[Path], limit: int, rounds: int, keep: bool = True) -> None:
    """Open a library of real sounds with a model of the default size, cold, then again, then with ten files gone."""
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        sounds = home / "sounds"
        paths = list(measures.one_shots(folders or measures.FOLDERS))[:limit]
        for number, path in enumerate(paths):
            copy = sounds / f"{number % 20:02d}" / f"{number:05d}{path.suffix}"
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
        model = models.create(ModelConfig(), AudioConfig(), jax.random.key(0))
        checkpoint.save_model(home / "m.safetensors", model, {})
        tool = SoundSampleTool(home / "m.safetensors")
        cold, again = [], []
        for number in range(rounds):
            opened = partial(tool.open_library, sounds, home=home / str(number), progress=False)
            cold.append(timing.seconds(opened))
            again.append(timing.seconds(opened))
        count = len(tool.library)
    ms = [1000 * min(times) / count for times in (cold, again)]
    rows = [["new", ms[0], SAMPLEVAE_MS / ms[0], TARGET], ["unchanged", ms[1], SAMPLEVAE_MS / ms[1], None]]
    note = (
        f"milliseconds per file, {count} real sounds at 44.1 kHz, best of {rounds} after the first compilation, "
        f"nothing in the feature store. Ratio: SampleVAE's {SAMPLEVAE_MS:g} ms per file, measured once, divided by "
        f"ours; more is better. {timing.machine()}."
    )
    columns = ["files", "ms", "ratio", "target"]
    measures.report("library" if keep else None, COMMAND, columns, rows, note)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and keep."""
    with parsed(COMMAND, __doc__, arguments) as options:
        measure(options.data_dir, options.limit, options.rounds, keep=not options.tiny)


if __name__ == "__main__":
    main()
