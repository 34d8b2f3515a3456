"""The whole of a study: every arm, for every number of real images and every seed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import torch
from torch import nn

from ganserve.training.waiting import OnProgress

from . import classic
from .arms import Arm, num_arms, without_choices
from .findings import ArmFindings, SizeFindings, chosen_synthetic
from .fitting import Fitter, balanced_accuracy, balanced_loss, logits_of
from .images import RealImages
from .learning import learning_set
from .records import Key, Record, Records
from .samples import SamplePool
from .settings import Settings
from .sizes import Size, sizes_of

_LOSS_OF_NONE: Final = 1e9
"""What a classifier whose weights are not finite has lost, so that nothing chooses it."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is trained, and on what."""

    real: RealImages
    pool: SamplePool
    settings: Settings
    records: Records
    make: Callable[[], nn.Module]
    device: torch.device

    def run(self, on_progress: OnProgress = lambda *_: None) -> Iterator[SizeFindings]:
        """Trains what is not there yet, and yields what each size came to. `on_progress` is told of steps.

        A training that is done is kept at once, so a study that is stopped goes on where it was. Samples are drawn when
        they are first shown, unless they have been.
        """
        steps = _Steps(self.num_steps, on_progress)
        for size in self.sizes:
            arms = without_choices(size.real_counts, self.settings.ratios)
            found = [self._findings(size, arm, steps) for arm in arms]
            mirror = self._mirror(found[0])
            ratio = chosen_synthetic([each for each in found if each.arm.kind == "synthetic"]).arm.ratio
            chosen = (Arm(kind="classic", mirror=mirror), Arm(kind="both", ratio=ratio, mirror=mirror))
            found += [self._findings(size, arm, steps) for arm in chosen]
            yield SizeFindings(size.per_class, size.num_steps, mirror, tuple(found))

    @cached_property
    def sizes(self) -> tuple[Size, ...]:
        """What `--per-class` asks for. Raises ConfigError and DatasetError where a class has too few images."""
        return sizes_of(self.real, self.settings, num_known=len(self.pool.known))

    @property
    def num_steps(self) -> int:
        """Steps of the whole study."""
        return sum(self.num_trainings_of(size) * self._steps_of_training(size) for size in self.sizes)

    @property
    def seeds_to_draw(self) -> list[int]:
        """Seeds whose samples something that is left to train shows."""
        seeds = range(self.settings.num_seeds)
        return [seed for seed in seeds if any(self._is_unfinished(size, seed) for size in self.sizes)]

    @property
    def num_trainings_left(self) -> int:
        """Arms times seeds, over all sizes, that are not there yet, or a few more."""
        return sum(self._num_left(size) for size in self.sizes)

    @property
    def num_steps_left(self) -> int:
        """Steps of those."""
        return sum(self._num_left(size) * self._steps_of_training(size) for size in self.sizes)

    def _num_left(self, size: Size) -> int:
        seeds = range(self.settings.num_seeds)
        num_done = sum(key.per_class == size.per_class and key.seed in seeds for key in self.records)
        return max(0, self.num_trainings_of(size) - num_done)

    def _is_unfinished(self, size: Size, seed: int) -> bool:
        done = {key.arm for key in self.records if (key.per_class, key.seed) == (size.per_class, seed)}
        arms = without_choices(size.real_counts, self.settings.ratios)
        return not done.issuperset(arms) or not any(arm.kind == "both" for arm in done)

    def num_trainings_of(self, size: Size) -> int:
        """Arms times seeds; each is tried with every learning rate."""
        return num_arms(size.real_counts, self.settings.ratios) * self.settings.num_seeds

    def _steps_of_training(self, size: Size) -> int:
        return size.num_steps * len(self.settings.learning_rates)

    @property
    def _has_samples(self) -> list[bool]:
        return [label in self.pool.known for label in range(self.real.training.num_classes)]

    def _mirror(self, real: ArmFindings) -> bool:
        if self.settings.mirror is not None:
            return self.settings.mirror
        accuracy, mirrored = mirroring(real)
        return classic.keeps_class_mirrored(accuracy, mirrored, self.real.training.num_classes)

    def _findings(self, size: Size, arm: Arm, steps: _Steps) -> ArmFindings:
        found = []
        for seed in range(self.settings.num_seeds):
            key = Key(size.per_class, arm, seed)
            if key in self.records:
                steps.skip(self._steps_of_training(size))
            else:
                self.records.add(self._train(size, key, steps))
            found.append(self.records[key])
        quotas = arm.quotas(size.real_counts, self._has_samples)
        return ArmFindings(arm, tuple(quotas), tuple(found), self.real.test_labels)

    def _train(self, size: Size, key: Key, steps: _Steps) -> Record:
        """Trains with every learning rate, and tests the one that validation images choose."""
        start_s = time.monotonic()
        parts = self.real.parts(size.per_class, key.seed, self.settings.validation)
        quotas = key.arm.quotas(size.real_counts, self._has_samples)
        learning = learning_set(
            self.real, parts.learning, quotas, self.pool, seed=key.seed, most_samples=size.most_samples
        )
        fitter = Fitter(self.make, size.num_steps, self.settings.batch_size, self.device, steps.one)
        held_back, labels = self.real.training.images[parts.validation], self.real.labels[parts.validation]
        best: tuple[float, float, nn.Module] | None = None
        for rate in self.settings.learning_rates:
            classifier = fitter.fit(learning, key.arm, learning_rate=rate, seed=key.seed)
            loss = balanced_loss(logits_of(classifier, held_back, self.device), labels)
            if best is None or loss < best[0] or not math.isfinite(best[0]):
                best = loss, rate, classifier
        assert best is not None  # noqa: S101  there is at least one learning rate
        loss, rate, classifier = best
        accuracies = [
            balanced_accuracy(
                logits_of(classifier, held_back, self.device, mirrored=mirrored).argmax(dim=1).numpy() == labels, labels
            )
            for mirrored in (False, True)
        ]
        answers = logits_of(classifier, self.real.test.images, self.device).argmax(dim=1).numpy()
        return Record(
            per_class=size.per_class,
            arm=key.arm,
            seed=key.seed,
            learning_rate=rate,
            num_steps=size.num_steps,
            validation_loss=loss if math.isfinite(loss) else _LOSS_OF_NONE,
            validation_accuracy=accuracies[0],
            mirrored_validation_accuracy=accuracies[1],
            is_right=answers == self.real.test_labels,
            seconds=round(time.monotonic() - start_s, 3),
        )


class _Steps:
    """Counts the steps of a study."""

    def __init__(self, total: int, on_progress: OnProgress) -> None:
        self._num_done, self._total, self._tell = 0, total, on_progress

    def one(self) -> None:
        """One more is taken."""
        self.skip(1)

    def skip(self, num_steps: int) -> None:
        """So many are taken, or were by an earlier start."""
        self._num_done += num_steps
        self._tell(self._num_done, self._total)


def mirroring(real: ArmFindings) -> tuple[float, float]:
    """Balanced accuracy of classifiers of real images on validation images, as they are and mirrored."""
    return (
        float(np.mean([record.validation_accuracy for record in real.records])),
        float(np.mean([record.mirrored_validation_accuracy for record in real.records])),
    )
