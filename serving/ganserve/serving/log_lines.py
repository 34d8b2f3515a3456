"""The lines of the log: text or JSON, each with the id of the call that it is about."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal

from ganserve.contract.text import printable

from .counted_call import current_call

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


class TextLines(logging.Formatter):
    """Time, level, message and id on one line; the lines of a traceback follow it, indented."""

    def format(self, record: logging.LogRecord) -> str:
        """A record as text in which nothing that a caller sent can begin a line."""
        moment = f"{datetime.fromtimestamp(record.created).astimezone():%Y-%m-%d %H:%M:%S},{record.msecs:03.0f}"
        request_id = _request_id()
        message = printable(record.getMessage()).replace("\n", "\\n")
        head = f"{moment} {record.levelname} {message}{f' [{request_id}]' * bool(request_id)}"
        return "\n    ".join((head, *printable(_traceback(self, record)).splitlines()))


class JsonLines(logging.Formatter):
    """An object a line: time, level, logger, message, what is known of the call, and a traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """A record as JSON."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        request_id, traceback = _request_id(), _traceback(self, record)
        fields: Mapping[str, Any] = getattr(record, "fields", {})
        content = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **({"request_id": request_id} if request_id else {}),
            **fields,
            **({"traceback": traceback} if traceback else {}),
        }
        return json.dumps(content, default=str)


def is_worth_a_line(record: logging.LogRecord) -> bool:
    """Whether a record is another than gRPC's, with a traceback, that a caller left before its reply was written."""
    error = record.exc_info[1] if record.exc_info else None
    return not (record.name.startswith("grpc.") and type(error).__name__ == "ExecuteBatchError")


LINES: Final[Mapping[LogFormat, type[logging.Formatter]]] = {"text": TextLines, "json": JsonLines}


def _request_id() -> str:
    call = current_call.get()
    return call.request_id if call else ""


def _traceback(lines: logging.Formatter, record: logging.LogRecord) -> str:
    return lines.formatException(record.exc_info) if record.exc_info else ""
