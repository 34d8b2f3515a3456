from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ganserve.training import TrainingConfig, training_from_config
from ganserve.training.batches import Batches
from ganserve.training.datasets import ImageDataset
from ganserve.training.previews import Preview, calibration_batches
from ganserve.v1.model_pb2 import ImageShape, ModelCard

CPU = torch.device("cpu")
CLASSES = tuple("abc")


class Watched(nn.Module):
    """Draws nothing, at any size, and keeps how many images it was asked for at once."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side
        self.sizes: list[int] = []

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        assert labels is None or len(labels) == len(z)
        self.sizes.append(len(z))
        return z[:, :1, None, None].expand(-1, 1, self.side, self.side)


def draw(side: int, num_classes: int) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.uint8]], list[int]]:
    """The grid of a size, and how many of its images were drawn at once."""
    image = ImageShape(height=side, width=side, channels=1)
    card = ModelCard(latent_dim=4, image=image, class_names=map(str, range(num_classes)))
    generator = Watched(side)
    return Preview.of(card, seed=0, device=CPU).draw(generator), generator.sizes


@pytest.mark.parametrize("num_classes", [0, 3, 20])
@pytest.mark.parametrize("side", [128, 512, 2048])
def test_a_grid_is_drawn_in_parts_that_fit_into_memory(side: int, num_classes: int) -> None:
    sheet, sizes = draw(side, num_classes)
    assert max(sizes) * side * side <= max(2**20, side * side)
    assert sheet.size <= 2 * max(2**24, 16 * side * side)


def test_small_images_have_eight_rows_and_large_ones_fewer() -> None:
    assert [sum(draw(side, 16)[1]) for side in (64, 256, 1024)] == [128, 128, 16]
    assert [sum(draw(side, 0)[1]) for side in (64, 256, 1024)] == [64, 64, 16]


@pytest.mark.parametrize(
    ("side", "batch_size", "expected"), [(8, 4, 128), (128, 4, 64), (512, 4, 4), (512, 16, 16), (512, 400, 128)]
)
def test_calibration_takes_as_many_images_whatever_their_size(side: int, batch_size: int, expected: int) -> None:
    dataset = ImageDataset(np.zeros((9, side, side, 1), np.uint8), np.arange(9) % 3, CLASSES, "blank")
    batches = Batches.of(dataset, conditional=True, seed=0, device=CPU)
    sizes = [len(z) for z, _ in calibration_batches(batches, 4, batch_size=batch_size, seed=0)]
    assert set(sizes) == {expected}
    assert 1_024 <= sum(sizes) < 1_024 + expected


def test_a_run_on_large_images_never_holds_more_of_them_than_a_step_does(
    make_config: Callable[..., TrainingConfig], tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    np.savez(f"{tmp_path}/large.npz", x_train=rng.integers(0, 256, (8, 512, 512, 1), np.uint8), y_train=[0, 1] * 4)
    sizes: list[int] = []
    call = nn.Conv2d.forward

    def watch(self: nn.Conv2d, images: Tensor) -> Tensor:
        sizes.append(images.shape[0] * images.shape[2] * images.shape[3])
        return call(self, images)

    monkeypatch.setattr(nn.Conv2d, "forward", watch)
    monkeypatch.setattr("ganserve.training.previews._NUM_CALIBRATION_IMAGES", 8)
    config = make_config(data=f"{tmp_path}/large.npz", steps=1, base_width=1, evaluate_every=1, evaluate_images=4)
    training_from_config(config)
    assert max(sizes) <= 2 * 4 * 512 * 512, "the discriminator's pass over real and generated images"
