from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from ganserve.training.losses import (
    OBJECTIVES,
    gan_critic_loss,
    gan_generator_loss,
    wasserstein_critic_loss,
    wasserstein_generator_loss,
)
from ganserve.training.penalties import clip_weights_, gradient_penalty


class LinearCritic(nn.Module):
    """D(x) = <w, x>: its gradient is w everywhere."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
        assert labels is None
        return (images * self.weight).sum(dim=(1, 2, 3))


class SquareCritic(nn.Module):
    """D(x) = ‖x‖² / 2: its gradient at x is x."""

    def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
        assert labels is None
        return images.square().sum(dim=(1, 2, 3)) / 2


def test_gan_losses_are_the_logarithms_of_the_paper() -> None:
    real, fake = torch.tensor([0.3, -1.2]), torch.tensor([2.0, -0.5])
    critic = -(real.sigmoid().log().mean() + (1 - fake.sigmoid()).log().mean())
    torch.testing.assert_close(gan_critic_loss(real, fake), critic)
    torch.testing.assert_close(gan_generator_loss(fake), -fake.sigmoid().log().mean())


def test_gan_losses_at_indecision() -> None:
    zeros = torch.zeros(4)
    assert gan_critic_loss(zeros, zeros).item() == pytest.approx(2 * math.log(2))
    assert gan_generator_loss(zeros).item() == pytest.approx(math.log(2))


def test_gan_losses_stay_finite_at_extreme_logits() -> None:
    large = torch.tensor([1e4])
    assert gan_critic_loss(-large, large).item() == pytest.approx(2e4)
    assert gan_generator_loss(-large).item() == pytest.approx(1e4)


def test_wasserstein_losses() -> None:
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.5, -0.5])
    assert wasserstein_critic_loss(real, fake).item() == -2
    assert wasserstein_generator_loss(fake).item() == 0


def test_each_loss_has_its_penalty() -> None:
    assert {name: objective.penalty for name, objective in OBJECTIVES.items()} == {
        "gan": "none",
        "wgan": "clip",
        "wgan-gp": "gradient",
    }


def test_gradient_penalty_of_a_linear_critic_is_the_same_at_every_point() -> None:
    weight = torch.full((1, 2, 2), 1.5)
    images = torch.randn(5, 1, 2, 2)
    penalty = gradient_penalty(LinearCritic(weight), images, images.flip(0), None, torch.Generator())
    assert penalty.item() == pytest.approx((3 - 1) ** 2)


def test_gradient_penalty_takes_the_norm_of_each_sample_and_not_of_the_batch() -> None:
    images = torch.zeros(2, 1, 2, 2)
    images[0, 0, 0, 0] = 3
    penalty = gradient_penalty(SquareCritic(), images, images, None, torch.Generator())
    assert penalty.item() == pytest.approx(((3 - 1) ** 2 + (0 - 1) ** 2) / 2)


def test_gradient_penalty_lies_between_the_two_images_of_a_pair() -> None:
    real, fake = torch.ones(1000, 1, 1, 1), torch.zeros(1000, 1, 1, 1)
    penalty = gradient_penalty(SquareCritic(), real, fake, None, torch.Generator().manual_seed(0))
    # For e uniform in (0, 1) the mean of (e - 1)² is 1/3.
    assert penalty.item() == pytest.approx(1 / 3, abs=0.03)


def test_gradient_penalty_reaches_the_weights() -> None:
    critic = LinearCritic(torch.tensor([[[3.0, 4.0]]]))
    images = torch.randn(2, 1, 1, 2)
    torch.autograd.backward(gradient_penalty(critic, images, images, None, torch.Generator()))
    # d/dw (‖w‖ - 1)² = 2 (‖w‖ - 1) w / ‖w‖ with ‖w‖ = 5.
    torch.testing.assert_close(critic.weight.grad, torch.tensor([[[4.8, 6.4]]]))


def test_clipping() -> None:
    critic = LinearCritic(torch.tensor([[[-3.0, 0.005, 3.0]]]))
    clip_weights_(critic, 0.01)
    torch.testing.assert_close(critic.weight.data, torch.tensor([[[-0.01, 0.005, 0.01]]]))
