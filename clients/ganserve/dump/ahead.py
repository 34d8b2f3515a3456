"""Fetching while writing: a thread that is a few batches ahead of whoever takes them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Full, Queue
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

_NUM_AHEAD: Final = 4
_LOOK_UP_S: Final = 0.2


@contextmanager
def fetched_ahead(items: Iterator[Item]) -> Iterator[Iterator[Item]]:
    """The items, which another thread asks for. When the body ends, it asks for no more."""
    fetcher = _Fetcher(items)
    threading.Thread(target=fetcher.fetch, name="fetching ahead", daemon=True).start()
    try:
        yield fetcher.take()
    finally:
        fetcher.stopped.set()


class _Fetcher(Generic[Item]):
    def __init__(self, items: Iterator[Item]) -> None:
        self.stopped = threading.Event()
        self._items = items
        self._ready: Queue[Item | _End] = Queue(_NUM_AHEAD)

    def fetch(self) -> None:
        """Puts the items where `take` finds them, and behind them how they ended."""
        end = _End(None)
        try:
            for item in self._items:
                self._put(item)
                if self.stopped.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - raised where the items are taken
            end = _End(error)
        self._put(end)

    def take(self) -> Iterator[Item]:
        """The items as they come. Raises what asking for them raised."""
        while not isinstance(item := self._ready.get(), _End):
            yield item
        if item.error is not None:
            raise item.error

    def _put(self, item: Item | _End) -> None:
        while not self.stopped.is_set():
            try:
                self._ready.put(item, timeout=_LOOK_UP_S)
            except Full:
                continue
            return


class _End:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error
