"""From errors to gRPC statuses with `google.rpc` details."""

from __future__ import annotations

import logging
from typing import Final

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, RetryInfo

from ganserve.contract.errors import RequestError, ServerError
from ganserve.contract.grpc_keys import REQUEST_ID_KEY, STATUS_DETAILS_KEY
from ganserve.v1.generator_pb2 import Refusal

# gRPC drops trailers over 8 KiB. A byte of text may take three there, and it travels once more in the details.
_MAX_TEXT_BYTES: Final = 1_200

Metadata = tuple[tuple[str, str | bytes], ...]

_log = logging.getLogger(__name__)


def status_code(error: RequestError) -> grpc.StatusCode:
    """The gRPC status of a request error."""
    return grpc.StatusCode[error.status]


def status_text(error: RequestError) -> str:
    """The error's text, cut to what trailers hold."""
    encoded = str(error).encode(errors="replace")
    if len(encoded) <= _MAX_TEXT_BYTES:
        return encoded.decode()
    return encoded[:_MAX_TEXT_BYTES].decode(errors="ignore") + "…"


def status_details(error: RequestError, request_id: str = "") -> Metadata:
    """Trailing metadata that says which field is at fault, when to try again, and by which id the log knows the call.

    The text stands in the status alone and not in its details too. It has to stand there: readers of these details
    refuse a status whose text is not the call's.
    """
    status = refusal(error)
    details: Metadata = ((STATUS_DETAILS_KEY, status.SerializeToString()),) if status.details else ()
    return (*details, (REQUEST_ID_KEY, request_id)) if request_id else details


def refusal(error: RequestError) -> Refusal:
    """Code, text and details of a request error: a `google.rpc.Status`, byte for byte."""
    details: list[Message] = []
    if error.field:
        details.append(BadRequest(field_violations=[BadRequest.FieldViolation(field=error.field)]))
    if error.retry_after_s is not None:
        delay = Duration()
        delay.FromNanoseconds(round(error.retry_after_s * 1e9))
        details.append(RetryInfo(retry_delay=delay))
    return Refusal(code=status_code(error).value[0], message=status_text(error), details=map(_pack, details))


def as_request_error(error: Exception) -> RequestError:
    """The error to tell a caller. Of one that nobody foresaw, the log gets the traceback and the caller a status."""
    if isinstance(error, RequestError):
        return error
    _log.error("a call failed", exc_info=error)
    return ServerError("the server failed on this call; its log says why")


def _pack(message: Message) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed
