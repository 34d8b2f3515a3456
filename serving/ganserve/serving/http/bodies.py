"""Bodies of requests, of which there is one where an image is sent."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.types import Receive, Scope

from ganserve.contract.errors import DeadlineError, InvalidRequestError
from ganserve.serving.connections import MAX_REQUEST_BYTES

_BODY: Final = "ganserve.body"
_MOST_S: Final = 60.0


class Inbox:
    """All that a client sends of one request: a body, which is kept where it is wanted, and that it has left."""

    def __init__(self, receive: Receive, scope: Scope) -> None:
        """Reads nothing yet. `body_of` waits for the body, which is only kept once it does so."""
        self._receive = receive
        self._body: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        scope[_BODY] = self._body

    async def emptied(self, *, keep: bool) -> None:
        """Reads until the client has left.

        Args:
            keep: whether the body is wanted; it may be as large as a request over gRPC.
        """
        pieces: list[bytes] = []
        num_bytes = 0
        while (message := await self._receive())["type"] != "http.disconnect":
            if not keep or self._body.done():
                continue
            piece = message.get("body", b"")
            num_bytes += len(piece)
            pieces.append(piece)
            if num_bytes > MAX_REQUEST_BYTES:
                pieces.clear()
                text = f"the body is larger than the {MAX_REQUEST_BYTES:,} bytes that are taken"
                self._body.set_exception(InvalidRequestError(text, field="body"))
                self._body.exception()  # whether anybody waits for it or not
            elif not message.get("more_body", False):
                self._body.set_result(b"".join(pieces))


async def body_of(scope: Scope) -> bytes:
    """The body of a request.

    Raises:
        InvalidRequestError: it is too large or empty.
        DeadlineError: it does not come.
    """
    body: asyncio.Future[bytes] = scope[_BODY]
    try:
        async with asyncio.timeout(_MOST_S):
            data = await body
    except TimeoutError:
        raise DeadlineError(f"the body did not come in full within {_MOST_S:g} s") from None
    if not data:
        raise InvalidRequestError("the request has no body; send one PNG, JPEG or WebP file as the body", field="body")
    return data
