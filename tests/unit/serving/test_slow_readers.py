from __future__ import annotations

import asyncio

import pytest

from ganserve.contract.errors import UnavailableError
from ganserve.serving.slow_readers import SlowReaders


async def take_nothing(readers: SlowReaders) -> None:
    async with readers.bounded():
        await asyncio.Event().wait()


def test_a_reader_may_take_nothing_for_so_long() -> None:
    with pytest.raises(UnavailableError, match=r"nothing of the stream was taken for 0\.05 s, so it ends"):
        asyncio.run(take_nothing(SlowReaders(0.05)))


def test_readers_who_take_nothing_make_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganserve.serving.slow_readers.PATIENCE_S", 0.0)

    async def story() -> None:
        readers = SlowReaders(1_000)
        streams = [asyncio.create_task(take_nothing(readers)) for _ in range(2)]
        await asyncio.sleep(0)
        readers.make_room()
        readers.make_room()
        for stream in streams:
            with pytest.raises(UnavailableError, match="while others had no room"):
                await stream

    asyncio.run(story())


def test_those_who_have_not_waited_for_long_are_left_alone() -> None:
    async def story() -> None:
        readers = SlowReaders(1_000)
        stream = asyncio.create_task(take_nothing(readers))
        await asyncio.sleep(0)
        readers.make_room()
        done, _ = await asyncio.wait((stream,), timeout=0.1)
        assert not done
        stream.cancel()

    asyncio.run(story())


def test_who_leaves_is_no_slow_reader() -> None:
    async def story() -> None:
        stream = asyncio.create_task(take_nothing(SlowReaders(1_000)))
        await asyncio.sleep(0)
        stream.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stream

    asyncio.run(story())
