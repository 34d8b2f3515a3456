from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganserve.contract.errors import ConfigError, DatasetError
from ganserve.training.datasets import ImageDataset
from ganserve.training.evaluation import classification_accuracy_scores
from ganserve.training.evaluation.classifier_training import ClassifierSettings
from ganserve.training.evaluation.samples import draw_samples

from .conftest import LATENT_DIM, NUM_CLASSES, BarGenerator


def cas(generator: BarGenerator, test: ImageDataset, settings: ClassifierSettings, **overrides: Any) -> list[float]:
    options: dict[str, Any] = {"num_classes": NUM_CLASSES, "latent_dim": LATENT_DIM, "num_images": 90, **overrides}
    return classification_accuracy_scores(
        generator, test=test, settings=settings, device=torch.device("cpu"), seeds=(0, 1), **options
    )


def test_good_samples_teach_the_classes(make_bars: Callable[..., ImageDataset], quick: ClassifierSettings) -> None:
    steps: list[tuple[int, int]] = []
    scores = cas(BarGenerator(), make_bars(), quick, on_progress=lambda *step: steps.append(step))
    assert len(scores) == 2
    assert min(scores) > 0.8
    total = 2 * quick.num_steps
    assert steps == [(step, total) for step in range(1, total + 1)]


def test_wrong_samples_teach_the_wrong_classes(
    make_bars: Callable[..., ImageDataset], quick: ClassifierSettings
) -> None:
    assert max(cas(BarGenerator(lambda labels: (labels + 1) % 3), make_bars(), quick)) < 0.2


def test_samples_are_held_once(
    make_bars: Callable[..., ImageDataset], quick: ClassifierSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[weakref.ref[Tensor]] = []
    num_alive: list[int] = []

    def watched(generator: nn.Module, num_images: int, **options: Any) -> Iterator[Tensor]:
        for levels in draw_samples(generator, num_images, **{**options, "batch_size": 10}):
            batches.append(weakref.ref(levels))
            num_alive.append(sum(batch() is not None for batch in batches))
            yield levels

    monkeypatch.setattr("ganserve.training.evaluation.cas.draw_samples", watched)
    cas(BarGenerator(), make_bars(), quick)
    assert len(batches) == 18
    assert max(num_alive) <= 2


def test_refusals(
    make_bars: Callable[..., ImageDataset], make_dataset: Callable[..., ImageDataset], quick: ClassifierSettings
) -> None:
    with pytest.raises(ConfigError, match="--cas: the generator draws no classes"):
        cas(BarGenerator(), make_bars(), quick, num_classes=0)
    with pytest.raises(DatasetError, match="bars: 0 classes of test images, but 3 of samples"):
        cas(BarGenerator(), make_bars(labelled=False), quick)
    with pytest.raises(DatasetError, match=r"test images of \(9, 8, 1\), samples of \(8, 8, 1\)"):
        cas(BarGenerator(), make_dataset(height=9), quick)
