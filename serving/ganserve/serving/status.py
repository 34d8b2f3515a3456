"""From errors to gRPC statuses with `google.rpc` details."""

from __future__ import annotations

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status

from ganserve.contract.errors import RequestError

_DETAILS_KEY = "grpc-status-details-bin"

Metadata = tuple[tuple[str, bytes], ...]


def status_code(error: RequestError) -> grpc.StatusCode:
    """The gRPC status of a request error."""
    return grpc.StatusCode[error.status]


def status_details(error: RequestError) -> Metadata:
    """Trailing metadata that says which field is at fault, or when to try again."""
    details: list[Message] = []
    if error.field:
        violation = BadRequest.FieldViolation(field=error.field, description=str(error))
        details.append(BadRequest(field_violations=[violation]))
    if error.retry_after_s is not None:
        delay = Duration()
        delay.FromNanoseconds(round(error.retry_after_s * 1e9))
        details.append(RetryInfo(retry_delay=delay))
    if not details:
        return ()
    status = Status(code=status_code(error).value[0], message=str(error), details=map(_pack, details))
    return ((_DETAILS_KEY, status.SerializeToString()),)


def _pack(message: Message) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed
