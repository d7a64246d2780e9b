"""The newest job is done, the others are not; a running one is told to stop."""

import threading

import pytest

from vaelab.ui.worker import Latest

SECONDS = 10


class Steps:
    """A job that begins, waits to be let go, and keeps what it was told then."""

    def __init__(self):
        self.began, self.go, self.stopped = threading.Event(), threading.Event(), None

    def __call__(self, stopped):
        self.began.set()
        assert self.go.wait(SECONDS)
        self.stopped = stopped()


def test_does_the_first_and_the_last_of_many():
    worker, first, done = Latest(), Steps(), []
    worker.submit(first)
    assert first.began.wait(SECONDS)
    for number in range(20):
        worker.submit(lambda stopped, number=number: done.append((number, stopped())))
    first.go.set()
    assert worker.wait(SECONDS)
    assert first.stopped is True
    assert done == [(19, False)]
    assert worker.started == 2


def test_cancel_drops_what_waits_and_tells_what_runs():
    worker, first, done = Latest(), Steps(), []
    worker.submit(first)
    assert first.began.wait(SECONDS)
    worker.submit(lambda _: done.append("waiting"))
    worker.cancel()
    first.go.set()
    assert worker.wait(SECONDS)
    assert first.stopped is True
    assert done == []


def test_what_is_kept_is_done_whatever_comes():
    worker, first, done = Latest(), Steps(), []
    worker.submit(first)
    assert first.began.wait(SECONDS)
    for name in ("saved", "saved again"):
        worker.keep(lambda stopped, name=name: done.append((name, stopped())))
    worker.submit(lambda _: done.append("made"))
    worker.cancel()
    first.go.set()
    assert worker.wait(SECONDS)
    assert done == [("saved", False), ("saved again", False)]


def test_a_job_undisturbed_is_not_stopped_and_never_runs_where_it_was_submitted():
    worker, seen = Latest(), []
    worker.submit(lambda stopped: seen.append((threading.current_thread(), stopped())))
    assert worker.wait(SECONDS)
    assert seen[0][0] is not threading.current_thread()
    assert seen[0][1] is False


def test_sync_does_each_job_at_once():
    worker, done = Latest(sync=True), []
    for number in range(3):
        worker.submit(lambda stopped, number=number: done.append((number, stopped())))
        assert done[-1] == (number, False)
    assert worker.wait(0)


def test_a_job_that_fails_is_reported_and_does_not_end_the_others(monkeypatch):
    failures, done = [], []
    monkeypatch.setattr(threading, "excepthook", lambda failure: failures.append(failure.exc_type))
    worker = Latest()
    worker.submit(lambda _: 1 / 0)
    assert worker.wait(SECONDS)
    worker.submit(lambda _: done.append(1))
    assert worker.wait(SECONDS)
    assert done == [1]
    assert failures == [ZeroDivisionError]
    with pytest.raises(ZeroDivisionError):
        Latest(sync=True).submit(lambda _: 1 / 0)
