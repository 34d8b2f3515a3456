"""gRPC failures as errors of the tree in `ganserve.contract.errors`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from ganserve.contract.errors import RequestError, ServerError, request_error_type

from ._deadline import too_slow

_STATUS_DETAILS_KEY = "grpc-status-details-bin"
_LOCAL_DEADLINE = "Deadline Exceeded"


class _EndedCall(Protocol):
    """What a failed call tells, both in `grpc` and in `grpc.aio`."""

    def code(self) -> grpc.StatusCode | None: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...


@contextmanager
def request_errors(server: str, timeout_s: float) -> Iterator[None]:
    """Raises gRPC failures of its body as `RequestError`.

    Args:
        server: the address or addresses, for the text.
        timeout_s: the time that the call was given, for the text.
    """
    try:
        yield
    except grpc.RpcError as error:
        raise request_error(error, server, timeout_s) from error


def request_error(error: grpc.RpcError, server: str, timeout_s: float) -> RequestError:
    """The error that stands for a failed call, with the field at fault and the advised wait where the server says."""
    if not hasattr(error, "code"):
        return ServerError(f"{server} failed: {error!r}")
    call = cast(_EndedCall, error)
    code = call.code()
    status = code.name if code else grpc.StatusCode.UNKNOWN.name
    field, retry_after_s = _status_details(call.trailing_metadata() or ())
    details = " ".join((call.details() or "no reason given").split())
    message = _message(status, details, server, timeout_s)
    return request_error_type(status)(message, field=field, retry_after_s=retry_after_s)


def _message(status: str, details: str, server: str, timeout_s: float) -> str:
    match status:
        case "UNAVAILABLE":
            return f"{server} is unavailable; is `ganserve serve` running there? ({details})"
        case "DEADLINE_EXCEEDED" if details == _LOCAL_DEADLINE:
            return f"{server}: {too_slow(timeout_s)}"
        case "UNIMPLEMENTED":
            return f"{server} does not know this method ({details}); is it a ganserve server of this version?"
        case "UNAUTHENTICATED" | "PERMISSION_DENIED":
            return f"{server} refuses the caller: {details}"
        case _ if request_error_type(status) is ServerError:
            return f"{server} failed with {status}: {details}"
        case _:
            return details


def _status_details(metadata: Iterable[tuple[str, str | bytes]]) -> tuple[str, float | None]:
    """Field at fault and advised wait in seconds, from a `google.rpc.Status` in the trailing metadata."""
    field, retry_after_s = "", None
    for detail in _packed_details(metadata):
        bad_request, retry_info = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        if detail.Unpack(bad_request) and bad_request.field_violations:
            field = bad_request.field_violations[0].field
        elif detail.Unpack(retry_info):
            retry_after_s = retry_info.retry_delay.ToTimedelta().total_seconds()
    return field, retry_after_s


def _packed_details(metadata: Iterable[tuple[str, str | bytes]]) -> list[Any]:
    packed = next((value for key, value in metadata if key == _STATUS_DETAILS_KEY), b"")
    try:
        return list(status_pb2.Status.FromString(packed).details)
    except (DecodeError, TypeError):
        return []
