"""Ids by which a caller, a log and the servers between them know the same call."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from typing import Final

from ganserve.contract.grpc_keys import REQUEST_ID_KEY

_TRACEPARENT_KEY: Final = "traceparent"
_REQUEST_ID: Final = re.compile(r"[\w.:+=@~-]{1,128}", re.ASCII)
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_ID_BYTES: Final = 8


def request_id_of(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """The caller's `x-request-id` where it can stand in a log, or else the id of its trace, or else a new one.

    Args:
        metadata: of the request, with names in small letters. A trace is that of W3C's `traceparent`.
    """
    trace_id = ""
    for key, value in metadata:
        if key == REQUEST_ID_KEY and isinstance(value, str) and _REQUEST_ID.fullmatch(value):
            return value
        if key == _TRACEPARENT_KEY and isinstance(value, str) and (match := _TRACEPARENT.fullmatch(value)):
            trace_id = match[1]
    return trace_id or secrets.token_hex(_ID_BYTES)
