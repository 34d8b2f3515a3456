"""Calls that wait for their turn and run on threads, and the futures that their callers hold.

Threads live for as long as there is something to do. A forked child has none of them: there, what its parent waits for
ends with an error, and the child's own calls begin anew. concurrent.futures' own pool would keep idle threads, and
would leave whoever waits for several futures waiting when those that have not begun are cancelled.
"""

from __future__ import annotations

import functools
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final
from weakref import WeakSet

from ganserve.client._samples.samples import Samples
from ganserve.client._transport.connections import CLOSED, CLOSED_MIDWAY
from ganserve.contract.errors import CallCancelledError

CALLS_AT_ONCE: Final = 8


class LostInForkError(CallCancelledError):
    """The call is one of the process that this one was forked from."""


class _Submitted(Future[Samples]):
    """What a caller of `submit` holds."""

    def lose_in_fork(self) -> None:
        """Ends it in a child, where the locks may be held, and the callbacks be waited for, by nobody who is there."""
        self._condition = threading.Condition()
        if self.done():
            return
        self._waiters = []
        self._done_callbacks: list[object] = []
        self.set_exception(
            LostInForkError("this call is under way in the process that this one was forked from; make it again")
        )


class Submissions:
    """Calls for samples, so many of which run at a time, begun in the order in which they came.

    Safe to share between threads. A pickled copy has none of the calls.
    """

    def __init__(self, most_at_once: int) -> None:
        self._most_at_once = most_at_once
        self._closed = False
        self._begin_anew()

    def submit(self, call: Callable[[], Samples]) -> Future[Samples]:
        """Has `call` run when its turn comes. Raises RuntimeError when closed."""
        future = _Submitted()
        with self._lock:
            if self._closed:
                raise RuntimeError(CLOSED)
            if self._num_threads < self._most_at_once:
                threading.Thread(target=self._run, name="ganserve-submit").start()
                self._num_threads += 1
            self._unfinished.add(future)
            self._waiting.append((future, call))
        return future

    def close(self) -> None:
        """Cancels what has not begun. What is under way goes on."""
        with self._lock:
            self._closed = True
            waiting = list(self._waiting)
            self._waiting.clear()
        for future, _ in waiting:
            future.cancel()
            future.set_running_or_notify_cancel()
            self._unfinished.discard(future)

    def lose_in_fork(self) -> None:
        """In a forked child: there are no threads, and any lock may be held by one that is not there."""
        lost = self._unfinished
        self._begin_anew()
        for future in lost:
            future.lose_in_fork()

    def __getstate__(self) -> dict[str, Any]:
        return {"most_at_once": self._most_at_once, "closed": self._closed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._most_at_once = state["most_at_once"]
        self._closed = state["closed"]
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._lock = threading.RLock()  # `close` may be called by a finalizer, in the middle of anything
        self._waiting: deque[tuple[_Submitted, Callable[[], Samples]]] = deque()
        self._unfinished: set[_Submitted] = set()
        self._num_threads = 0
        _in_use.add(self)

    def _run(self) -> None:
        """A thread: makes calls until none waits."""
        while True:
            with self._lock:
                try:
                    future, call = self._waiting.popleft()
                except IndexError:
                    self._num_threads -= 1
                    return
            if future.set_running_or_notify_cancel():
                self._make(call, future)
            self._unfinished.discard(future)
            del future, call  # which hold the samples

    def _make(self, call: Callable[[], Samples], future: _Submitted) -> None:
        try:
            samples = call()
        except BaseException as error:  # noqa: BLE001 - whoever asks for the result gets it
            is_late = self._closed and isinstance(error, RuntimeError)
            future.set_exception(CallCancelledError(CLOSED_MIDWAY) if is_late else error)
        else:
            future.set_result(samples)


class SubmittedCall:
    """A call on a thread. In a process that was forked since, it is made anew."""

    def __init__(self, submissions: Submissions, call: Callable[[], Samples]) -> None:
        """Submits it."""
        self._submit = functools.partial(submissions.submit, call)
        self._future = self._submit()

    def samples(self) -> Samples:
        """Waits for them."""
        while True:
            try:
                return self._future.result()
            except LostInForkError:
                self._future = self._submit()

    def cancel(self) -> None:
        """Takes the call back where it has not begun."""
        self._future.cancel()


_in_use: WeakSet[Submissions] = WeakSet()


def _after_fork_in_child() -> None:
    for submissions in list(_in_use):
        submissions.lose_in_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
