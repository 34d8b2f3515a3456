"""One thread that ends whatever takes too long, however many wait for something at once."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager


class Watch:
    """Something that is waited for.

    Attributes:
        late: whether the time is up, and the watchdog has given up on it.
    """

    def __init__(self, end_s: float, give_up: Callable[[], object]) -> None:
        self.end_s = end_s
        self.give_up = give_up
        self.late = False


class Watchdog:
    """Calls what gives up on a wait when its time is up. Its one thread starts with the first wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watches: set[Watch] = set()
        self._wakes_s = math.inf
        self._thread: threading.Thread | None = None

    @contextmanager
    def watching(self, wait_s: float | None, give_up: Callable[[], object]) -> Iterator[Watch]:
        """Calls `give_up`, from another thread, where the body is not through in time; None waits for ever."""
        watch = self.begin(wait_s, give_up)
        try:
            yield watch
        finally:
            self.end(watch)

    def begin(self, wait_s: float | None, give_up: Callable[[], object]) -> Watch:
        """Calls `give_up`, from another thread, unless the watch is ended in time; None waits for ever."""
        watch = Watch(math.inf if wait_s is None else time.monotonic() + wait_s, give_up)
        if wait_s is not None:
            self._add(watch)
        return watch

    def end(self, watch: Watch) -> None:
        """Gives up on nothing any more."""
        with self._changed:
            self._watches.discard(watch)

    def _add(self, watch: Watch) -> None:
        with self._changed:
            self._watches.add(watch)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ganserve-watchdog", daemon=True)
                self._thread.start()
            elif watch.end_s < self._wakes_s:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            for watch in self._take_late():
                watch.give_up()

    def _take_late(self) -> list[Watch]:
        """Waits until the time of some is up."""
        with self._changed:
            while True:
                now_s = time.monotonic()
                if late := [watch for watch in self._watches if watch.end_s <= now_s]:
                    self._watches.difference_update(late)
                    for watch in late:
                        watch.late = True
                    return late
                self._wakes_s = min((watch.end_s for watch in self._watches), default=math.inf)
                self._changed.wait(min(self._wakes_s - now_s, threading.TIMEOUT_MAX))


def watching(wait_s: float | None, give_up: Callable[[], object]) -> AbstractContextManager[Watch]:
    """`Watchdog.watching` of the one that this process has."""
    return _watchdog.watching(wait_s, give_up)


def begin_watch(wait_s: float | None, give_up: Callable[[], object]) -> Watch:
    """`Watchdog.begin` of the one that this process has."""
    return _watchdog.begin(wait_s, give_up)


def end_watch(watch: Watch | None) -> None:
    """`Watchdog.end` of the one that this process has."""
    if watch is not None:
        _watchdog.end(watch)


_watchdog = Watchdog()


def _start_anew() -> None:
    """A forked child has neither the thread nor the waits of its parent, and may have inherited the lock locked."""
    global _watchdog
    _watchdog = Watchdog()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
