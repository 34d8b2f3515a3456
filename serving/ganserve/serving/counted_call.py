"""The call that is being answered, and how it and its rows are counted and logged, whatever the protocol."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import Final, Protocol

from ganserve.contract.errors import CallCancelledError, DeadlineError, RequestError, ServerError

from .access import Identity
from .metrics import NO_MODEL, MethodMetrics, Metrics, ModelMetrics
from .request_ids import request_id_of
from .stopwatch import Stopwatch

OK: Final = "OK"


class Origin(Protocol):
    """Where a call comes from, and what came with it; a context of gRPC is one."""

    def peer(self) -> str: ...
    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...


class CallObserver(Protocol):
    """Is told of every call that has ended: the log is one, and traces are."""

    def tell(self, call: CountedCall, took_s: float) -> None: ...


class CountedCall:
    """One call, from its arrival on.

    Attributes:
        method: which it is of.
        model: whose samples it asks for, once that is known; the last of several.
        code: name of the gRPC status that it ends with; empty until that is known.
        error: why it failed, where that is known.
        origin: where it comes from.
        identity: whom it was made by; None where no tokens are asked for, and until that is known.
        num_rows: how many were sent.
        stopwatches: one for each request in it that a model was found for.
    """

    __slots__ = (
        *("_metrics", "_observers", "_request_id", "_start_s"),
        *("code", "error", "identity", "method", "model", "num_rows", "origin", "stopwatches"),
    )

    def __init__(
        self, metrics: Metrics, method: MethodMetrics, origin: Origin, observers: Sequence[CallObserver] = ()
    ) -> None:
        self.method = method
        self.model: ModelMetrics | None = None
        self.code = ""
        self.error: RequestError | None = None
        self.origin = origin
        self.identity: Identity | None = None
        self.num_rows = 0
        self.stopwatches: list[Stopwatch] = []
        self._metrics = metrics
        self._observers = observers
        self._request_id = ""
        self._start_s = time.monotonic()

    @property
    def request_id(self) -> str:
        """By which its caller and the log know it."""
        if not self._request_id:
            self._request_id = request_id_of(self.origin.invocation_metadata() or ())
        return self._request_id

    def fail(self, error: RequestError) -> None:
        """It ends with an error."""
        self.code, self.error = error.status, error

    def end(self) -> None:
        """Counts it, and tells those who observe calls."""
        labels = self.model.labels if self.model else NO_MODEL
        took_s = time.monotonic() - self._start_s
        self._metrics.calls.child(*labels, self.method.name, self.code).add()
        self.method.call_s.observe(took_s)
        for observer in self._observers:
            observer.tell(self, took_s)


current_call: Final[ContextVar[CountedCall | None]] = ContextVar("current_call", default=None)
"""Of the task that answers it, and of the tasks that this one starts."""


def current_identity() -> Identity | None:
    """Whom the current call was made by; None where no tokens are asked for."""
    call = current_call.get()
    return call.identity if call else None


class CountedRows:
    """Counts the rows of a request by how the body ends, as those of the current call."""

    __slots__ = ("_deadline_s", "_model", "_num_rows")

    def __init__(self, model: ModelMetrics, num_rows: int, deadline_s: float | None) -> None:
        self._model = model
        self._num_rows = num_rows
        self._deadline_s = deadline_s

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        count_rows(self._model, self._num_rows, OK if error is None else code_of(error, self._deadline_s))


def code_of(error: BaseException, deadline_s: float | None) -> str:
    """Name of the gRPC status that stands for an error: one that cancels, once the deadline has passed, is that."""
    if isinstance(error, RequestError):
        return error.status
    if isinstance(error, Exception):
        return ServerError.status
    is_over = deadline_s is not None and deadline_s <= time.monotonic()
    return DeadlineError.status if is_over else CallCancelledError.status


def count_rows(model: ModelMetrics, num_rows: int, code: str) -> None:
    """Rows of the current call were sent, or not."""
    call = current_call.get()
    if call and code == OK:
        call.num_rows += num_rows
    model.count_rows(call.method.name if call else "", code, num_rows)


def note_request(stopwatch: Stopwatch) -> None:
    """A request of the current call has found its model; the stopwatch tells where its time goes."""
    if call := current_call.get():
        call.stopwatches.append(stopwatch)
