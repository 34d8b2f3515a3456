from __future__ import annotations

import asyncio
import time

from ganserve.serving.loop_lag import measure_lag
from ganserve.serving.tallies import Histogram


def test_what_blocks_the_event_loop_is_seen() -> None:
    async def story() -> None:
        lag_s = Histogram((0.05,))
        measuring = asyncio.create_task(measure_lag(lag_s))
        await asyncio.sleep(0)
        time.sleep(0.5)  # noqa: ASYNC251 - that is the fault
        while not sum(lag_s.counts):  # noqa: ASYNC110 - the measuring tells nobody
            await asyncio.sleep(0.01)
        measuring.cancel()
        assert lag_s.total > 0.3

    asyncio.run(asyncio.wait_for(story(), 60))
