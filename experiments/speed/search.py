"""Speed of exact search, from a thousand sounds to a million: `python -m experiments.speed.search`.

Each size is a library file of random embeddings, opened and asked in a process of its own, whose peak memory counts.
Beside it stand a Python loop over scipy's Euclidean distance, and scikit-learn's brute force, on the same numbers.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from scipy.spatial import distance
from sklearn.neighbors import NearestNeighbors

from experiments.common import measures, timing
from experiments.speed.options import parsed
from vaelab.library import index, search

COMMAND = "python -m experiments.speed.search"
LATENT, TIMBRE, COUNT = 64, 256, 10  # a clip of the default front end has so many statistics of timbre
SIZES = (1_000, 10_000, 100_000, 1_000_000)
ASKED = 9  # queries; the median counts
TARGETS = {"query ms": 150, "open s": 1.0, "peak MB": 1000}  # of the largest
COLUMNS = [
    "sounds",
    "open s",
    "query ms",
    "peak MB",
    "cosine ms",
    "scipy loop ms",
    "ratio",
    "scikit-learn ms",
    "ratio ",
]


CHILD = """
import json, sys
from pathlib import Path
from experiments.speed import search
print(json.dumps(search.in_this_process(Path(sys.argv[1]))))
"""


def write(path: Path, sounds: int) -> None:
    """A library of random embeddings."""
    embeddings = np.random.default_rng(0).normal(size=(sounds, LATENT)).astype(np.float32)
    timbres = np.tile(embeddings, TIMBRE // LATENT).astype(np.float16)
    paths = sorted(f"folder_{number % 1000:03d}/sound_{number:07d}.wav" for number in range(sounds))
    rows = [index.Row(name, 0.0, 1.0, "ab" * 32, (1, 2, 3, 4), name[:10]) for name in paths]
    index.save(path, index.make("/sounds", "cd" * 32, {}, rows, embeddings, timbres))


def in_this_process(path: Path) -> dict[str, float]:
    """Open a library and ask it; seconds, milliseconds, megabytes."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is the parent's
    imported = megabytes("VmRSS")
    start = time.perf_counter()
    library = index.load(path)
    opened = time.perf_counter() - start
    squares = search.squared(library.embeddings)  # once, as a library does
    queries = np.random.default_rng(1).normal(size=(ASKED, LATENT)).astype(np.float32)

    def ask(metric: str) -> Callable:
        return lambda query: search.nearest(library.embeddings, query, COUNT, metric, None, squares)

    euclidean, cosine = (milliseconds(ask(metric), queries) for metric in search.METRICS)
    peak = megabytes("VmHWM") - imported
    return {"open s": opened, "query ms": euclidean, "peak MB": peak, "cosine ms": cosine}


def megabytes(name: str) -> float:
    """A number of this process's memory, as Linux has it; pages of mapped files count."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1]) / 1024


def milliseconds(ask: Callable, queries: np.ndarray) -> float:
    """The median of several queries after one to warm up."""
    ask(queries[0])
    return timing.median_ms(partial(ask, query) for query in queries)


def measure(folder: Path, sounds: int) -> list[float]:
    """One row of the table."""
    path = folder / f"{sounds}.safetensors"
    write(path, sounds)
    child = subprocess.run([sys.executable, "-c", CHILD, str(path)], capture_output=True, text=True, check=True)
    ours = json.loads(child.stdout)
    points = np.array(index.load(path).embeddings)
    queries = np.random.default_rng(1).normal(size=(3, LATENT)).astype(np.float32)

    def loop(query: np.ndarray) -> list[int]:
        apart = [distance.euclidean(point, query) for point in points]
        return sorted(range(len(apart)), key=apart.__getitem__)[:COUNT]

    brute = NearestNeighbors(n_neighbors=COUNT, algorithm="brute").fit(points)
    looped = milliseconds(loop, queries[:1])
    sklearns = milliseconds(lambda query: brute.kneighbors(query[None]), queries)
    path.unlink()
    own = ours["query ms"]
    return [
        sounds,
        ours["open s"],
        own,
        ours["peak MB"],
        ours["cosine ms"],
        looped,
        looped / own,
        sklearns,
        sklearns / own,
    ]


def report(tiny: bool = False) -> None:
    """Print the curve and keep it; a tiny one has one size, and is not kept."""
    sizes = SIZES[:1] if tiny else SIZES
    with tempfile.TemporaryDirectory() as scratch:
        rows = [measure(Path(scratch), sounds) for sounds in sizes]
    targets = ", ".join(f"{name} at most {most:g}" for name, most in TARGETS.items())
    note = (
        f"{COUNT} neighbours among embeddings of {LATENT} numbers, exact; after a first search, median of {ASKED}; "
        "peak memory beyond that of the imports. Ratio: time of the column before it divided by ours. Targets for a "
        f"million: {targets}. {timing.machine()}."
    )
    measures.report(None if tiny else "search", COMMAND, COLUMNS, rows, note)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and keep."""
    with parsed(COMMAND, __doc__, arguments) as options:
        report(options.tiny)


if __name__ == "__main__":
    main()
