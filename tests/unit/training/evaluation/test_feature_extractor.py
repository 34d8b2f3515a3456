from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from ganserve.contract.errors import DatasetError
from ganserve.training.datasets import ImageDataset
from ganserve.training.evaluation.classifier_training import (
    ClassifierSettings,
    accuracy_on,
    posed,
    train_classifier,
)
from ganserve.training.evaluation.feature_extractor import NUM_FEATURES, FeatureExtractor
from ganserve.training.networks.shape import ImageShape

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("height", "width", "channels"),
    [(4, 4, 1), (4, 100, 3), (5, 7, 3), (28, 28, 1), (41, 41, 1), (64, 48, 3), (130, 3, 1), (256, 256, 3)],
)
def test_any_shape(height: int, width: int, channels: int) -> None:
    feature_extractor = FeatureExtractor(ImageShape(height, width, channels), 5, knows_classes=True)
    features, logits = feature_extractor(torch.zeros(2, channels, height, width))
    assert features.shape == (2, NUM_FEATURES)
    assert logits.shape == (2, 5)


def test_it_learns_classes(make_bars: Callable[..., ImageDataset], quick: ClassifierSettings) -> None:
    feature_extractor = train_classifier(make_bars(), quick, device=CPU)
    assert feature_extractor.knows_classes
    assert not feature_extractor.training
    assert feature_extractor.accuracy > 0.9
    assert accuracy_on(feature_extractor, make_bars(seed=1), device=CPU) > 0.9


def test_it_learns_poses_where_there_are_no_classes(
    make_bars: Callable[..., ImageDataset], quick: ClassifierSettings
) -> None:
    bars = make_bars()
    top_bars = bars.images[bars.labels == 0]
    feature_extractor = train_classifier(ImageDataset(top_bars, None, (), "top"), quick, device=CPU)
    assert not feature_extractor.knows_classes
    assert feature_extractor.num_outputs == 4
    assert feature_extractor.accuracy > 0.9


def test_a_single_class_is_no_class(make_dataset: Callable[..., ImageDataset], quick: ClassifierSettings) -> None:
    images = make_dataset().images
    one_class = ImageDataset(images, np.zeros(len(images), np.int64), ("only",), "one")
    assert not train_classifier(one_class, quick, device=CPU).knows_classes


def test_features_of_real_images_have_variance_one(
    make_bars: Callable[..., ImageDataset], quick: ClassifierSettings
) -> None:
    bars = make_bars()
    feature_extractor = train_classifier(bars, quick, device=CPU)
    features, _ = feature_extractor(torch.from_numpy(bars.images).permute(0, 3, 1, 2) / 127.5 - 1)
    assert float(features.var(dim=0).mean()) == pytest.approx(1, abs=0.1)


def test_training_repeats_itself_and_leaves_global_randomness_alone(
    make_bars: Callable[..., ImageDataset], quick: ClassifierSettings
) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = train_classifier(make_bars(), quick, device=CPU).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    second = train_classifier(make_bars(), quick, device=CPU).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_number_of_steps_is_bounded() -> None:
    assert ClassifierSettings.for_images(60_000, 1).num_steps == 1_000
    assert ClassifierSettings.for_images(10**7, 3).num_steps == 3_000
    assert ClassifierSettings.for_images(20, 3).num_steps < 100


def test_poses_of_square_images_are_quarter_turns() -> None:
    image = torch.arange(9.0).view(1, 1, 3, 3)
    turned, poses = posed(image.expand(4, -1, -1, -1))
    assert poses.tolist() == [0, 1, 2, 3]
    assert all(torch.equal(turned[pose], torch.rot90(image[0], pose, (1, 2))) for pose in range(4))


def test_poses_of_other_images_keep_their_sides_and_differ() -> None:
    image = torch.arange(6.0).view(1, 1, 2, 3)
    shown, poses = posed(image.expand(6, -1, -1, -1))
    assert shown.shape == (6, 1, 2, 3)
    assert poses.tolist() == [0, 0, 1, 1, 2, 3]
    assert len({tuple(view.flatten().tolist()) for view in shown}) == 4


def test_too_few_images_are_refused(make_dataset: Callable[..., ImageDataset], quick: ClassifierSettings) -> None:
    with pytest.raises(DatasetError, match="random: 3 images are too few to judge by"):
        train_classifier(make_dataset(num_images=3), quick, device=CPU)


def test_four_images_are_enough(make_dataset: Callable[..., ImageDataset], quick: ClassifierSettings) -> None:
    assert 0 <= train_classifier(make_dataset(num_images=4), quick, device=CPU).accuracy <= 1


@pytest.mark.parametrize("labelled", [True, False])
def test_images_that_are_read_a_few_at_a_time_teach_the_same(
    make_bars: Callable[..., ImageDataset],
    quick: ClassifierSettings,
    labelled: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = train_classifier(make_bars(labelled=labelled), quick, device=CPU)
    monkeypatch.setattr("ganserve.training.evaluation.classifier_training.images_per_batch", lambda *_: 3)
    parts = train_classifier(make_bars(labelled=labelled), quick, device=CPU)
    assert parts.accuracy == pytest.approx(whole.accuracy, abs=0.1)
    if labelled:
        assert parts.digest == whole.digest


def test_images_read_one_at_a_time_are_shown_in_every_pose() -> None:
    images = torch.rand(8, 1, 4, 4)
    _, together = posed(images)
    alone = [int(posed(images[index : index + 1], index)[1]) for index in range(8)]
    assert alone == [0, 1, 2, 3] * 2
    assert sorted(alone) == sorted(together.tolist())
