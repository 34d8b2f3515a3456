from __future__ import annotations

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status

from ganserve.contract.errors import InvalidRequestError, OverloadedError, RequestError, ServerError
from ganserve.serving.status import refusal, status_code, status_details, status_text


@pytest.mark.parametrize("error", RequestError.__subclasses__())
def test_every_request_error_has_a_status(error: type[RequestError]) -> None:
    assert status_code(error("no")) is grpc.StatusCode[error.status]


def test_the_field_at_fault_travels_along() -> None:
    ((key, value),) = status_details(InvalidRequestError("count is 0", field="query.address.count"))
    status = Status.FromString(value)
    bad_request = BadRequest()
    assert status.details[0].Unpack(bad_request)
    assert key == "grpc-status-details-bin"
    assert (status.code, status.message) == (grpc.StatusCode.INVALID_ARGUMENT.value[0], "count is 0")
    assert [entry.field for entry in bad_request.field_violations] == ["query.address.count"]


def test_the_time_to_retry_after_travels_along() -> None:
    ((_, value),) = status_details(OverloadedError("full", retry_after_s=1.25))
    retry_info = RetryInfo()
    assert Status.FromString(value).details[0].Unpack(retry_info)
    assert retry_info.retry_delay.ToTimedelta().total_seconds() == 1.25


@pytest.mark.parametrize(
    "error", [InvalidRequestError("no", field="query"), OverloadedError("é" * 2000, retry_after_s=0.5), ServerError("")]
)
def test_a_refusal_is_the_status_of_google_rpc(error: RequestError) -> None:
    packed = refusal(error).SerializeToString()
    status = Status.FromString(packed)
    assert (status.code, status.message) == (status_code(error).value[0], status_text(error))
    assert status.SerializeToString() == packed
    assert len(status.details) == (1 if error.field or error.retry_after_s else 0)


def test_an_error_without_either_sends_nothing_more() -> None:
    assert status_details(ServerError("broken")) == ()
