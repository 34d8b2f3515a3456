from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from ganserve.serving.counted_call import CountedCall, current_call
from ganserve.serving.log_lines import JsonLines, TextLines, is_worth_a_line
from ganserve.serving.metrics import Metrics

HOSTILE = 'a model\nERROR forged "line"\x1b[31m\u2028\x00'


class Origin:
    """A caller with an id of its own."""

    def peer(self) -> str:
        return "ipv4:127.0.0.1:5"

    def invocation_metadata(self) -> list[tuple[str, str | bytes]]:
        return [("x-request-id", "mine")]


@pytest.fixture
def call() -> Iterator[CountedCall]:
    """A call that is being answered."""
    metrics = Metrics()
    call = CountedCall(metrics, metrics.of_method("S/Generate"), Origin())
    token = current_call.set(call)
    yield call
    current_call.reset(token)


def record(message: str, *args: Any, fails: bool = False, **extra: Any) -> logging.LogRecord:
    info: Any = None
    if fails:
        try:
            raise ValueError(message)
        except ValueError:
            info = sys.exc_info()
    made = logging.LogRecord("ganserve.x", logging.WARNING, __file__, 1, message, args, info)
    made.__dict__.update(extra)
    return made


def test_a_line_of_text_has_the_id_of_the_call(call: CountedCall) -> None:
    assert TextLines().format(record("refused %d", 3)).endswith(" WARNING refused 3 [mine]")
    assert call.request_id == "mine"


def test_outside_of_a_call_there_is_no_id() -> None:
    assert TextLines().format(record("serving")).endswith(" WARNING serving")
    assert "request_id" not in json.loads(JsonLines().format(record("serving")))


@pytest.mark.usefixtures("call")
def test_nothing_that_a_caller_sent_begins_a_line() -> None:
    first, *rest = TextLines().format(record("%s", HOSTILE, fails=True)).split("\n")
    assert first.endswith("\\x00 [mine]")
    assert "\x1b" not in first
    assert rest
    assert all(line.startswith("    ") for line in rest)


@pytest.mark.usefixtures("call")
def test_a_line_of_json_holds_all_that_is_known() -> None:
    line = JsonLines().format(record("%s", HOSTILE, fails=True, fields={"code": "INTERNAL", "duration_ms": 1.5}))
    assert "\n" not in line
    told = json.loads(line)
    assert told["message"] == HOSTILE
    assert told["traceback"].startswith("Traceback")
    assert told["time"].endswith("Z")
    datetime.fromisoformat(told.pop("time"))
    assert {key: told[key] for key in ("level", "logger", "request_id", "code", "duration_ms")} == {
        "level": "warning",
        "logger": "ganserve.x",
        "request_id": "mine",
        "code": "INTERNAL",
        "duration_ms": 1.5,
    }


class ExecuteBatchError(Exception):
    """Called as gRPC's own, which is told where a caller leaves before a reply is written."""


@pytest.mark.parametrize(
    ("logger", "error", "is_told"),
    [
        ("grpc._cython.cygrpc", ExecuteBatchError(), False),
        ("grpc._cython.cygrpc", RuntimeError(), True),
        ("grpc._cython.cygrpc", None, True),
        ("ganserve.serving.call_gate", ExecuteBatchError(), True),
    ],
)
def test_that_a_caller_has_left_is_no_fault(logger: str, error: Exception | None, is_told: bool) -> None:
    info = None if error is None else (type(error), error, None)
    told = logging.LogRecord(logger, logging.ERROR, __file__, 1, "a servicer method failed", (), info)
    assert is_worth_a_line(told) == is_told
