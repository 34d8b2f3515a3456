"""Readers of streams that take nothing: for how long they may, and how they make room for others."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from ganserve.contract.errors import UnavailableError

from .throttled_log import ThrottledLog

PATIENCE_S: Final = 1.0
"""Seconds for which a reader may take nothing while others have no room at all."""

_log = logging.getLogger(__name__)


class SlowReaders:
    """Ends streams whose readers take nothing. Belongs to one event loop."""

    def __init__(self, stall_s: float) -> None:
        """`stall_s` is for how many seconds they may where nobody needs the room."""
        self._stall_s = stall_s
        self._since_s: dict[asyncio.Timeout, float] = {}
        self._making_room: set[asyncio.Timeout] = set()
        self._ended = ThrottledLog(_log)

    @asynccontextmanager
    async def bounded(self) -> AsyncIterator[None]:
        """Around sending a part of a stream. Raises UnavailableError where it takes too long."""
        limit = asyncio.timeout(self._stall_s)
        self._since_s[limit] = time.monotonic()
        try:
            async with limit:
                yield
        except TimeoutError as error:
            told = f"{self._stall_s:g} s"
            if limit in self._making_room:
                told = f"{time.monotonic() - self._since_s[limit]:.1f} s while others had no room"
            self._ended.warning(f"a stream was ended whose reader took nothing for {told}")
            raise UnavailableError(
                f"nothing of the stream was taken for {told}, so it ends; ask again for what has not come"
            ) from error
        finally:
            del self._since_s[limit]
            self._making_room.discard(limit)

    def make_room(self) -> None:
        """Ends those streams whose readers have tried the patience of others, who have no room."""
        loop, now_s = asyncio.get_running_loop(), time.monotonic()
        for limit, since_s in self._since_s.items():
            if now_s - since_s >= PATIENCE_S and limit not in self._making_room:
                self._making_room.add(limit)
                limit.reschedule(loop.time())
