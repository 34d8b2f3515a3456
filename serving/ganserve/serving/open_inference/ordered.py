"""Many requests in one stream: answered side by side, and their replies in the order of the requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Final, NamedTuple, TypeAlias, TypeVar

Request = TypeVar("Request")
Replies: TypeAlias = AsyncGenerator[bytes, None]

_MOST_AT_ONCE: Final = 32


class Begun(NamedTuple):
    """A request that was read.

    Attributes:
        replies: makes each reply when it is asked for; at least one.
        is_long: whether there may be many. Nothing else is made while they are.
    """

    replies: Replies
    is_long: bool


async def answer_in_order(
    requests: AsyncGenerator[Request, None], begin: Callable[[Request], Awaitable[Begun]]
) -> Replies:
    """The replies to all requests.

    The first replies of several requests are made at once, and no more requests are read than that. One with many
    replies is answered alone: what is made behind it would wait, and hold the room that it needs.

    Raises:
        Whatever reading the requests raises, once those before it are answered.
    """
    turns: asyncio.Queue[_Turn | None] = asyncio.Queue()
    begun: set[_Turn] = set()
    room = asyncio.Semaphore(_MOST_AT_ONCE - 1)  # beside the first

    async def read() -> None:
        try:
            async with aclosing(requests):
                async for request in requests:
                    turn = _Turn(*await begin(request))
                    begun.add(turn)
                    turns.put_nowait(turn)
                    if turn.is_long:
                        await turn.over.wait()
                    await room.acquire()
        finally:
            turns.put_nowait(None)

    reading = asyncio.create_task(read())
    try:
        while (turn := await turns.get()) is not None:
            if turn.first is not None:
                yield await turn.first
            async for reply in turn.replies:
                yield reply
            turn.over.set()
            begun.remove(turn)
            room.release()
        await reading
    finally:
        reading.cancel()
        await asyncio.gather(reading, *(turn.end() for turn in begun), return_exceptions=True)


class _Turn:
    """One request.

    Attributes:
        first: its first reply, under way at once, unless there are many.
        replies: those behind that.
        over: set when they have been sent.
    """

    def __init__(self, replies: Replies, is_long: bool) -> None:
        self.replies = replies
        self.is_long = is_long
        self.first = None if is_long else asyncio.create_task(_first_of(replies))
        self.over = asyncio.Event()

    async def end(self) -> None:
        """Ends what is under way."""
        if self.first is not None:
            self.first.cancel()
            await asyncio.gather(self.first, return_exceptions=True)
        await self.replies.aclose()


async def _first_of(replies: Replies) -> bytes:
    return await anext(replies)
