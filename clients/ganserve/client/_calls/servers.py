"""The servers of a client, and what has been learnt of them: whom to ask first."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

_REST_S: Final = 2.0
_TELL_EVERY_S: Final = 1.0


@dataclass(eq=False)
class Server:
    """One address.

    Attributes:
        address: where it is.
        lacks: digests that it said it does not have; an empty one stands for a model asked for without a digest.
        rests_until_s: when it may be asked first again, after it was unavailable or without room.
    """

    address: str
    lacks: set[str] = field(default_factory=set)
    rests_until_s: float = 0.0

    def lacks_model(self, digest: str) -> bool:
        """Whether it said that it does not have the model; one that lacks it without a digest lacks it with any."""
        return digest in self.lacks or "" in self.lacks


class Servers:
    """All servers of a client.

    What is known of them decides the order in which they are asked and nothing else, so being wrong costs a question.
    """

    def __init__(self, addresses: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._servers = [Server(address) for address in addresses]
        self._clock = clock
        self._turn = 0
        self._told_s = -math.inf

    def __len__(self) -> int:
        return len(self._servers)

    def at(self, address: str) -> Server:
        """The server of an address."""
        return next(server for server in self._servers if server.address == address)

    def in_order(self, digest: str) -> list[Server]:
        """Each server once: in turns, but last those that lack the model, and before them those that rest."""
        turn = self._turn % len(self._servers)
        self._turn = turn + 1
        now_s = self._clock()
        rotated = self._servers[turn:] + self._servers[:turn]
        return sorted(rotated, key=lambda server: (server.lacks_model(digest), server.rests_until_s > now_s))

    def may_tell(self) -> bool:
        """Whether people may be told now that calls wait, which they are once a second, however many calls do."""
        now_s = self._clock()
        if now_s < self._told_s + _TELL_EVERY_S:
            return False
        self._told_s = now_s
        return True

    def rest(self, server: Server, rest_s: float = _REST_S) -> None:
        """It cannot answer for now, so that others are asked first."""
        server.rests_until_s = self._clock() + rest_s

    def ask_next(self, server: Server) -> None:
        """The next question goes to it."""
        self._turn = self._servers.index(server)

    def forget_lacks(self) -> None:
        """Models may have changed everywhere."""
        for server in self._servers:
            server.lacks = set()
