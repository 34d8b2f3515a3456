"""How fast rows of a model are really made."""

from __future__ import annotations

from typing import Final

_HALF_LIFE_S: Final = 1.0
_PRIOR_S: Final = 0.25  # of measuring, that the first estimate counts for


class Pace:
    """Seconds from one row to the next, measured while rows wait, so that all counts that holds them up.

    Drawing, runs on all lanes, turns of other models, encoding, gRPC and the event loop. What was measured long ago
    counts for less.
    """

    def __init__(self, row_s: float) -> None:
        """`row_s` is what is expected before anything was measured."""
        self._num_rows = _PRIOR_S / row_s
        self._time_s = _PRIOR_S
        self._since_s: float | None = None

    @property
    def row_s(self) -> float:
        """Seconds a row."""
        return self._time_s / self._num_rows

    def settle(self, num_rows: int, now_s: float, *, rows_wait: bool) -> None:
        """Some rows are made, and others wait or do not."""
        if self._since_s is not None:
            passed_s = now_s - self._since_s
            kept = 0.5 ** (passed_s / _HALF_LIFE_S)
            self._num_rows = self._num_rows * kept + num_rows
            self._time_s = self._time_s * kept + passed_s
        self._since_s = now_s if rows_wait else None
