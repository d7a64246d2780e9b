"""A worker thread that runs only the most recent job, so that a view never waits for an outdated one."""

import threading
from collections import deque
from collections.abc import Callable

Stopped = Callable[[], bool]  # whether a newer job came, or the job was cancelled
Job = Callable[[Stopped], None]


class Latest:
    """Does jobs in a thread, the newest first and the others not at all; there is none while there is nothing to do.

    A job that waits is dropped when a newer one comes; one that runs is told so by the function it is given, and
    should look between its steps. An error that leaves a job is reported by `threading.excepthook`.

    Attributes:
        sync: Do each job in `submit` itself, for tests without a browser.
        started: How many jobs began, kept ones apart.
    """

    def __init__(self, sync: bool = False):
        self.sync = sync
        self.started = 0
        self._turn = 0
        self._waiting: tuple[int, Job] | None = None
        self._kept: deque[Job] = deque()
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()

    def submit(self, job: Job) -> None:
        """Do a job in place of all before it."""
        with self._changed:
            self._turn += 1
            self._waiting = (self._turn, job)
        self._begin()

    def keep(self, job: Job) -> None:
        """Do a job before the newest one, and whatever comes: saving, for one. It is never told to stop."""
        with self._changed:
            self._kept.append(job)
        self._begin()

    def cancel(self) -> None:
        """Drop the job that waits, and tell the one that runs to stop."""
        with self._changed:
            self._turn += 1
            self._waiting = None

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until there is nothing to do; False if that took too long."""
        with self._changed:
            return self._changed.wait_for(lambda: self._thread is None, seconds)

    def _begin(self) -> None:
        if self.sync:
            self._work()
            return
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="vaelab", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        try:
            while taken := self._take():
                job, stopped = taken
                job(stopped)
        except BaseException:
            self._end()
            raise

    def _take(self) -> tuple[Job, Stopped] | None:
        """Take the next job; None ends the thread, within the lock, so that no job comes between."""
        with self._changed:
            if self._kept:
                return self._kept.popleft(), lambda: False
            if self._waiting is None:
                self._end()
                return None
            (turn, job), self._waiting = self._waiting, None
            self.started += 1
            return job, lambda: turn != self._turn

    def _end(self) -> None:
        with self._changed:
            self._thread = None
            self._changed.notify_all()
