"""How many real and how many synthetic images of each class an epoch holds.

A classifier learns whatever tells classes apart. Where one class is mostly synthetic and another mostly real, "looks
generated" tells them apart, and that is what it learns. So the synthetic share is the same in every class, unless it is
asked for otherwise, and classes are evened out by showing real images more often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ganserve.contract.errors import ConfigError

_EVEN_WITHIN: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class Quota:
    """Images of one class in an epoch.

    Attributes:
        real: real images. Where it is more than there are, each is shown as often as the others, give or take one.
        synthetic: synthetic images, each shown once.
    """

    real: int
    synthetic: int

    @property
    def share(self) -> float:
        """The synthetic part, 0 to 1; 0 for no images."""
        return self.synthetic / max(1, self.real + self.synthetic)


def equal_shares(real_counts: Sequence[int], ratio: float, *, balance: bool = False) -> list[Quota]:
    """So many synthetic images for each real one, in every class alike.

    A class without a real image, where classes are balanced, is all synthetic; `is_even` tells.

    Args:
        real_counts: real images of each class.
        ratio: synthetic images for one real image, at least 0.
        balance: whether real images of smaller classes are repeated until all classes are as large as the largest.

    Raises:
        ConfigError: a ratio below 0 or not finite, or no image at all.
    """
    if not 0 <= ratio < float("inf"):
        raise ConfigError(f"ratio is {ratio!r}; give synthetic images for one real image, such as 0.25")
    largest = _largest(real_counts)
    reals = [largest if balance and count else count for count in real_counts]
    quotas = [Quota(real=real, synthetic=round(real * ratio)) for real in reals]
    if not balance:
        return quotas
    all_synthetic = Quota(real=0, synthetic=largest + round(largest * ratio))
    return [quota if quota.real else all_synthetic for quota in quotas]


def counted(real_counts: Sequence[int], synthetic_counts: Sequence[int]) -> list[Quota]:
    """All real images, and so many synthetic ones of each class: shares differ, unless they were counted to be equal.

    Raises ConfigError for a count below 0, or no real image at all.
    """
    _largest(real_counts)
    if any(count < 0 for count in synthetic_counts):
        raise ConfigError(f"there cannot be {min(synthetic_counts)} synthetic images of a class; count from 0")
    return [Quota(real=real, synthetic=count) for real, count in zip(real_counts, synthetic_counts, strict=True)]


def topped_up(real_counts: Sequence[int]) -> list[Quota]:
    """Synthetic images in place of those that a class lacks to be as large as the largest: shares differ.

    Raises ConfigError for no image at all.
    """
    largest = _largest(real_counts)
    return [Quota(real=count, synthetic=largest - count) for count in real_counts]


def is_even(quotas: Sequence[Quota]) -> bool:
    """Whether the synthetic share is about the same in all classes that have images."""
    shares = [quota.share for quota in quotas if quota.real + quota.synthetic]
    return max(shares, default=0.0) - min(shares, default=0.0) <= _EVEN_WITHIN


def _largest(real_counts: Sequence[int]) -> int:
    largest = max(real_counts, default=0)
    if not largest:
        raise ConfigError("there are no real images to mix with")
    return largest
