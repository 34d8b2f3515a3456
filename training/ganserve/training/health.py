"""Signs that a run goes wrong: values not finite, a discriminator that won, a generator that repeats itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from ganserve.contract.errors import DivergenceError

from .config import TrainingConfig
from .evaluation import troubles_of
from .report import Figures
from .scores import Scores

_WINDOW_STEPS = 50
_MAX_SKIPPED_SHARE = 0.2
_MIN_SKIPPED = 5
_SATURATED_ACCURACY = 0.995
_NUM_SATURATED_REPORTS = 5


class Health:
    """Watches the figures of a run. It warns of each trouble when it begins, and stops only for divergence."""

    def __init__(self, config: TrainingConfig) -> None:
        self._config = config
        self._recent: deque[Figures] = deque()
        self._num_saturated = 0
        self._troubles: set[str] = set()
        self._troubles_of_samples: set[str] = set()

    def check_figures(self, figures: Figures) -> Iterator[str]:
        """Warnings after a line of figures. Raises DivergenceError where too many steps could not be taken."""
        self._recent.append(figures)
        while sum(each.num_steps for each in self._recent) - self._recent[0].num_steps >= _WINDOW_STEPS:
            self._recent.popleft()
        num_skipped = sum(each.num_skipped for each in self._recent)
        num_updates = sum(each.num_steps for each in self._recent) * (self._config.num_discriminator_steps + 1)
        if num_skipped > max(_MAX_SKIPPED_SHARE * num_updates, _MIN_SKIPPED - 1):
            raise DivergenceError(
                f"step {figures.step}: losses or gradients were not finite in {num_skipped:,} of the last "
                f"{num_updates:,} updates"
            )
        yield from self._watch(
            "skipped",
            num_skipped > 0,
            f"{num_skipped:,} updates were skipped because a loss or gradient was not finite; if it goes on, try lower "
            "--generator-lr and --discriminator-lr, or --clip-grad-norm 1",
        )
        has_won = not self._config.objective.may_saturate and figures.discriminator_accuracy > _SATURATED_ACCURACY
        self._num_saturated = self._num_saturated + 1 if has_won else 0
        yield from self._watch(
            "saturated",
            self._num_saturated >= _NUM_SATURATED_REPORTS,
            f"the discriminator tells {figures.discriminator_accuracy:.1%} of real images from generated ones, so the "
            "generator learns little; try a lower --discriminator-lr, --augment translation, or --preset r3gan",
        )

    def check_scores(self, scores: Scores) -> Iterator[str]:
        """Warnings after an evaluation."""
        found = dict(troubles_of(scores))
        yield from (text for kind, text in found.items() if kind not in self._troubles_of_samples)
        self._troubles_of_samples = set(found)

    def _watch(self, trouble: str, is_there: bool, text: str) -> Iterator[str]:
        if is_there and trouble not in self._troubles:
            yield text
        (self._troubles.add if is_there else self._troubles.discard)(trouble)
