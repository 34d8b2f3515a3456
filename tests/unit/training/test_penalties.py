from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ganserve.training.penalties import clip_weights_, gradient_penalty, squared_gradient_norm

Penalty = Callable[[nn.Module, Tensor], Tensor]


class LinearDiscriminator(nn.Module):
    """D(x) = <w, x>: its gradient is w everywhere."""

    def __init__(self, weight: list[float]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight).reshape(1, 1, -1))

    def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
        assert labels is None
        return (images * self.weight).sum(dim=(1, 2, 3))


class SquareDiscriminator(nn.Module):
    """D(x) = a ‖x‖² / 2: its gradient at x is a x."""

    def __init__(self, curvature: float = 1.0) -> None:
        super().__init__()
        self.curvature = nn.Parameter(torch.tensor(curvature))

    def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
        assert labels is None
        return self.curvature * images.square().sum(dim=(1, 2, 3)) / 2


class ClassDiscriminator(nn.Module):
    """D(x, y) = (y + 1) sum(x): its gradient depends on the class alone."""

    def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
        assert labels is not None
        return (labels + 1) * images.sum(dim=(1, 2, 3))


class DeepDiscriminator(nn.Module):
    """Layers that autocast would run in bf16."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(16, 1))

    def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
        assert labels is None
        logits: Tensor = self.layers(images)
        return logits[:, 0]


def halfway(num_images: int) -> Tensor:
    return torch.full((num_images, 1, 1, 1), 0.5)


def penalty_around(discriminator: nn.Module, images: Tensor) -> Tensor:
    return gradient_penalty(discriminator, images, images, None, halfway(len(images)))


def squared_norm_at(discriminator: nn.Module, images: Tensor) -> Tensor:
    return squared_gradient_norm(discriminator, images, None)


both_penalties = pytest.mark.parametrize("penalty", [penalty_around, squared_norm_at])


def test_gradient_penalty_of_a_linear_discriminator_is_the_same_at_every_point() -> None:
    discriminator, images = LinearDiscriminator([3.0, 4.0]), torch.randn(5, 1, 1, 2)
    assert gradient_penalty(discriminator, images, images.flip(0), None, halfway(5)).item() == pytest.approx(
        (5 - 1) ** 2
    )


def test_gradient_penalty_takes_the_norm_of_each_sample_and_not_of_the_batch() -> None:
    images = torch.zeros(2, 1, 2, 2)
    images[0, 0, 0, 0] = 3
    assert penalty_around(SquareDiscriminator(), images).item() == pytest.approx(((3 - 1) ** 2 + (0 - 1) ** 2) / 2)


def test_gradient_penalty_takes_the_norm_over_channels_and_pixels() -> None:
    images = torch.ones(1, 3, 1, 3)
    assert penalty_around(SquareDiscriminator(), images).item() == pytest.approx((3 - 1) ** 2)


def test_each_pair_has_its_own_point_and_the_share_is_that_of_the_real_image() -> None:
    real, fake = torch.full((3, 1, 1, 1), 5.0), torch.ones(3, 1, 1, 1)
    share = torch.tensor([0.0, 0.25, 0.75]).reshape(3, 1, 1, 1)
    # The points are 1, 2 and 4.
    penalty = gradient_penalty(SquareDiscriminator(), real, fake, None, share)
    assert penalty.item() == pytest.approx((0 + 1 + 9) / 3)


def test_gradient_penalty_reaches_the_weights() -> None:
    discriminator = LinearDiscriminator([3.0, 4.0])
    torch.autograd.backward(penalty_around(discriminator, torch.randn(2, 1, 1, 2)))
    # d/dw (‖w‖ - 1)² = 2 (‖w‖ - 1) w / ‖w‖ with ‖w‖ = 5.
    torch.testing.assert_close(discriminator.weight.grad, torch.tensor([[[4.8, 6.4]]]))


def test_gradient_penalty_of_a_flat_discriminator_is_one_and_its_own_gradient_finite() -> None:
    discriminator = LinearDiscriminator([0.0, 0.0])
    penalty = penalty_around(discriminator, torch.randn(2, 1, 1, 2))
    torch.autograd.backward(penalty)
    assert penalty.item() == 1
    assert discriminator.weight.grad is not None
    assert bool(torch.isfinite(discriminator.weight.grad).all())


def test_squared_gradient_norm_of_a_linear_discriminator() -> None:
    assert squared_norm_at(LinearDiscriminator([3.0, 4.0]), torch.randn(5, 1, 1, 2)).item() == pytest.approx(25)


def test_squared_gradient_norm_of_a_quadratic_discriminator_sums_over_pixels_and_averages_over_images() -> None:
    images = torch.tensor([1.0, 2.0, 0.0, 4.0, 0.0, 0.0]).reshape(2, 3, 1, 1)
    assert squared_norm_at(SquareDiscriminator(2.0), images).item() == pytest.approx(4 * ((1 + 4) + 16) / 2)


def test_squared_gradient_norm_reaches_the_weights() -> None:
    discriminator = SquareDiscriminator(3.0)
    images = torch.tensor([1.0, 2.0]).reshape(2, 1, 1, 1)
    torch.autograd.backward(squared_norm_at(discriminator, images))
    # d/da a² mean(x²) = 2 a mean(x²).
    torch.testing.assert_close(discriminator.curvature.grad, torch.tensor(2 * 3 * 2.5))


@both_penalties
def test_penalties_of_a_deep_discriminator_have_the_gradient_that_differences_give(penalty: Penalty) -> None:
    torch.manual_seed(0)
    discriminator, images = DeepDiscriminator(), torch.randn(3, 1, 4, 4)
    weight = discriminator.layers[0].weight
    assert isinstance(weight, nn.Parameter)
    (gradient,) = torch.autograd.grad(penalty(discriminator, images), weight)
    small_step = 1e-2 * gradient / gradient.norm()
    weight.data += small_step
    above = penalty(discriminator, images)
    weight.data -= 2 * small_step
    below = penalty(discriminator, images)
    assert ((above - below) / 2e-2).item() == pytest.approx(gradient.norm().item(), rel=0.02)


def test_penalties_ask_about_the_class_of_each_image() -> None:
    images, labels = torch.zeros(2, 1, 1, 1), torch.tensor([0, 2])
    assert squared_gradient_norm(ClassDiscriminator(), images, labels).item() == pytest.approx((1 + 9) / 2)
    penalty = gradient_penalty(ClassDiscriminator(), images, images, labels, halfway(2))
    assert penalty.item() == pytest.approx((0 + 4) / 2)


@both_penalties
def test_penalties_stay_in_fp32_under_autocast(penalty: Penalty) -> None:
    torch.manual_seed(0)
    discriminator, images = DeepDiscriminator(), torch.randn(3, 1, 4, 4)
    expected = penalty(discriminator, images)
    with torch.autocast("cpu", torch.bfloat16):
        found = penalty(discriminator, images)
        of_half = penalty(discriminator, images.bfloat16())
    assert torch.equal(found, expected)
    assert of_half.dtype == torch.float32


@both_penalties
def test_penalties_leave_the_images_without_a_gradient(penalty: Penalty) -> None:
    images = torch.randn(2, 1, 1, 2, requires_grad=True)
    torch.autograd.backward(penalty(LinearDiscriminator([3.0, 4.0]), images))
    assert images.grad is None


def test_clipping() -> None:
    discriminator = LinearDiscriminator([-3.0, 0.005, 3.0])
    clip_weights_(discriminator, 0.01)
    torch.testing.assert_close(discriminator.weight.data, torch.tensor([[[-0.01, 0.005, 0.01]]]))
    assert discriminator.weight.requires_grad
