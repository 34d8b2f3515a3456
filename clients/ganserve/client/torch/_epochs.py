"""Which indices each epoch of samples has."""

from __future__ import annotations

from typing import Any

from ganserve.client._queries.checks import whole_number
from ganserve.contract.latents import NUM_INDICES

from ._recipe import check_epoch, check_reach
from ._shared import SharedNumbers


class EpochIndices:
    """The present epoch, shared with the workers, and its indices: epochs follow each other without a gap."""

    def __init__(self, length: int, first_index: int) -> None:
        """Begins with epoch 0.

        Args:
            length: indices of an epoch.
            first_index: the first of epoch 0.

        Raises:
            InvalidRequestError: no such index, or too few of them.
        """
        self._length = length
        self._first_index = whole_number(first_index, "first_index", low=0, high=NUM_INDICES - 1, field="first_index")
        self._epoch = SharedNumbers()
        check_reach(0, self.start_of(1))

    @property
    def epoch(self) -> int:
        """The present one, counted from 0."""
        return self._epoch[0]

    def turn_to(self, epoch: int) -> None:
        """Goes to an epoch. Raises InvalidRequestError for no whole number from 0, or where its indices end."""
        epoch = check_epoch(epoch)
        check_reach(epoch, self.start_of(epoch + 1))
        self._epoch[0] = epoch

    def address(self) -> dict[str, Any]:
        """Which indices all epochs have, as a saved state tells it."""
        return {"length": self._length, "first_index": self._first_index}

    def start_of(self, epoch: int) -> int:
        """The first index of an epoch."""
        return self._first_index + epoch * self._length
