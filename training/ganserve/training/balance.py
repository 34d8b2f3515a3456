"""Classes of very different sizes: how to tell, and whom to point to `--balance-classes`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_MIN_RATIO: Final = 3


def balance_hint(sizes: Iterable[float]) -> str:
    """Says how many times as large the largest class is as the smallest; empty where that is no matter.

    `sizes` are of any unit; classes without images do not count.
    """
    present = [size for size in sizes if size > 0]
    ratio = max(present, default=1) / min(present, default=1)
    return "" if ratio < _MIN_RATIO else f"the largest class has {ratio:,.0f} times as many images as the smallest"
