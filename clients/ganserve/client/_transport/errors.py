"""gRPC failures as errors of the tree in `ganserve.contract.errors`."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, Protocol, Self, cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from ganserve.contract.errors import (
    AccessError,
    NotFoundError,
    PreconditionError,
    RequestError,
    ServerError,
    request_error_type,
)
from ganserve.contract.grpc_keys import REQUEST_ID_KEY, STATUS_DETAILS_KEY

from .addresses import proxy_of
from .deadline import too_slow
from .handshakes import advise, distrust

_LOCAL_DEADLINE: Final = "Deadline Exceeded"
_LIMITED_FIELDS: Final = ("query.address.count", "query.address.indices", "query.latents.values")


class _EndedCall(Protocol):
    """What a failed call tells, both in `grpc` and in `grpc.aio`."""

    def code(self) -> grpc.StatusCode | None: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...


class EndedCall(grpc.RpcError):
    """How a call ended of which gRPC itself tells nothing, since it travelled with others."""

    def __init__(self, code: grpc.StatusCode, details: str, trailers: Iterable[tuple[str, str | bytes]] = ()) -> None:
        super().__init__(details)
        self._code = code
        self._details = details
        self._trailers = tuple(trailers)

    @classmethod
    def of(cls, error: Exception) -> Self:
        """An own copy of how an RPC ended, or was not even begun, for one of those who waited for it."""
        if not hasattr(error, "code"):
            return cls(grpc.StatusCode.CANCELLED, repr(error))
        call = cast(_EndedCall, error)
        return cls(call.code() or grpc.StatusCode.UNKNOWN, call.details() or "", call.trailing_metadata() or ())

    def code(self) -> grpc.StatusCode:
        """The status."""
        return self._code

    def details(self) -> str:
        """Its text."""
        return self._details

    def trailing_metadata(self) -> tuple[Any, ...]:
        """What came with it."""
        return self._trailers


def local_deadline() -> EndedCall:
    """How gRPC ends a call whose deadline passes here."""
    return EndedCall(grpc.StatusCode.DEADLINE_EXCEEDED, _LOCAL_DEADLINE)


def request_error(error: Exception, server: str, timeout_s: float) -> RequestError:
    """The error that stands for a failed call, with the field at fault and the advised wait where the server says.

    Args:
        error: what gRPC raised; a `RequestError` is given back.
        server: the address, for the text.
        timeout_s: the time that the call was given, for the text.
    """
    if isinstance(error, RequestError):
        return error
    if not hasattr(error, "code"):
        return ServerError(f"{server} failed: {error!r}")
    call = cast(_EndedCall, error)
    code = call.code() or grpc.StatusCode.UNKNOWN
    # The caller's own cancellations do not come here, so the server gave the call up, as one does that is stopping.
    name = "UNAVAILABLE" if code is grpc.StatusCode.CANCELLED else code.name
    trailers = tuple(call.trailing_metadata() or ())
    status = _status(trailers)
    # A server may cut the one text or the other, or send one alone.
    details = max(call.details() or "", status.message, key=len)
    field, retry_after_s = _field_and_wait(status)
    reason = " ".join(details.split()) or "no reason given"
    if name == "UNAVAILABLE" and (text := distrust(server, reason)):
        return AccessError(text)
    message = _message(name, reason, server, timeout_s)
    told = request_error_type(name)(message, field=field, retry_after_s=retry_after_s)
    told.request_id = next((str(value) for key, value in trailers if key == REQUEST_ID_KEY), "")
    return told


class ShortTraceback:
    """Lets a `RequestError` of its body begin here: what lies below is no help to whoever reads the traceback."""

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, RequestError):
            error.__traceback__ = None


def is_unavailable(error: Exception) -> bool:
    """Whether gRPC did not reach a server, or lost it."""
    return getattr(error, "code", lambda: None)() is grpc.StatusCode.UNAVAILABLE


def is_lack(error: RequestError) -> bool:
    """Whether a server answered that it does not have the model, which another server may have."""
    return isinstance(error, (NotFoundError, PreconditionError))


def is_over_limit(error: RequestError) -> bool:
    """Whether a server answered that the samples are more than it takes in one request."""
    return error.field in _LIMITED_FIELDS


def _message(status: str, details: str, server: str, timeout_s: float) -> str:
    match status:
        case "UNAVAILABLE" if proxy := proxy_of(server):
            return (
                f"{server} is unavailable through the proxy {proxy}; where the server is reached without it, "
                f"add its host to no_proxy ({details})"
            )
        case "UNAVAILABLE" if advice := advise(server, details):
            return f"{server} closed the connection before it said anything; {advice} ({details})"
        case "UNAVAILABLE":
            return f"{server} is unavailable; is `ganserve serve` running there? ({details})"
        case "DEADLINE_EXCEEDED" if _LOCAL_DEADLINE in details:
            return f"{server}: {too_slow(timeout_s)}"
        case "UNIMPLEMENTED":
            return f"{server} does not know this method ({details}); is it a ganserve server of this version?"
        case "UNAUTHENTICATED" | "PERMISSION_DENIED":
            return f"{server} refuses the caller: {details}"
        case _ if request_error_type(status) is ServerError:
            return f"{server} failed with {status}: {details}"
        case _:
            return details


def _status(metadata: Iterable[tuple[str, str | bytes]]) -> status_pb2.Status:
    """The `google.rpc.Status` in trailing metadata; an empty one where there is none that can be read."""
    packed = next((value for key, value in metadata if key == STATUS_DETAILS_KEY), b"")
    try:
        return status_pb2.Status.FromString(packed)
    except (DecodeError, TypeError):
        return status_pb2.Status()


def _field_and_wait(status: status_pb2.Status) -> tuple[str, float | None]:
    """Field at fault, and advised wait in seconds."""
    field, retry_after_s = "", None
    for detail in status.details:
        bad_request, retry_info = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        try:
            if detail.Unpack(bad_request) and bad_request.field_violations:
                field = bad_request.field_violations[0].field
            elif detail.Unpack(retry_info):
                retry_after_s = retry_info.retry_delay.ToTimedelta().total_seconds()
        except DecodeError:
            continue
    return field, retry_after_s
