from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

import pytest

from ganserve.contract.errors import InvalidRequestError, RequestError, ServerError
from ganserve.serving.access import Identity
from ganserve.serving.call_log import CallLog
from ganserve.serving.counted_call import CountedCall
from ganserve.serving.metrics import Metrics
from ganserve.serving.stopwatch import Stopwatch


class Origin:
    def peer(self) -> str:
        return "ipv4:127.0.0.1:5"

    def invocation_metadata(self) -> None:
        return None


def end_call(
    log: CallLog,
    error: RequestError | None = None,
    code: str = "OK",
    *,
    identity: Identity | None = None,
    stopwatches: Sequence[Stopwatch] = (),
    num_rows: int = 0,
) -> None:
    """A call of `digits:2` that ends, well or with an error."""
    metrics = Metrics()
    call = CountedCall(metrics, metrics.of_method("S/Generate"), Origin(), [log])
    call.model = metrics.of_model("digits", 2)
    call.code = code
    call.identity = identity
    call.stopwatches += stopwatches
    call.num_rows = num_rows
    if error is not None:
        call.fail(error)
    call.end()


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(record.levelno, record.getMessage()) for record in caplog.records]


@pytest.mark.parametrize(("every_call", "num_lines"), [(False, 2), (True, 3)])
def test_as_many_calls_are_told_as_are_asked_for(
    every_call: bool, num_lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    log = CallLog(every_call=every_call)
    end_call(log)
    end_call(log, InvalidRequestError("count is 0; give 1 or more", field="query.address.count"))
    end_call(log, ServerError("the server failed on this call; its log says why"))
    assert len(told(caplog)) == num_lines


def test_a_line_says_what_failed_and_why(caplog: pytest.LogCaptureFixture) -> None:
    end_call(CallLog(every_call=False), InvalidRequestError("count is 0; give 1 or more", field="query.address.count"))
    ((level, text),) = told(caplog)
    assert level == logging.WARNING
    assert text.startswith("S/Generate of digits: INVALID_ARGUMENT in 0.")
    assert text.endswith(" ms: count is 0; give 1 or more")
    fields: dict[str, Any] = caplog.records[0].fields  # type: ignore[attr-defined]
    assert fields.pop("duration_ms") >= 0
    assert fields == {
        "method": "S/Generate",
        "code": "INVALID_ARGUMENT",
        "client": "ipv4:127.0.0.1:5",
        "model": "digits",
        "version": "2",
        "field": "query.address.count",
    }


def test_a_line_says_whose_call_it_was_and_what_was_made(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now_s = iter((1.0, 1.5, 1.75))
    stopwatch = Stopwatch(lambda: next(now_s))
    stopwatch.mark_launched(1.25)
    stopwatch.mark_made()
    stopwatch.mark_encoded()
    never_ran = Stopwatch(lambda: 1.0)
    identity = Identity(name="training", quota=None)
    end_call(CallLog(every_call=True), identity=identity, stopwatches=[stopwatch, never_ran], num_rows=3)
    fields: dict[str, Any] = caplog.records[0].fields  # type: ignore[attr-defined]
    assert (
        fields.items()
        >= {
            "token": "training",
            "rows": 3,
            "queue_ms": 250.0,
            "compute_ms": 250.0,
            "encode_ms": 250.0,
        }.items()
    )


def test_what_requests_hold_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    end_call(
        CallLog(every_call=False),
        InvalidRequestError("'digits' is no label; b'\\x00\\x01' was given, \"it's {secret}\""),
    )
    ((_, text),) = told(caplog)
    assert text.endswith("'digits' is no label; b'…' was given, '…'")


def test_a_flood_of_failures_is_a_line_a_second_with_their_number(caplog: pytest.LogCaptureFixture) -> None:
    now_s = 0.0
    log = CallLog(every_call=False, clock=lambda: now_s)
    for _ in range(100):
        end_call(log, code="DEADLINE_EXCEEDED")
    end_call(log, code="CANCELLED")
    now_s = 1.0
    end_call(log, code="DEADLINE_EXCEEDED")
    assert [re.sub(r" in \d.* ms", "", text) for _, text in told(caplog)] == [
        "S/Generate of digits: DEADLINE_EXCEEDED",
        "S/Generate of digits: CANCELLED",
        "S/Generate of digits: DEADLINE_EXCEEDED (and 99 more since the last such line)",
    ]
