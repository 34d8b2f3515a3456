"""Many requests in one stream: answered side by side, and their replies in the order of the requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final, Generic, TypeAlias, TypeVar

Request = TypeVar("Request")
Replies: TypeAlias = AsyncGenerator[bytes, None]
Answer: TypeAlias = Callable[[Request, asyncio.Event], Replies]

_MOST_AT_ONCE: Final = 32


async def answer_in_order(requests: AsyncGenerator[Request, None], answer: Answer[Request]) -> Replies:
    """The replies to all requests. No more requests are read than are answered at once.

    Args:
        requests: what comes in.
        answer: gives the replies to one request, at least one. The first is made while those to earlier requests may
            still be under way, each other one when the one before it has been sent. The event is set when it is this
            request's turn, for which an answer waits that takes up much room.

    Raises:
        Whatever reading the requests raises, once those before it are answered.
    """
    turns: asyncio.Queue[_Turn[Request] | None] = asyncio.Queue()
    begun: set[_Turn[Request]] = set()
    room = asyncio.Semaphore(_MOST_AT_ONCE - 1)  # beside the first

    async def read() -> None:
        try:
            async with aclosing(requests):
                async for request in requests:
                    turn = _Turn(answer, request)
                    begun.add(turn)
                    turns.put_nowait(turn)
                    await room.acquire()
        finally:
            turns.put_nowait(None)

    reading = asyncio.create_task(read())
    try:
        while (turn := await turns.get()) is not None:
            turn.came.set()
            yield await turn.first
            async for reply in turn.others:
                yield reply
            begun.remove(turn)
            room.release()
        await reading
    finally:
        reading.cancel()
        await asyncio.gather(reading, *(turn.end() for turn in begun), return_exceptions=True)


class _Turn(Generic[Request]):
    """One request.

    Attributes:
        came: set when its replies are sent.
        first: its first reply, under way at once.
        others: the replies behind that.
    """

    def __init__(self, answer: Answer[Request], request: Request) -> None:
        self.came = asyncio.Event()
        self.others = answer(request, self.came)
        self.first = asyncio.create_task(_first_of(self.others))

    async def end(self) -> None:
        """Ends what is under way."""
        self.first.cancel()
        await asyncio.gather(self.first, return_exceptions=True)
        await self.others.aclose()


async def _first_of(replies: Replies) -> bytes:
    return await anext(replies)
