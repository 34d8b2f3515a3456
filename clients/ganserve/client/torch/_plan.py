"""What an epoch of a mixed data set holds, item by item, without any image.

First come all real images in their own order, then those that are shown once more, then the synthetic ones, class by
class. All of it is a function of labels, quotas, seed and epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ganserve.client.quotas import Quota
from ganserve.contract.latents import NUM_INDICES, IndexRange, draw_words

_ORDER_TAG: Final = int.from_bytes(b"gan-mix1", "big")
_IMAGES_AN_EPOCH: Final = 2**32  # of one class, for which every epoch has indices

Places = NDArray[np.int64]


class ClassOrders:
    """Real images of each class, in an order that is drawn once from a seed."""

    def __init__(self, labels: NDArray[np.int64], num_classes: int, seed: int) -> None:
        words = draw_words([IndexRange(seed, 0, len(labels))], _ORDER_TAG, 1)[:, 0]
        by_class = np.lexsort((words, labels))
        ends = np.cumsum(np.bincount(labels, minlength=num_classes))
        self._orders = np.split(by_class, ends[:-1])

    def repeats(self, label: int, count: int, epoch: int) -> Places:
        """Real images of a class that are shown once more: each as often as the others, or one time more.

        Which are shown that time more goes round: over all epochs, too, each is shown as often as the others, give or
        take one.
        """
        order = self._orders[label]
        if not count:
            return order[:0]
        rounds, extra = divmod(count, len(order))
        start = epoch * extra % len(order)
        turned = np.roll(order, -start)
        return np.concatenate([np.tile(order, rounds), turned[:extra]])


class EpochPlan:
    """The items of one epoch.

    Attributes:
        epoch: from 0.
        quotas: of each class.
        num_real: how many items are real; they come first.
    """

    def __init__(self, epoch: int, quotas: Sequence[Quota], labels: NDArray[np.int64], orders: ClassOrders) -> None:
        counts = np.bincount(labels, minlength=len(quotas)).tolist()
        repeats = [
            orders.repeats(label, quota.real - count, epoch)
            for label, (quota, count) in enumerate(zip(quotas, counts, strict=True))
        ]
        self.epoch = epoch
        self.quotas = quotas
        self._labels = labels
        self._repeats = np.concatenate(repeats)
        self._synthetic_ends = np.cumsum([quota.synthetic for quota in quotas])
        self.num_real = len(labels) + len(self._repeats)

    def __len__(self) -> int:
        return self.num_real + int(self._synthetic_ends[-1])

    @property
    def labels(self) -> NDArray[np.int64]:
        """Of every item, int64 (N,)."""
        synthetic = np.repeat(np.arange(len(self.quotas)), [quota.synthetic for quota in self.quotas])
        return np.concatenate([self._labels, self._labels[self._repeats], synthetic])

    def real_place(self, item: int) -> int:
        """Which real image a real item is."""
        return item if item < len(self._labels) else int(self._repeats[item - len(self._labels)])

    def synthetic_place(self, item: int) -> tuple[int, int]:
        """Of a synthetic item, its class and its number among the synthetic items of that class."""
        number = item - self.num_real
        label = int(np.searchsorted(self._synthetic_ends, number, side="right"))
        return label, number - (int(self._synthetic_ends[label - 1]) if label else 0)


def sample_index(epoch: int, label: int, number: int, num_classes: int) -> int:
    """The index of a class's synthetic image in an epoch.

    Labels go round with the index, so it is ``(epoch * 2^32 + number) * num_classes + label``: whatever else the epoch
    holds, and never the same twice.
    """
    return (epoch * _IMAGES_AN_EPOCH + number) * num_classes + label


def max_epoch(num_classes: int) -> int:
    """The last epoch for which there are indices."""
    return NUM_INDICES // (num_classes * _IMAGES_AN_EPOCH) - 1
