"""Copies of training images are found, and what only looks like them is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from ganserve.contract.errors import DatasetError
from ganserve.training.datasets import ImageDataset
from ganserve.training.evaluation import FeatureExtractor, measure_memorisation, troubles_of
from ganserve.training.evaluation.classifier_training import ClassifierSettings, train_classifier
from ganserve.training.evaluation.memorisation import Memorisation
from ganserve.training.scores import Scores

CPU = torch.device("cpu")


@pytest.fixture
def training(make_bars: Callable[..., ImageDataset]) -> ImageDataset:
    return make_bars(400)


@pytest.fixture
def judge(training: ImageDataset, quick: ClassifierSettings) -> FeatureExtractor:
    return train_classifier(training, quick, device=CPU)


@pytest.fixture
def measure(
    training: ImageDataset, judge: FeatureExtractor, make_bars: Callable[..., ImageDataset]
) -> Callable[[np.ndarray], Memorisation]:
    def of(samples: np.ndarray) -> Memorisation:
        held_out = make_bars(300, seed=1)
        return measure_memorisation(judge, training=training, held_out=held_out, samples=samples, device=CPU)

    return of


def test_samples_of_the_same_kind_are_as_near_as_held_out_images(
    measure: Callable[[np.ndarray], Memorisation], make_bars: Callable[..., ImageDataset]
) -> None:
    found = measure(make_bars(300, seed=2).images).figures
    assert found.copied_by_chance == pytest.approx(3 / 301)
    assert found.copied < 0.05
    assert found.nearest_ratio == pytest.approx(1, abs=0.1)


def test_training_images_are_found_as_copies(
    measure: Callable[[np.ndarray], Memorisation], training: ImageDataset, scores: Scores
) -> None:
    memorised = measure(training.images[:300])
    assert memorised.figures.copied == 1
    assert memorised.figures.nearest_ratio == pytest.approx(0, abs=1e-3)
    np.testing.assert_array_equal(memorised.samples.rows, np.arange(300))
    (trouble,) = troubles_of(dataclasses.replace(scores, **memorised.figures._asdict()))
    assert (trouble.kind, "100.0% of samples are nearer" in trouble.text) == ("memorisation", True)


def test_the_share_of_copies_is_told_whatever_the_others_are(
    measure: Callable[[np.ndarray], Memorisation], training: ImageDataset, make_bars: Callable[..., ImageDataset]
) -> None:
    samples = np.concatenate([training.images[:60], 255 - make_bars(240, seed=3).images])
    found = measure(samples).figures
    assert found.copied == pytest.approx(0.2)
    assert found.nearest_ratio > 1, "in the middle they are far from everything"


def test_held_out_images_that_were_trained_on_do_not_count(
    judge: FeatureExtractor, training: ImageDataset, make_bars: Callable[..., ImageDataset]
) -> None:
    images = np.concatenate([training.images[:50], make_bars(100, seed=1).images])
    leaky = ImageDataset(images, None, (), "leaky")
    found = measure_memorisation(judge, training=training, held_out=leaky, samples=training.images[:150], device=CPU)
    assert len(found.held_out.distances) == 100
    assert found.figures.copied == 1
    all_known = ImageDataset(training.images[:50], None, (), "known")
    with pytest.raises(DatasetError, match="known: 0 images that are no training images are too few"):
        measure_memorisation(judge, training=training, held_out=all_known, samples=images, device=CPU)


def test_the_picture_shows_the_nearest_pairs_first(
    measure: Callable[[np.ndarray], Memorisation], training: ImageDataset, make_bars: Callable[..., ImageDataset]
) -> None:
    samples = make_bars(300, seed=2).images
    samples[7] = training.images[123]
    found = measure(samples)
    picture = found.picture(training)
    zoom = 3  # 18 pixels a pair, its frame among them
    pair = picture[zoom : 9 * zoom : zoom, zoom : 17 * zoom : zoom]
    np.testing.assert_array_equal(pair, np.concatenate([training.images[123]] * 2, axis=1))
    assert picture.shape[1] == (8 * 18 + 7 * 2) * zoom


def test_other_shapes_are_refused(
    judge: FeatureExtractor, training: ImageDataset, make_bars: Callable[..., ImageDataset]
) -> None:
    with pytest.raises(DatasetError, match="differ in shape"):
        measure_memorisation(
            judge, training=training, held_out=make_bars(30, channels=3), samples=training.images, device=CPU
        )
