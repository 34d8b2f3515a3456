"""What every call passes on its way in and out, whatever its method.

A handler behind the gate gets requests that could be decoded, and raises errors of `ganserve.contract.errors`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from ganserve.contract.errors import (
    AccessError,
    InvalidRequestError,
    OverloadedError,
    RequestError,
    UnavailableError,
)

from .access import Access
from .counted_call import CallObserver, current_call
from .grpc_calls import Context, counted, counted_decoder, counted_encoder
from .large_requests import LargeRequests
from .metrics import Metrics
from .scopes import scopes_of
from .slow_readers import SlowReaders
from .status import as_request_error, status_code, status_details, status_text
from .throttled_log import ThrottledLog

Decode: TypeAlias = Callable[[bytes], Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

_RETRY_S: Final = 1.0
_END: Final = object()  # of a stream of requests
_MAX_OTHER_STREAMS: Final = 1_000

_log = logging.getLogger(__name__)


class CallGate(grpc.aio.ServerInterceptor):
    """Knows who calls, bounds the calls of some services, and closes so that none is lost.

    gRPC cancels the calls that reach a server while it stops. So the gate is held first: calls that arrive wait, and
    calls that are done wait too, until every client has been told that the server goes away. A client that asks again
    only once it was answered has nothing on its way then. When the gate is closed, those that are done are answered,
    and those that arrived are told to ask another server; so are those that might go on asking in the same call.

    Attributes:
        slow_readers: of streams, which can be had to make room.
    """

    def __init__(
        self,
        *services: str,
        max_calls: int,
        stall_s: float,
        access: Access | None = None,
        metrics: Metrics | None = None,
        observers: Sequence[CallObserver] = (),
    ) -> None:
        """Starts open.

        Args:
            services: whose calls are bounded, waited for and refused. Those of others, such as health, are not
                waited for, and their streams have a bound of their own.
            max_calls: most calls at once.
            stall_s: seconds after which a stream ends whose reader takes nothing.
            access: knows who may call which method, of whatever service; None where everybody may call all.
            metrics: what is counted.
            observers: are told of calls that have ended.
        """
        self._prefixes = tuple(f"/{service}/" for service in services)
        self._max_calls = max_calls
        self.slow_readers = SlowReaders(stall_s)
        self._access = access
        self._metrics = metrics or Metrics()
        self._observers = observers
        self._metrics.calls_in_progress.show(lambda: self.num_calls, "grpc")
        self._metrics.calls_limit.show(lambda: self._max_calls, "grpc")
        self._refused = self._metrics.refusals.child("calls")
        self._large_requests = LargeRequests()
        self._guarded: dict[str, Handler] = {}
        self._open_calls: set[Context] = set()
        self._other_streams: set[Context] = set()
        self._awaited_calls: set[Context] = set()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self._passable = asyncio.Event()
        self._passable.set()
        self._closed = asyncio.Event()
        self._last_arrival_s = 0.0
        self._undecodable = ThrottledLog(_log)
        self._denied = ThrottledLog(_log)
        self._too_many = ThrottledLog(_log)

    @property
    def num_calls(self) -> int:
        """Calls that gRPC is not done with."""
        return len(self._open_calls)

    def hold(self) -> None:
        """From now on calls neither begin nor end."""
        self._passable.clear()

    async def settled(self, *, pause_s: float, timeout_s: float) -> None:
        """Waits until no call has arrived for `pause_s`, but no longer than `timeout_s`."""
        end_s = time.monotonic() + timeout_s
        while (now_s := time.monotonic()) < end_s:
            left_s = self._last_arrival_s + pause_s - now_s
            if left_s <= 0:
                return
            await asyncio.sleep(left_s)

    def close(self) -> None:
        """From now on calls end, and new ones are refused."""
        self._closed.set()
        self._passable.set()

    async def emptied(self, *, timeout_s: float) -> None:
        """Waits until no call is under way, but no longer than that."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._emptied.wait(), timeout_s)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """The handler of a method, behind the gate."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is not None and method not in self._guarded:
            self._guarded[method] = self._guard(handler, method)
        return self._guarded.get(method, handler)

    def _guard(self, handler: Any, method: str) -> Handler:
        counts = self._metrics.of_method(method.removeprefix("/"))
        decode = self._decoder(counted_decoder(handler.request_deserializer, counts), method)
        codec = (None, counted_encoder(handler.response_serializer, counts))
        if not handler.response_streaming:
            answer = counted(self._unary(handler.unary_unary, decode, method), self._metrics, counts, self._observers)
            return grpc.unary_unary_rpc_method_handler(answer, *codec)
        if not handler.request_streaming:
            answer = counted(self._stream(handler.unary_stream, decode, method), self._metrics, counts, self._observers)
            return grpc.unary_stream_rpc_method_handler(answer, *codec)
        answer = counted(self._stream(handler.stream_stream, decode, method), self._metrics, counts, self._observers)
        return grpc.stream_stream_rpc_method_handler(answer, *codec)

    def _decoder(self, decode: Decode, method: str) -> Decode:
        """Decodes the requests of a method, when they have been let in. Raises InvalidRequestError.

        Decoded by gRPC, they would all be there before the first of them is refused, and one may take 25 times the
        memory that it took on the wire.
        """

        def decode_request(data: bytes) -> Any:
            try:
                return decode(data)
            except DecodeError:
                self._undecodable.warning(
                    f"a request was refused: its {len(data)} bytes are no message that {method} takes"
                )
                raise InvalidRequestError(
                    f"the request is no message that {method} takes; is the caller made for another version?"
                ) from None

        return decode_request

    def _unary(self, answer: Any, decode: Decode, method: str) -> Any:
        async def answer_call(request: bytes, context: Context) -> Any:
            try:
                await self._enter(method, context)
                async with self._large_requests.place_for(request):
                    reply = await answer(decode(request), context)
                await self._passed()
            except Exception as error:  # noqa: BLE001 - the last resort
                del request
                await self._fail(error, context)
            else:
                return reply

        return answer_call

    def _stream(self, answer: Any, decode: Decode, method: str) -> Any:
        async def answer_call(request: Any, context: Context) -> None:
            try:
                await self._enter(method, context, is_stream=True)
                is_stream = hasattr(request, "__anext__")
                replies = answer(self._all_decoded(request, decode) if is_stream else decode(request), context)
                if inspect.isawaitable(replies):  # it writes by itself
                    await replies
                else:
                    async with aclosing(replies):
                        async for reply in replies:
                            await self._write(reply, context)
                await self._passed()
            except Exception as error:  # noqa: BLE001 - the last resort
                del request
                await self._fail(error, context)

        return answer_call

    async def _enter(self, method: str, context: Context, *, is_stream: bool = False) -> None:
        """Lets a call begin. Raises RequestError."""
        self._last_arrival_s = time.monotonic()
        if self._access is not None:
            self._identify(self._access, method, context)
        await self._passed()
        if method.startswith(self._prefixes):
            self._admit(context)
        elif is_stream:
            self._admit_other(context)

    async def _passed(self) -> None:
        """Waits for as long as the gate is held."""
        if not self._passable.is_set():
            await self._passable.wait()

    async def _fail(self, error: Exception, context: Context) -> None:
        """Ends a call with the status of an error.

        gRPC keeps the error, and so all variables of whoever raised it or waits for it, until garbage is collected. A
        request may be one of them, and take 25 times the memory that it took on the wire.
        """
        if isinstance(error, grpc.aio.AbortError):
            raise error
        if isinstance(error, RequestError):
            await self._passed()
        # The caller may leave before the status reaches it.
        with suppress(grpc.aio.InternalError):
            told = as_request_error(error)
            _let_go_of_frames(error)
            call = current_call.get()
            if call is not None:
                call.fail(told)
            await context.abort(
                status_code(told), status_text(told), status_details(told, call.request_id if call else "")
            )

    def _identify(self, access: Access, method: str, context: Context) -> None:
        """Finds out who makes the current call. Raises AccessError."""
        scopes = scopes_of(method)
        if scopes is None:
            return
        try:
            identity = access.identify(_authorization(context), scopes, method[1:])
        except AccessError as error:
            self._denied.warning(f"{method[1:]} was refused to {context.peer()}: {error}")
            raise
        if call := current_call.get():
            call.identity = identity

    def _admit(self, context: Context) -> None:
        if self._closed.is_set():
            raise _stopping()
        if self.num_calls >= self._max_calls:
            self._refused.add()
            self._too_many.warning(f"a call was refused: as many are under way as --max-calls {self._max_calls} allows")
            raise OverloadedError(
                f"this server takes no more calls at once than {self._max_calls:,}; try again shortly",
                retry_after_s=_RETRY_S,
            )
        self._open_calls.add(context)
        self._awaited_calls.add(context)
        self._emptied.clear()
        context.add_done_callback(self._forget)  # type: ignore[arg-type]

    def _admit_other(self, context: Context) -> None:
        if len(self._other_streams) >= _MAX_OTHER_STREAMS:
            raise OverloadedError(
                f"this server takes no more such streams at once than {_MAX_OTHER_STREAMS:,}; try again shortly",
                retry_after_s=_RETRY_S,
            )
        self._other_streams.add(context)
        context.add_done_callback(self._other_streams.discard)  # type: ignore[arg-type]

    def _forget(self, context: Context) -> None:
        """gRPC is done with a call."""
        self._open_calls.discard(context)
        self._await_no_longer(context)

    def _await_no_longer(self, context: Context) -> None:
        self._awaited_calls.discard(context)
        if not self._awaited_calls:
            self._emptied.set()

    async def _all_decoded(self, requests: AsyncIterator[bytes], decode: Decode) -> AsyncIterator[Any]:
        """The requests of a stream, until the gate is closed: who keeps one open may never end it."""
        closed = asyncio.create_task(self._closed.wait())
        arriving: asyncio.Task[Any] | None = None
        try:
            while True:
                arriving = asyncio.create_task(_next(requests))
                await asyncio.wait((arriving, closed), return_when=asyncio.FIRST_COMPLETED)
                if not arriving.done():
                    raise _stopping()
                request = arriving.result()
                if request is _END:
                    return
                yield decode(request)
        finally:
            closed.cancel()
            if arriving is not None:
                arriving.cancel()

    async def _write(self, reply: Any, context: Context) -> None:
        try:
            async with self.slow_readers.bounded():
                await context.write(reply)
        except grpc.aio.InternalError as error:
            raise UnavailableError("the connection was lost; ask again for what has not come") from error
        except UnavailableError:
            # The status waits behind the reply until it is read, or its reader leaves; nobody else waits for either.
            self._await_no_longer(context)
            raise


def _stopping() -> UnavailableError:
    return UnavailableError("the server is stopping; ask another, or try again shortly")


def _let_go_of_frames(error: BaseException | None) -> None:
    """Forgets where an error, and those that it came of, were raised."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


async def _next(requests: AsyncIterator[Any]) -> Any:
    return await anext(requests, _END)


def _authorization(context: Context) -> str | None:
    """What a caller says of who it is."""
    return ", ".join(str(value) for key, value in context.invocation_metadata() or () if key == "authorization") or None
