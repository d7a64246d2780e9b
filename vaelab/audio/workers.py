"""Work in processes that may die: each item's result, or the reason why it has none.

A decoder that crashes, spins or asks for too much memory takes its worker with it, never the session: the item is
found, named and left out, and the others go on. Workers import what the function needs and no more. Where joblib's
active backend is a cluster's, as that of Dask, its workers do the work: they must read the files under the same names.
Where a system has no shared memory for processes, all is done in this one, without limits.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from typing import Any

import joblib

ADDRESS_SPACE = 1 << 30  # bytes a worker may map
CPU_SECONDS = 60  # an item may take
WINDOW = 4096  # items whose results may wait for the caller
DIED = "expected a file that decodes, found one that crashes the decoder or takes it more than a minute; left out"
TOO_LARGE = "expected a file that decodes within 1 GB of memory, found one that needs more; left out"


def outcomes(
    function: Callable[..., Any],
    items: Iterable[tuple],
    refusal: type[Exception],
    chunk: int = 1,
    window: int = WINDOW,
    limited: bool = True,
) -> Iterator[tuple[Any, str | None]]:
    """`function(*item)` for each item, in order.

    Args:
        function: Importable by name.
        items: Arguments.
        refusal: The error, with a `reason`, by which the function refuses an item.
        chunk: Items per message to a worker.
        window: Results that may pile up while the caller is busy.
        limited: Impose limits of memory and processor time on workers of this machine.

    Yields:
        (result, None), or (None, reason) where the function refused the item or its worker died.
    """
    items = iter(items)
    while waiting := list(islice(items, window)):
        done = 0
        try:
            for outcome in chain.from_iterable(_pool(function, waiting, refusal, chunk, limited)):
                done += 1
                yield outcome
        except BrokenProcessPool:
            for item in waiting[done:]:
                yield _alone(function, item, refusal, limited)


def long_outcomes(
    function: Callable[..., Any], items: Sequence[tuple], refusal: type[Exception]
) -> Iterator[tuple[Any, str | None]]:
    """As `outcomes`, without its limits, for items that take long and write what they make.

    A single one is done in this process, and so are all where joblib's active backend has no processes.
    """
    backend = _backend()
    if _is_cluster(backend) or (len(items) > 1 and type(backend).__name__ == "LokyBackend"):
        return outcomes(function, items, refusal, limited=False)
    return (_outcome(function, item, refusal, limited=False) for item in items)


def on_a_cluster(
    function: Callable[..., Any], items: Iterable[tuple], refusal: type[Exception]
) -> Iterator[tuple[Any, str | None]]:
    """As `outcomes` where a cluster is active; else in this process, one item after the other, without limits.

    For long items, which the limits of local workers are not made for.
    """
    if _is_cluster(_backend()):
        return outcomes(function, items, refusal)
    return (_outcome(function, item, refusal, limited=False) for item in items)


def _backend() -> Any:
    """joblib's active backend; None where it has none, since processes cannot share memory (no writable /dev/shm)."""
    try:
        return joblib.parallel.get_active_backend()[0]
    except KeyError:
        return None


def _is_cluster(backend: Any) -> bool:
    local = ("NoneType", "LokyBackend", "MultiprocessingBackend", "ThreadingBackend", "SequentialBackend")
    return type(backend).__name__ not in local


def _pool(
    function: Callable, items: Sequence[tuple], refusal: type[Exception], chunk: int, limited: bool
) -> Iterator[list[tuple[Any, str | None]]]:
    backend = _backend()
    if backend is None:
        return ([_outcome(function, item, refusal, limited=False)] for item in items)
    if (client := getattr(backend, "client", None)) is not None:
        return _on_dask(client, function, items, refusal, chunk)
    # Two at least: with one, joblib would work in this process.
    n_jobs = 2 if joblib.cpu_count() == 1 else -1
    if not limited:  # such items are few: no more processes than these
        n_jobs = max(2, min(joblib.cpu_count(), len(items)))
    # A cluster's own workers are not ours to confine.
    ours = type(backend).__name__ == "LokyBackend"
    how = {"initializer": _confine, "initargs": (os.getpid(), limited)} if ours else {}
    how["return_as"] = "generator" if backend.supports_return_generator else "list"
    pool = joblib.Parallel(n_jobs=n_jobs, batch_size=1, **how)
    chunks = (items[start : start + chunk] for start in range(0, len(items), chunk))
    return pool(joblib.delayed(_outcomes)(function, part, refusal, ours and limited) for part in chunks)


def _alone(function: Callable, item: tuple, refusal: type[Exception], limited: bool) -> tuple[Any, str | None]:
    """One item with the workers to itself, so that a death has one cause."""
    try:
        return next(iter(_pool(function, [item], refusal, 1, limited)))[0]
    except BrokenProcessPool:
        return None, DIED


def _on_dask(
    client: Any, function: Callable, items: Sequence[tuple], refusal: type[Exception], chunk: int
) -> Iterator[list[tuple[Any, str | None]]]:
    """The same by the client of a Dask cluster: joblib would wait for ever for a task whose workers died."""
    from distributed import KilledWorker

    def submitted(part: Sequence[tuple]) -> Any:
        return client.submit(_outcomes, function, part, refusal, False, pure=False)

    parts = [items[start : start + chunk] for start in range(0, len(items), chunk)]
    for part, future in [(part, submitted(part)) for part in parts]:
        try:
            yield future.result()
        except KilledWorker:
            for item in part:
                try:
                    yield submitted([item]).result()
                except KilledWorker:
                    yield [(None, DIED)]


def _outcomes(
    function: Callable, items: Sequence[tuple], refusal: type[Exception], limited: bool
) -> list[tuple[Any, str | None]]:
    return [_outcome(function, item, refusal, limited) for item in items]


def _outcome(function: Callable, item: tuple, refusal: type[Exception], limited: bool = True) -> tuple[Any, str | None]:
    with _cpu_limit() if limited else contextlib.nullcontext():
        try:
            return function(*item), None
        except refusal as error:
            return None, error.reason
        except MemoryError:
            return None, TOO_LARGE
        except Exception as error:  # the last line of defence: one strange file must not end a scan of 100,000
            return None, f"expected a file that decodes, found {type(error).__name__}: {error}"


@contextlib.contextmanager
def _cpu_limit() -> Iterator[None]:
    """Let the kernel end a worker whose item takes too long: its timer works while C code spins."""
    if not hasattr(signal, "setitimer"):
        yield
        return
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _confine(session: int, limited: bool) -> None:
    """In a worker, once: no last word on the terminal, no life beyond the session, and bounded memory if `limited`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the session ends its workers itself
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stderr.fileno())  # decoders print remarks about each odd file
    threading.Thread(target=_leave_with, args=(session,), daemon=True).start()
    if not limited:
        return
    try:
        import resource
    except ImportError:  # not on Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    with contextlib.suppress(ValueError):  # macOS has the limit, but may refuse to set it
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, hard))


def _leave_with(session: int) -> None:
    """End this process soon after a session that was killed and could not end it."""
    while os.getppid() == session:
        time.sleep(0.5)
    os._exit(1)
