"""The ways to learn that are held against each other, and how many images of each class each of them shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ganserve.client.quotas import Quota, equal_shares, topped_up

ArmKind = Literal["real", "oversampled", "classic", "synthetic", "topped up", "both", "synthetic only"]

_NAMES: Final[dict[ArmKind, str]] = {
    "real": "real",
    "oversampled": "real, oversampled",
    "classic": "classic augmentation",
    "synthetic": "synthetic ×{ratio:g}",
    "topped up": "topped up",
    "both": "classic + synthetic ×{ratio:g}",
    "synthetic only": "synthetic only",
}


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to learn.

    Attributes:
        kind: which.
        ratio: synthetic images for one real image; of `synthetic only` for one image of the largest class.
        mirror: whether its classic augmentation mirrors images.
    """

    kind: ArmKind
    ratio: float = 0.0
    mirror: bool = False

    @property
    def name(self) -> str:
        """As tables have it."""
        return _NAMES[self.kind].format(ratio=self.ratio)

    @property
    def is_augmented(self) -> bool:
        """Whether images are changed at random each time they are shown."""
        return self.kind in ("classic", "both")

    @property
    def is_synthetic(self) -> bool:
        """Whether it shows synthetic images."""
        return self.kind in ("synthetic", "topped up", "both", "synthetic only")

    def quotas(self, real_counts: Sequence[int], has_samples: Sequence[bool]) -> list[Quota]:
        """How many images of each class an epoch shows.

        Where classes differ in size, all but `real` and `topped up` show real images of smaller classes more often.
        A class that the generator does not know gets real images in place of synthetic ones, but from `synthetic only`.

        Args:
            real_counts: real images of each class to learn from, at least one.
            has_samples: whether the generator knows the class.
        """
        largest = max(real_counts)
        match self.kind:
            case "real":
                return equal_shares(real_counts, 0)
            case "oversampled" | "classic":
                return equal_shares(real_counts, 0, balance=True)
            case "synthetic" | "both":
                quotas = equal_shares(real_counts, self.ratio, balance=True)
            case "topped up":
                quotas = topped_up(real_counts)
            case "synthetic only":
                return [Quota(real=0, synthetic=round(self.ratio * largest) if known else 0) for known in has_samples]
        return [
            quota if known else Quota(real=quota.real + quota.synthetic, synthetic=0)
            for quota, known in zip(quotas, has_samples, strict=True)
        ]


def without_choices(real_counts: Sequence[int], ratios: Sequence[float]) -> list[Arm]:
    """The arms that need nothing chosen before, in the order in which they are trained.

    Where all classes have the same size, oversampling and topping up change nothing and are left out.
    """
    is_even = len(set(real_counts)) == 1
    return [
        Arm(kind="real"),
        *([] if is_even else [Arm(kind="oversampled")]),
        *(Arm(kind="synthetic", ratio=ratio) for ratio in sorted(ratios)),
        *([] if is_even else [Arm(kind="topped up")]),
        Arm(kind="synthetic only", ratio=max(ratios)),
    ]


def num_arms(real_counts: Sequence[int], ratios: Sequence[float]) -> int:
    """All arms, those that follow from choices included."""
    return len(without_choices(real_counts, ratios)) + 2
