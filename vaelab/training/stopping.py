"""Signals that ask a run to stop: an event that is set at once, and acted on between two steps."""

import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STOPS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """Turn Ctrl-C, a notebook's stop button and SIGTERM into an event, so that a step is never cut in two.

    Signals reach the main thread only; elsewhere the event is never set.
    """
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    previous = {number: signal.signal(number, lambda *_: stopped.set()) for number in STOPS}
    try:
        with _told_at_once():
            yield stopped
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def _told_at_once() -> Iterator[None]:
    """Answer a signal to stop from a thread of its own: the main one may be busy with a compilation or a step."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def answer() -> None:
        while numbers := reader.recv(16):
            if set(numbers) & set(STOPS):
                print("\nstopping, saving", file=sys.stderr, flush=True)

    thread = threading.Thread(target=answer, daemon=True)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        writer.close()
        thread.join()
        reader.close()
