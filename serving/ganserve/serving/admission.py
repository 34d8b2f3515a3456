"""A bound on the bytes of replies that are promised but not yet sent."""

from __future__ import annotations

from ganserve.contract.errors import OverloadedError


class ReplyBudget:
    """Counts promised bytes. Belongs to one event loop."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._taken_bytes = 0

    def take(self, num_bytes: int) -> None:
        """Sets bytes aside. A single reply larger than the whole budget is let through when nothing else is promised.

        Raises:
            OverloadedError: the budget is used up.
        """
        if self._taken_bytes and self._taken_bytes + num_bytes > self._max_bytes:
            raise OverloadedError(
                f"replies of {self._taken_bytes} bytes are under way, and {num_bytes} more would exceed the "
                f"{self._max_bytes} that this server allows; try again shortly",
                retry_after_s=1.0,
            )
        self._taken_bytes += num_bytes

    def give_back(self, num_bytes: int) -> None:
        """Frees bytes that `take` set aside."""
        self._taken_bytes -= num_bytes
