"""Requests that may take much memory once they are decoded: few at once, and the memory goes back to the system."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Final

from ganserve.runtime.heap import trim_heap

_LARGE_BYTES: Final = 1024**2
_MOST_AT_ONCE: Final = 2
_PAUSE_S: Final = 0.2


class LargeRequests:
    """Bounds how many large requests there are at once. Belongs to one event loop."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(_MOST_AT_ONCE)
        self._giving_back: asyncio.Task[None] | None = None

    def place_for(self, request: bytes) -> AbstractAsyncContextManager[None]:
        """Around decoding and answering a request. Waits for a place where the request is large."""
        return self._place() if len(request) > _LARGE_BYTES else nullcontext()

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        try:
            async with self._places:
                yield
        finally:
            if self._giving_back is None:
                self._giving_back = asyncio.create_task(self._give_back())

    async def _give_back(self) -> None:
        """The C library keeps hundreds of MiB of small free blocks, for as long as one block above them is in use."""
        await asyncio.sleep(_PAUSE_S)
        self._giving_back = None
        await asyncio.to_thread(trim_heap)
