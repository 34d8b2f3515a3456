from __future__ import annotations

import pytest

from ganserve.serving.request_ids import request_id_of

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ([("x-request-id", "order-7:retry=2")], "order-7:retry=2"),
        ([("traceparent", TRACEPARENT)], TRACE),
        ([("traceparent", TRACEPARENT), ("x-request-id", "mine")], "mine"),
        ([("x-request-id", "a b"), ("traceparent", TRACEPARENT)], TRACE),
    ],
)
def test_the_id_of_the_caller_is_kept(metadata: list[tuple[str, str | bytes]], expected: str) -> None:
    assert request_id_of(metadata) == expected


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        [("x-request-id", "")],
        [("x-request-id", "two\nlines")],
        [("x-request-id", "x" * 129)],
        [("x-request-id", "é")],
        [("x-request-id", b"bytes")],
        [("traceparent", f"ff-{TRACE}-b7ad6b7169203331-01")],
        [("traceparent", f"00-{'0' * 32}-b7ad6b7169203331-01")],
        [("traceparent", "00-abc")],
    ],
)
def test_what_cannot_stand_in_a_log_is_replaced(metadata: list[tuple[str, str | bytes]]) -> None:
    first, second = request_id_of(metadata), request_id_of(metadata)
    assert first != second
    assert len(first) == 16
    assert set(first) <= set("0123456789abcdef")
