"""A hundred thousand files: `python -m experiments.speed.scale`.

Makes a tree of small sounds, each readable and of its own content, and a dataset of it; adds ten and makes it again;
then builds the features of the first sounds, and of ten more. For each step it prints the seconds, how many files were
decoded, and the peak memory of the whole process tree: the resident memory of this process and all below it, added up
ten times a second. Pages that processes share are counted for each of them.
"""

import re
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from experiments.common import commands
from vaelab.audio import workers
from vaelab.config import AudioConfig
from vaelab.data import make_dataset
from vaelab.datasets.scan_cache import SETTLED_NS

COMMAND = "python -m experiments.speed.scale"

RATE = 8000
KINDS = (("wav", "WAV"), ("wav", "WAV"), ("aiff", "AIFF"), ("flac", "FLAC"))  # a library's usual mix
IN_A_FOLDER = 250
ADDED = 10


def write_tree(root: Path, first: int, count: int) -> None:
    """Write sounds number `first` to `first + count`: a twentieth of a second of noise each, in folders."""
    for number in range(first, first + count):
        suffix, container = KINDS[number % len(KINDS)]
        folder = root / f"pack {number // IN_A_FOLDER:05d}"
        folder.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).standard_normal(RATE // 20).astype(np.float32)
        soundfile.write(folder / f"{number:06d}.{suffix}", 0.1 * noise, RATE, format=container)


@dataclass
class Cost:
    """Cost of a step: seconds, decoded files, and the peak memory of the process tree in bytes."""

    seconds: float = 0.0
    decoded: int = 0
    peak: int = 0


@contextmanager
def measured() -> Iterator[Cost]:
    """Measure a step. Files are counted where they are handed to the workers, the only place that decodes."""
    cost, ended, outcomes = Cost(), threading.Event(), workers.outcomes

    def counted(function, items, *rest, **options):
        def each():
            for item in items:
                cost.decoded += 1
                yield item

        return outcomes(function, each(), *rest, **options)

    def watch() -> None:
        while not ended.wait(0.1):
            cost.peak = max(cost.peak, tree_memory())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    workers.outcomes, start = counted, time.perf_counter()
    try:
        yield cost
    finally:
        cost.seconds = time.perf_counter() - start
        workers.outcomes = outcomes
        cost.peak = max(cost.peak, tree_memory())
        ended.set()
        watcher.join()


def tree_memory(pid: int | str = "self") -> int:
    """Resident bytes of a process and all below it, as Linux counts them in /proc; 0 once it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [child for task in tasks for child in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return 0
    resident = re.search(r"VmRSS:\s+(\d+) kB", status)
    return (1024 * int(resident[1]) if resident else 0) + sum(tree_memory(child) for child in children)


def run(files: int, features: int, scratch: Path) -> dict[str, Cost]:
    """Every step, in order, printed as it ends."""
    root, home, costs = scratch / "sounds", scratch / "datasets", {}

    def make(step: str):
        time.sleep(SETTLED_NS / 1e9)  # files of this moment are read again the next time
        with measured() as costs[step]:
            dataset = make_dataset([root], "scale", home=home, progress=False)
        tell(step, costs[step], f"{len(dataset.side('train'))} train, {len(dataset.side('validation'))} validation")
        return dataset

    write_tree(root, 0, files)
    before = make("scanned and split")
    write_tree(root, files, ADDED)
    after = make(f"{ADDED} added")
    make("nothing added")
    new = {entry.sha256 for entry in after.entries} - {entry.sha256 for entry in before.entries}

    from vaelab.datasets.feature_store import FeatureStore  # the scan needs no JAX, and must not be charged for it

    store = FeatureStore(home / ".store", AudioConfig())
    sounds = {entry.sha256: after.source(entry) for entry in after.entries}
    some = dict([item for item in sounds.items() if item[0] not in new][:features])
    for step, wanted in ((f"features of {len(some)}", some), (f"of {ADDED} more", some | {s: sounds[s] for s in new})):
        with measured() as costs[step]:
            failed = store.build(wanted, progress=False)
        tell(step, costs[step], f"{len(store)} in the store, {len(failed)} failed")
    return costs


def tell(step: str, cost: Cost, answer: str) -> None:
    """Print a line."""
    print(f"{step:20s}{cost.seconds:8.1f} s {cost.decoded:8d} decoded {cost.peak / 1e6:7.0f} MB   {answer}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the tree in a temporary folder and measure."""
    parser = commands.parser(COMMAND, __doc__, "sixty sounds")
    parser.add_argument("--files", type=int, default=100_000, help="sounds (default 100000)")
    parser.add_argument("--features", type=int, default=5000, help="of which features are built (default 5000)")
    options = parser.parse_args(arguments)
    if options.tiny:
        options.files, options.features = 60, 20
    with tempfile.TemporaryDirectory() as scratch:
        run(options.files, min(options.features, options.files), Path(scratch))


if __name__ == "__main__":
    main()
