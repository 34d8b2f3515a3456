"""Who asks over HTTP, how urgently, and for how long the answer is worth something."""

from __future__ import annotations

import re
import time
from typing import Final

from starlette.requests import Request

from ganserve.serving.scheduler import Caller, Priority

_WAIT: Final = re.compile(r'(?:^|[,;\s])wait\s*=\s*"?([0-9]{1,9}(?:\.[0-9]{1,9})?)"?\s*(?:$|[,;])', re.IGNORECASE)
_URGENCY: Final = re.compile(r"(?:^|,)\s*u\s*=\s*([0-7])\s*(?:$|[,;])")
_BACKGROUND: Final = 7


def caller_of(request: Request) -> Caller:
    """The caller of a request: a connection, as with gRPC.

    `Prefer: wait=2` (RFC 7240) gives it two seconds, and `Priority: u=7` (RFC 9218), which is for what nobody waits
    for, makes it bulk. Browsers give images other urgencies.
    """
    host, port = request.scope.get("client") or ("", 0)
    urgency = _URGENCY.search(request.headers.get("priority", ""))
    is_bulk = urgency is not None and int(urgency[1]) == _BACKGROUND
    wait = _WAIT.search(request.headers.get("prefer", ""))
    return Caller(
        client=f"http:{host}:{port}",
        priority=Priority.BULK if is_bulk else Priority.INTERACTIVE,
        deadline_s=time.monotonic() + float(wait[1]) if wait else None,
    )
