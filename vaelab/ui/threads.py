"""Widgets whose traits change in more than one thread: the page's, which answers the browser, and workers'."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import anywidget


class SharedWidget(anywidget.AnyWidget):
    """A widget that sends the changes of every thread.

    ipywidgets counts on one thread: of two that hold their changes back at a time, the first to send also forgets those
    of the other. Here they take turns.
    """

    def __init__(self, **traits):
        self._sending = threading.RLock()
        super().__init__(**traits)

    @contextmanager
    def hold_sync(self) -> Iterator[None]:
        """Hold changes back as every widget does, one thread after the other."""
        with self._sending, super().hold_sync():
            yield

    def notify_change(self, change: Mapping[str, Any]) -> None:
        """Send a change as every widget does, while no other thread holds its changes back."""
        with self._sending:
            super().notify_change(change)
