"""Time of calls, with all that JAX computes in them."""

import os
import statistics
import time
from collections.abc import Callable, Iterable

import jax


def seconds(work: Callable[[], object]) -> float:
    """The duration of a call, until its arrays are there."""
    start = time.perf_counter()
    jax.block_until_ready(work())
    return time.perf_counter() - start


def median_ms(calls: Iterable[Callable[[], object]]) -> float:
    """The median duration of calls, milliseconds."""
    return 1000 * statistics.median(map(seconds, calls))


def machine() -> str:
    """The machine's cores and how busy it is, for notes on timings."""
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
