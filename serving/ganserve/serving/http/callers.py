"""Who asks over HTTP, how urgently, and for how long the answer is worth something."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.requests import Request
from starlette.types import Scope

from ganserve.contract.errors import DeadlineError
from ganserve.serving.counted_call import current_identity
from ganserve.serving.scheduler import Caller, Priority

_WAIT: Final = re.compile(r'(?:^|[,;\s])wait\s*=\s*"?([0-9]{1,9}(?:\.[0-9]{1,9})?)"?\s*(?:$|[,;])', re.IGNORECASE)
_URGENCY: Final = re.compile(r"(?:^|,)\s*u\s*=\s*([0-7])\s*(?:$|[,;])")
_BACKGROUND: Final = 7


def caller_of(request: Request) -> Caller:
    """The caller of a request: a token, or a connection where none is asked for, as with gRPC.

    `Prefer: wait=2` (RFC 7240) gives it two seconds, and `Priority: u=7` (RFC 9218), which is for what nobody waits
    for, makes it bulk. Browsers give images other urgencies.
    """
    host, port = request.scope.get("client") or ("", 0)
    urgency = _URGENCY.search(request.headers.get("priority", ""))
    is_bulk = urgency is not None and int(urgency[1]) == _BACKGROUND
    wait = _WAIT.search(request.headers.get("prefer", ""))
    identity = current_identity()
    return Caller(
        client=identity.name if identity else f"http:{host}:{port}",
        priority=Priority.BULK if is_bulk else Priority.INTERACTIVE,
        deadline_s=time.monotonic() + float(wait[1]) if wait else None,
        quota=identity.quota if identity else None,
    )


@asynccontextmanager
async def in_time(request: Request) -> AsyncIterator[None]:
    """Around what a request waits for. Raises DeadlineError where the time that it allows is over."""
    deadline_s = caller_of(request).deadline_s
    try:
        async with asyncio.timeout(None if deadline_s is None else deadline_s - time.monotonic()):
            yield
    except TimeoutError:
        raise DeadlineError("the time allowed passed before the images were made; allow more") from None


def authorization_of(scope: Scope) -> str | None:
    """What a request says of who asks, in the form that gRPC's calls have.

    A browser asks people for a name and a password (Basic, RFC 7617); the password is the token.
    """
    given = ", ".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization")
    scheme, _, credentials = given.partition(" ")
    if scheme.lower() != "basic":
        return given or None
    try:
        _, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except ValueError:
        return given
    return f"Bearer {password}"
