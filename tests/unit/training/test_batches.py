from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganserve.training.batches import Batches
from ganserve.training.datasets import ImageDataset
from ganserve.training.pixels import from_levels, to_levels

CPU = torch.device("cpu")


def numbered(num_images: int) -> ImageDataset:
    """Images whose every pixel, and whose label, is their number."""
    images = np.arange(num_images, dtype=np.uint8)[:, None, None, None].repeat(2, axis=1)
    return ImageDataset(images, np.arange(num_images), tuple(map(str, range(num_images))), "numbered")


def test_an_epoch_shows_every_image_once_and_the_next_in_another_order() -> None:
    batches = Batches.of(numbered(50), conditional=True, seed=3, device=CPU)
    epochs = []
    for epoch in range(2):
        _, labels = batches.at(50 * epoch, 50)
        assert labels is not None
        assert sorted(labels.tolist()) == list(range(50))
        epochs.append(labels.tolist())
    assert epochs[0] != epochs[1]


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(1, 30), st.integers(1, 30))
def test_a_batch_depends_on_its_position_alone(position: int, num_first: int, num_second: int) -> None:
    whole = Batches.of(numbered(7), conditional=True, seed=3, device=CPU)
    parts = Batches.of(numbered(7), conditional=True, seed=3, device=CPU)
    _, second = parts.at(position + num_first, num_second)
    _, first = parts.at(position, num_first)
    _, both = whole.at(position, num_first + num_second)
    assert first is not None
    assert second is not None
    assert both is not None
    torch.testing.assert_close(torch.cat([first, second]), both)


def test_images_belong_to_their_labels() -> None:
    batches = Batches.of(numbered(20), conditional=True, seed=0, device=CPU)
    images, labels = batches.at(5, 12)
    assert labels is not None
    torch.testing.assert_close(to_levels(images)[:, 0, 0, 0].long(), labels)


def test_unconditional_training_sees_no_labels(make_dataset: Callable[..., ImageDataset]) -> None:
    _, labels = Batches.of(make_dataset(), conditional=False, seed=0, device=CPU).at(0, 4)
    assert labels is None


@pytest.mark.parametrize("channels", [1, 3])
def test_levels_survive_the_way_to_floats_and_back(channels: int) -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).expand(1, 16, 16, channels)
    images = from_levels(levels)
    assert images.shape == (1, channels, 16, 16)
    assert (images.min().item(), images.max().item()) == (-1, 1)
    assert torch.equal(to_levels(images), levels)


def test_a_mirrored_epoch_shows_every_image_both_ways() -> None:
    images = np.zeros((5, 2, 4, 1), np.uint8)
    images[:, :, 0] = np.arange(1, 6)[:, None, None]
    batches = Batches.of(ImageDataset(images, None, (), "x"), conditional=False, seed=0, device=CPU, mirror=True)
    shown = to_levels(batches.at(0, 10)[0])[:, 0, :, 0]
    assert sorted(shown[:, 0].tolist()) == sorted(shown[:, -1].tolist()) == [0] * 5 + [1, 2, 3, 4, 5]


def test_processes_share_a_batch_between_them() -> None:
    whole = Batches.of(numbered(7), conditional=True, seed=3, device=CPU)
    parts = [Batches.of(numbered(7), conditional=True, seed=3, device=CPU) for _ in range(3)]
    for rank, part in enumerate(parts):
        part.rank, part.num_ranks = rank, 3
    images = torch.cat([part.at(5, 2)[0] for part in parts])
    assert torch.equal(images, whole.at(5, 6)[0])


def test_balanced_classes_are_shown_equally_often_and_a_position_stays_a_number(
    make_uneven: Callable[[], ImageDataset],
) -> None:
    dataset = make_uneven()
    whole = Batches.of(dataset, conditional=True, seed=3, device=CPU, balance_classes=True)
    _, labels = whole.at(0, 300)
    assert labels is not None
    assert torch.bincount(labels).tolist() == [100, 100, 100]
    parts = [Batches.of(dataset, conditional=True, seed=3, device=CPU, balance_classes=True) for _ in range(3)]
    for rank, part in enumerate(parts):
        part.rank, part.num_ranks = rank, 3
    images = torch.cat([part.at(17, 20)[0] for part in parts])
    assert torch.equal(images, whole.at(17, 60)[0])


def test_balanced_classes_without_labels_for_the_generator(make_uneven: Callable[[], ImageDataset]) -> None:
    images, labels = Batches.of(make_uneven(), conditional=False, seed=0, device=CPU, balance_classes=True).at(0, 300)
    assert labels is None
    assert torch.bincount(to_levels(images)[:, 0, 0, 0].long()).tolist() == [100, 100, 100]


@pytest.mark.parametrize(("balance_classes", "shares"), [(False, [0.75, 0.2, 0.05]), (True, [1 / 3, 1 / 3, 1 / 3])])
def test_labels_are_drawn_as_they_are_shown(
    make_uneven: Callable[[], ImageDataset], balance_classes: bool, shares: list[float]
) -> None:
    batches = Batches.of(make_uneven(), conditional=True, seed=0, device=CPU, balance_classes=balance_classes)
    labels = batches.draw_labels(10_000, torch.Generator().manual_seed(0))
    assert labels is not None
    assert (torch.bincount(labels) / 10_000).tolist() == pytest.approx(shares, abs=0.02)


@pytest.fixture
def make_uneven() -> Callable[[], ImageDataset]:
    """Twenty images of three classes, 15, 4 and 1, whose every pixel is the class."""

    def make() -> ImageDataset:
        labels = np.random.default_rng(0).permutation(np.repeat(np.arange(3), [15, 4, 1]))
        images = labels.astype(np.uint8)[:, None, None, None].repeat(2, axis=1)
        return ImageDataset(images, labels, ("a", "b", "c"), "uneven")

    return make
