"""A generator that has memorised its training images is found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganserve.augment_eval.copies import memorisation_of
from ganserve.augment_eval.images import RealImages
from ganserve.client import Samples
from ganserve.training.evaluation import Memorisation
from ganserve.training.evaluation.classifier_training import ClassifierSettings, train_classifier

from .conftest import BarSource, bars, pool_of

CPU = torch.device("cpu")
TRAINING = bars((100, 100, 100))
REAL = RealImages(TRAINING, bars((60, 60, 60), seed=1), TRAINING.digest)


class Parrot(BarSource):
    """Gives training images as samples: sample `index` of a class is one of its images."""

    def stream(
        self, n: int | None = None, *, seed: int | None = None, labels: Any = None, **_: Any
    ) -> Iterator[Samples]:
        indices = np.arange(n or 0)
        asked = np.asarray(labels, np.int64)[indices % len(labels)]
        rows = [np.flatnonzero(REAL.labels == label)[index // 3 % 100] for index, label in enumerate(asked)]
        yield Samples(
            model=self.model.identity,
            seed=seed,
            indices=indices.astype(np.uint64),
            shape=(8, 8, 1),
            labels=asked,
            _pixels=TRAINING.images[rows],
        )


@pytest.fixture
def measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("GANSERVE_CACHE", str(tmp_path / "cache"))
    judge = train_classifier(TRAINING, ClassifierSettings(num_steps=25, batch_size=24), device=CPU)

    def of(source: BarSource) -> Memorisation:
        pool = pool_of(source, {0: 0, 1: 1, 2: 2}, 50)
        return memorisation_of(REAL, pool, judge=judge, device=CPU)

    return of


def test_a_generator_that_memorised_is_found(measure: Any) -> None:
    copied, by_chance, ratio = measure(Parrot()).figures
    assert (copied, ratio) == (1, pytest.approx(0, abs=1e-3))
    assert by_chance == pytest.approx(1 / 151)


def test_a_generator_that_did_not_is_not(measure: Any) -> None:
    found = measure(BarSource())
    assert found.figures.copied < 0.05
    assert found.figures.nearest_ratio == pytest.approx(1, abs=0.15)
    assert [len(found.samples.images), len(found.held_out.images)] == [150, 150]
