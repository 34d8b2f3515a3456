"""Which model launches next: the lanes of a device, shared by its models in turns.

Belongs to one event loop and is called from it alone.
"""

from __future__ import annotations

from typing import Protocol


class Feed(Protocol):
    """What a dispatcher asks of a model's queue; see `Batcher`."""

    @property
    def wants_lane(self) -> bool:
        """Whether rows wait that a further lane should run."""

    @property
    def queued_s(self) -> float:
        """Expected time that a single lane takes for them."""

    def launch(self, num_lanes: int) -> float:
        """Launches one batch, as if so many lanes were idle; returns its expected time, 0 where nothing was left."""


class Dispatcher:
    """The idle lanes of one device, and what each model has had of them.

    Turns are counted in time and not in batches, so that a large model does not crowd out a small one: the model that
    has had least launches next. A run counts as it is expected to take until it is done, and then as it took. A model
    that comes back after a pause is not paid for the time that it did not want.
    """

    def __init__(self, num_lanes: int) -> None:
        self._num_lanes = num_lanes
        self._num_idle = num_lanes
        self._had_s: dict[Feed, float] = {}
        self._last_start_s = 0.0

    def add(self, feed: Feed) -> None:
        """Lets a model take part."""
        self._had_s[feed] = self._last_start_s

    def remove(self, feed: Feed) -> None:
        """Lets a model launch nothing more."""
        self._had_s.pop(feed, None)

    def launch(self) -> None:
        """Launches batches for as long as lanes are idle and rows wait."""
        while self._num_idle and (busy := [feed for feed in self._had_s if feed.wants_lane]):
            feed = min(busy, key=self._had_s.__getitem__)
            cost_s = feed.launch(-(-self._num_idle // len(busy)))
            if cost_s:
                self._num_idle -= 1
                self._last_start_s = max(self._last_start_s, self._had_s[feed])
                self._had_s[feed] = self._last_start_s + cost_s

    def release(self, feed: Feed, expected_s: float, took_s: float) -> None:
        """Takes a lane back whose batch is done, and launches what waits."""
        if feed in self._had_s:
            self._had_s[feed] += took_s - expected_s
        self._num_idle += 1
        self.launch()

    def expected_s(self, feed: Feed, work_s: float) -> float:
        """Time until a model has had `work_s` of a lane's time, with the turns of the other models between."""
        others_s = sum(min(other.queued_s, work_s) for other in self._had_s if other is not feed)
        return (work_s + others_s) / self._num_lanes
