"""Which calls travel together: those that come while others are under way gather, and leave when one of them returns.

Pure: no threads, no event loop, no gRPC. Whoever uses it from several threads holds a lock.
"""

from __future__ import annotations

import math
import time
from collections import deque
from typing import Any, Final, Generic, Protocol, Self, TypeVar

from ganserve.v1.generator_pb2 import GenerateRequest

from .ask import Ask, Metadata

LONGEST_GATHER_S: Final = 0.1
"""A call that has gathered for so long leaves, whatever is under way: what is may be stuck."""

_MOST_SHARE = 0.25  # of the largest request; a call for more goes by itself
_MOST_TOGETHER: Final = 64
_MOST_BYTES: Final = 2**20
_MOST_UNDER_WAY: Final = 2


class Call(Protocol):
    """A call that may travel with others."""

    @property
    def passenger(self) -> Passenger: ...
    def done(self) -> bool: ...


class Passenger:
    """What is sent of a call, and until when it is worth it.

    Attributes:
        request: what is asked.
        share: the part of the largest request that its samples are.
        num_bytes: its length.
        metadata: what is sent beside it, whoever travels along.
    """

    def __init__(self, request: GenerateRequest, share: float, left_s: float | None, metadata: Metadata = ()) -> None:
        self.request = request
        self.share = share
        self.num_bytes = request.ByteSize()
        self.metadata = metadata
        self._end_s = math.inf if left_s is None else time.monotonic() + left_s

    @classmethod
    def of(cls, ask: Ask[Any], left_s: float | None, metadata: Metadata = ()) -> Self | None:
        """What is sent of a question; None for one that goes by itself."""
        if not ask.share or ask.share > _MOST_SHARE or not isinstance(ask.request, GenerateRequest):
            return None
        passenger = cls(ask.request, ask.share, left_s, metadata)
        return passenger if passenger.num_bytes <= _MOST_SHARE * _MOST_BYTES else None

    def left_s(self) -> float | None:
        """Seconds left, at least 0; None without a bound."""
        return None if math.isinf(self._end_s) else max(0.0, self._end_s - time.monotonic())


AnyCall = TypeVar("AnyCall", bound=Call)


class Gathering(Generic[AnyCall]):
    """Calls that wait for those under way, in order of arrival.

    Attributes:
        is_over: whether nothing gathers any more: each call leaves by itself, and at once.
    """

    def __init__(self) -> None:
        self.is_over = False
        self._waiting: deque[AnyCall] = deque()
        self._num_under_way = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, call: AnyCall) -> None:
        """Puts a call behind the others."""
        self._waiting.append(call)

    def next_group(self, *, hurry: bool = False) -> list[AnyCall]:
        """The calls that leave together now, which are under way from then on; none where it is not yet time.

        Args:
            hurry: whether they leave although enough are under way.
        """
        if self._num_under_way >= _MOST_UNDER_WAY and not hurry and not self.is_over:
            return []
        group: list[AnyCall] = []
        share, num_bytes = 0.0, 0
        while self._waiting and len(group) < (1 if self.is_over else _MOST_TOGETHER):
            call = self._waiting[0]
            if not call.done():
                share += call.passenger.share
                num_bytes += call.passenger.num_bytes
                if group and (share > 1 or num_bytes > _MOST_BYTES):
                    break
                group.append(call)
            self._waiting.popleft()
        self._num_under_way += bool(group)
        return group

    def end_one(self) -> None:
        """A group is no longer under way."""
        self._num_under_way -= 1
