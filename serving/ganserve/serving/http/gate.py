"""What every HTTP request passes on its way in and out, as gRPC calls pass the `CallGate`.

Whatever holds for all requests goes into `HttpGate._admit`, such as who may ask.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ganserve.contract.errors import (
    AccessError,
    CallCancelledError,
    OverloadedError,
    UnavailableError,
    UnsupportedError,
)
from ganserve.serving.access import Access
from ganserve.serving.answers import WhenSent
from ganserve.serving.counted_call import OK, CallObserver, CountedCall, current_call
from ganserve.serving.metrics import Metrics
from ganserve.serving.scopes import scopes_of_path
from ganserve.serving.status import as_request_error
from ganserve.serving.throttled_log import ThrottledLog

from .bodies import Inbox
from .callers import authorization_of
from .problems import problem_response

_RETRY_S: Final = 1.0
_CHUNK_BYTES: Final = 64 * 1024
_SENT: Final = "ganserve.sent"
_BOUNDED: Final = "/v1/"  # probes and metrics are answered on the worst of days too
_SENT_TO: Final = ("/transform", "/score")  # with an image as the body
_OTHER: Final = "HTTP other"
_LONGEST_TOLD: Final = 80

_log = logging.getLogger(__name__)


class HttpGate:
    """Bounds requests, counts them, makes problems of their errors, and cancels what nobody waits for any more.

    An ASGI application in front of another, which raises errors of `ganserve.contract.errors`.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        *,
        access: Access | None = None,
        observers: Sequence[CallObserver] = (),
        max_calls: int,
        stall_s: float,
    ) -> None:
        """Starts open.

        Args:
            app: answers.
            metrics: what is counted.
            access: knows who may ask for what; None where everybody may.
            observers: are told of requests that have ended.
            max_calls: most requests for models and samples at once.
            stall_s: seconds after which a reply ends whose reader takes nothing.
        """
        self._app = app
        self._metrics = metrics
        self._access = access
        self._observers = observers
        self._max_calls = max_calls
        self._stall_s = stall_s
        self._num_calls = 0
        self._emptied = asyncio.Event()
        self._emptied.set()
        self._closed = False
        self._refused = metrics.refusals.child("calls")
        self._denied = ThrottledLog(_log)
        self._too_many = ThrottledLog(_log)
        metrics.calls_in_progress.show(lambda: self._num_calls, "http")
        metrics.calls_limit.show(lambda: self._max_calls, "http")

    def close(self) -> None:
        """From now on requests for models and samples are refused."""
        self._closed = True

    async def emptied(self, *, timeout_s: float) -> None:
        """Waits until none of those is under way, but no longer than that."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._emptied.wait(), timeout_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, for as long as its client waits."""
        call = CountedCall(self._metrics, self._metrics.of_method(_OTHER), _HttpOrigin(scope), self._observers)
        current_call.set(call)
        reply = _Reply(send, call, self._stall_s, is_private=self._access is not None)
        inbox = Inbox(receive, scope)
        when_over: list[Callable[[], None]] = []
        scope[_SENT] = when_over.append
        answer = self._answer(scope, reply, call)  # which looks who asks before a byte of a body is read
        tasks = [asyncio.create_task(answer), asyncio.create_task(inbox.emptied(keep=_takes_body(scope)))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            try:
                await asyncio.gather(*tasks, return_exceptions=True)
            finally:
                for act in when_over:
                    act()
                call.code = call.code or CallCancelledError.status
                call.end()

    async def _answer(self, scope: Scope, reply: _Reply, call: CountedCall) -> None:
        is_bounded = scope["path"].startswith(_BOUNDED)
        try:
            self._admit(scope, call, is_bounded)
            if is_bounded:
                self._enter()
            try:
                await self._app(scope, _nothing, reply.send)
            finally:
                if is_bounded:
                    self._leave()
            call.code = call.code or OK
        except Exception as error:  # noqa: BLE001 - the last resort
            told = as_request_error(error)
            call.fail(told)
            if not reply.has_begun:
                response = problem_response(told, call.request_id, allow=_allowed(scope["path"]))
                await response(scope, _nothing, reply.send)

    def _admit(self, scope: Scope, call: CountedCall, is_bounded: bool) -> None:
        """Whether a request may begin. Raises RequestError."""
        if scope["method"] not in _allowed(scope["path"]):
            raise UnsupportedError(
                f"{scope['method'][:20]} is not understood here; use {' or '.join(_allowed(scope['path']))}"
            )
        if self._access is not None:
            self._identify(self._access, scope, call)
        if not is_bounded:
            return
        if self._closed:
            raise UnavailableError("the server is stopping; ask another, or try again shortly", retry_after_s=_RETRY_S)
        if self._num_calls >= self._max_calls:
            self._refused.add()
            self._too_many.warning(
                f"a request was refused: as many are under way as --max-calls {self._max_calls} allows"
            )
            raise OverloadedError(
                f"this server takes no more requests at once than {self._max_calls:,}; try again shortly",
                retry_after_s=_RETRY_S,
            )

    def _identify(self, access: Access, scope: Scope, call: CountedCall) -> None:
        """Finds out who makes a call. Raises AccessError."""
        path = scope["path"]
        scopes = scopes_of_path(path)
        if scopes is None:
            return
        try:
            call.identity = access.identify(authorization_of(scope), scopes, path[:_LONGEST_TOLD])
        except AccessError as error:
            host, _ = scope.get("client") or ("", 0)
            self._denied.warning(f"{path[:_LONGEST_TOLD]!r} was refused to {host}: {error}")
            raise

    def _enter(self) -> None:
        self._num_calls += 1
        self._emptied.clear()

    def _leave(self) -> None:
        self._num_calls -= 1
        if not self._num_calls:
            self._emptied.set()


def when_sent(scope: Scope) -> WhenSent:
    """Has something done once the reply is sent, or the client has left."""
    act: WhenSent = scope[_SENT]
    return act


class _HttpOrigin:
    """Where a request comes from, as a context of gRPC would tell it."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def peer(self) -> str:
        host, port = self._scope.get("client") or ("", 0)
        return f"http:{host}:{port}"

    def invocation_metadata(self) -> Iterator[tuple[str, str]]:
        return ((name.decode("latin-1"), value.decode("latin-1")) for name, value in self._scope["headers"])


class _Reply:
    """The way of a reply to its client: counted, in pieces that are taken one by one, and ended where none is taken."""

    def __init__(self, send: Send, call: CountedCall, stall_s: float, *, is_private: bool) -> None:
        self.has_begun = False
        self._send = send
        self._call = call
        self._stall_s = stall_s
        self._is_private = is_private

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            headers = [self._as_told(*header) for header in message["headers"]]
            await self._send({**message, "headers": [*headers, (b"x-content-type-options", b"nosniff")]})
            return
        body, has_more = message.get("body", b""), message.get("more_body", False)
        self._call.method.reply_bytes.add(len(body))
        for start in range(0, len(body) or 1, _CHUNK_BYTES):
            stop = start + _CHUNK_BYTES
            piece = {"type": "http.response.body", "body": body[start:stop], "more_body": has_more or stop < len(body)}
            await self._pass_on(piece)

    def _as_told(self, name: bytes, value: bytes) -> tuple[bytes, bytes]:
        """A header of a reply that shared caches must not give to those who have no token."""
        if self._is_private and name.lower() == b"cache-control":
            value = value.replace(b"public", b"private")
        return name, value

    async def _pass_on(self, piece: Message) -> None:
        try:
            async with asyncio.timeout(self._stall_s):
                await self._send(piece)
        except TimeoutError as error:
            raise UnavailableError(f"nothing of the reply was taken for {self._stall_s:g} s, so it ends") from error


def _allowed(path: str) -> tuple[str, ...]:
    """The methods that a path is asked for with."""
    return ("POST",) if path.startswith(_BOUNDED) and path.endswith(_SENT_TO) else ("GET", "HEAD")


def _takes_body(scope: Scope) -> bool:
    return scope["method"] == "POST" and scope["method"] in _allowed(scope["path"])


async def _nothing() -> Message:
    """What an application receives: a request without a body."""
    return {"type": "http.request", "body": b"", "more_body": False}


def method_name(path: str) -> str:
    """What calls of a route are counted as."""
    return f"{_allowed(path)[0]} {path}"


def count_as(metrics: Metrics, path: str, handle: Any) -> Any:
    """The handler of a route, whose calls are counted as those of its path."""
    method = metrics.of_method(method_name(path))

    async def handle_counted(request: Any) -> Any:
        if call := current_call.get():
            call.method = method
        return await handle(request)

    return handle_counted
