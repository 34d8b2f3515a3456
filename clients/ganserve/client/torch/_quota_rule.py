"""Which quotas an epoch has, by the arguments of `mix`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganserve.client.quotas import Quota, counted, equal_shares, is_even, topped_up
from ganserve.contract.errors import ConfigError

RatioLike = float | Sequence[float] | Callable[[int], float]


@dataclass(frozen=True, kw_only=True)
class QuotaRule:
    """Real images of each class, and what is to be added to them.

    Attributes:
        real_counts: real images of each class.
        ratio: synthetic images for one real image: for all epochs, one for each, or by epoch.
        balance: whether real images of smaller classes are repeated until all classes are of one size.
        synthetic_counts: in place of `ratio`, synthetic images of each class.
        top_up: in place of `ratio`, as many as a class lacks to be as large as the largest.
    """

    real_counts: tuple[int, ...]
    ratio: RatioLike
    balance: bool
    synthetic_counts: tuple[int, ...] | None
    top_up: bool

    def quotas(self, epoch: int) -> list[Quota]:
        """Of each class, in an epoch. Raises ConfigError for a ratio that cannot be."""
        if self.top_up:
            return topped_up(self.real_counts)
        if self.synthetic_counts is not None:
            return counted(self.real_counts, self.synthetic_counts)
        return equal_shares(self.real_counts, self._ratio_of(epoch), balance=self.balance)

    def conditions(self, epoch: int) -> dict[str, Any]:
        """What the quotas of an epoch come of, in plain values; of a ratio by a function, that of this epoch."""
        by_ratio = self.synthetic_counts is None and not self.top_up
        ratio: Any = list(self.ratio) if isinstance(self.ratio, Sequence) else self._ratio_of(epoch)
        return {
            "real_counts": list(self.real_counts),
            "ratio": ratio if by_ratio else None,
            "balance": self.balance,
            "counts": None if self.synthetic_counts is None else list(self.synthetic_counts),
            "top_up": self.top_up,
        }

    def uneven(self) -> list[Quota] | None:
        """The first quotas whose shares differ, of those epochs that can be known; None where there are none."""
        num_known = max(1, len(self.ratio)) if isinstance(self.ratio, Sequence) else 1
        return next((quotas for epoch in range(num_known) if not is_even(quotas := self.quotas(epoch))), None)

    def _ratio_of(self, epoch: int) -> float:
        ratio: object = self.ratio
        if callable(ratio):
            ratio = ratio(epoch)
        elif isinstance(ratio, Sequence) and not isinstance(ratio, str):
            if not ratio:
                raise ConfigError(f"ratio is {ratio!r}; give a number, or one for each epoch in a list")
            ratio = ratio[min(epoch, len(ratio) - 1)]
        return _check_ratio(ratio)


def counts_in_order(counts: Mapping[str | int, int], names: Sequence[str]) -> tuple[int, ...]:
    """Synthetic images of each class from a mapping by name or label; 0 of those that are not in it.

    Raises ConfigError for no mapping, a class that is not there or named twice, or a count that is no whole number.
    """
    given: object = counts
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"counts is {given!r}; give a mapping from class to number of synthetic images, such as {{'cat': 100}}"
        )
    by_label: dict[int, int] = {}
    for key, count in counts.items():
        label = names.index(key) if key in names else _whole_number(key)
        if label is None or not 0 <= label < len(names):
            raise ConfigError(f"counts names {key!r}, and the real classes are {', '.join(map(repr, names))}")
        if label in by_label:
            raise ConfigError(f"counts name class {names[label]!r} twice, by its name and its label")
        number = _whole_number(count)
        if number is None:
            raise ConfigError(f"the count of class {key!r} is {count!r}; give a whole number")
        by_label[label] = number
    return tuple(by_label.get(label, 0) for label in range(len(names)))


def _whole_number(value: object) -> int | None:
    """An int, also of NumPy; None for all else."""
    is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return int(value) if is_whole else None  # type: ignore[call-overload]


def _check_ratio(ratio: object) -> float:
    if isinstance(ratio, bool) or not isinstance(ratio, (int, float)):
        raise ConfigError(f"ratio is {ratio!r}; give synthetic images for one real image, such as 0.25")
    return float(ratio)
