"""What a study is asked to do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from ganserve.contract.errors import ConfigError

DEFAULT_CLASSIFIER: Final = "ganserve.augment_eval.classifiers:small_cnn"
MIN_SEEDS: Final = 3

_FEWEST_STEPS: Final = 200
_MOST_STEPS: Final = 800
_PASSES: Final = 15


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How classifiers learn, and what is compared. Raises ConfigError for values that make no study."""

    per_class: tuple[int, ...] = ()
    """Real images of each class, one study in the study for each number; none for the images as they are."""

    ratios: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)
    """Synthetic images for one real image."""

    num_seeds: int = MIN_SEEDS
    learning_rates: tuple[float, ...] = (1e-3, 3e-3)
    """Each is tried in every training, and the best on validation images taken."""

    num_steps: int | None = None
    """Of every training, whatever it learns from; None for a number that suits the real images."""

    batch_size: int = 64
    validation: float = 0.2
    """Share of the real images that choices are made by and nothing learns from."""

    mirror: bool | None = None
    """Whether classic augmentation mirrors images; None has classifiers of real images decide."""

    classifier: str = DEFAULT_CLASSIFIER
    """`module:function`."""

    def __post_init__(self) -> None:
        _require(all(number >= 2 for number in self.per_class), "--per-class: give numbers of at least 2")
        _require(len(set(self.per_class)) == len(self.per_class), "--per-class: the same number is given twice")
        _require(len(self.ratios) > 0, "--ratios: give at least one")
        _require(all(0 < ratio <= 100 for ratio in self.ratios), "--ratios: give numbers above 0, at most 100")
        _require(len(set(self.ratios)) == len(self.ratios), "--ratios: the same number is given twice")
        _require(self.num_seeds >= MIN_SEEDS, f"--seeds {self.num_seeds}: give at least {MIN_SEEDS} to tell the spread")
        _require(
            len(self.learning_rates) > 0 and all(0 < rate < math.inf for rate in self.learning_rates),
            "--learning-rates: give at least one, above 0",
        )
        _require(self.num_steps is None or self.num_steps >= 1, f"--steps {self.num_steps}: give at least 1")
        _require(self.batch_size >= 2, f"--batch-size {self.batch_size}: give at least 2")
        _require(0 < self.validation < 1, f"--validation {self.validation:g}: give a share between 0 and 1")

    @property
    def sizes(self) -> tuple[int | None, ...]:
        """Real images of each class; None for all there are."""
        return self.per_class or (None,)

    def steps_for(self, num_images: int) -> int:
        """Steps of every training where there are `num_images` real ones, oversampled, to learn from.

        Fifteen passes through them, but at least 200 steps and at most 800, or one pass where that takes more.
        """
        if self.num_steps is not None:
            return self.num_steps
        pass_steps = math.ceil(num_images / self.batch_size)
        return max(pass_steps, min(_MOST_STEPS, max(_FEWEST_STEPS, _PASSES * pass_steps)))

    def that_count(self) -> dict[str, Any]:
        """Those that decide what a single training finds, by flag, as JSON holds them."""
        return {
            "--learning-rates": list(self.learning_rates),
            "--steps": self.num_steps,
            "--batch-size": self.batch_size,
            "--validation": self.validation,
            "--classifier": self.classifier,
        }


def parse_numbers(text: str, flag: str, kind: type[int] | type[float]) -> tuple[float, ...]:
    """The numbers of a text such as `20,100,500`. Raises ConfigError."""
    try:
        return tuple(kind(part) for part in text.split(",") if part.strip())
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise ConfigError(f"{flag} {text}: give {what} with commas between them") from None


def _require(condition: bool, fault: str) -> None:
    if not condition:
        raise ConfigError(fault)
