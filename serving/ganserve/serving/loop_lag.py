"""How far behind the event loop is."""

from __future__ import annotations

import asyncio
from typing import Final

from .tallies import Histogram

_EVERY_S: Final = 0.1


async def measure_lag(lag_s: Histogram) -> None:
    """Observes how much later than planned the event loop wakes up, ten times a second, until it is cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due_s = loop.time() + _EVERY_S
        await asyncio.sleep(_EVERY_S)
        lag_s.observe(max(0.0, loop.time() - due_s))
