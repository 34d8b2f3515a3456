from __future__ import annotations

import math
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor

from ganserve.training import losses
from ganserve.training.config import LossName
from ganserve.training.losses import objective_of

LOSSES: tuple[LossName, ...] = get_args(LossName)
every_loss = pytest.mark.parametrize("loss", LOSSES)


def floats(real: list[float], fake: list[float]) -> tuple[Tensor, Tensor]:
    return torch.tensor(real, dtype=torch.float32), torch.tensor(fake, dtype=torch.float32)


def discriminator_loss(loss: LossName, real: list[float], fake: list[float]) -> float:
    return objective_of(loss).discriminator_loss(*floats(real, fake)).item()


def generator_loss(loss: LossName, real: list[float], fake: list[float]) -> float:
    return objective_of(loss).generator_loss(*floats(real, fake)).item()


def gradients(value: Tensor, *logits: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(value, logits)


def test_every_file_of_a_loss_is_known_by_name() -> None:
    parts = {"__init__", "objective"}
    files = {path.stem for path in Path(losses.__file__).parent.glob("*.py")} - parts
    assert files == {name.replace("-", "_") for name in LOSSES}


def test_gan_losses_are_the_logarithms_of_the_paper() -> None:
    real, fake = torch.tensor([0.3, -1.2]), torch.tensor([2.0, -0.5])
    objective = objective_of("non-saturating")
    expected = -(real.sigmoid().log().mean() + (1 - fake.sigmoid()).log().mean())
    torch.testing.assert_close(objective.discriminator_loss(real, fake), expected)
    torch.testing.assert_close(objective.generator_loss(real, fake), -fake.sigmoid().log().mean())


def test_gan_losses_at_indecision() -> None:
    assert discriminator_loss("non-saturating", [0, 0], [0, 0]) == pytest.approx(2 * math.log(2))
    assert generator_loss("non-saturating", [0, 0], [0, 0]) == pytest.approx(math.log(2))


def test_lsgan_losses_are_half_the_squared_distances_to_0_and_1() -> None:
    assert discriminator_loss("lsgan", [1, 4], [2, 0]) == pytest.approx((0 + 9) / 4 + (4 + 0) / 4)
    assert discriminator_loss("lsgan", [1, 1], [0, 0]) == 0
    assert generator_loss("lsgan", [0, 0], [3, 0]) == pytest.approx((4 + 1) / 4)
    assert generator_loss("lsgan", [0, 0], [1, 1]) == 0


def test_hinge_losses_inside_the_margin() -> None:
    assert discriminator_loss("hinge", [0.5, -2], [-0.5, 1]) == pytest.approx((0.5 + 3) / 2 + (0.5 + 2) / 2)
    assert generator_loss("hinge", [9, 9], [0.5, 1.5]) == -1


def test_the_hinge_asks_nothing_of_the_discriminator_beyond_the_margin() -> None:
    real, fake = torch.tensor([1.5, 0.0], requires_grad=True), torch.tensor([-1.5, 0.0], requires_grad=True)
    of_real, of_fake = gradients(objective_of("hinge").discriminator_loss(real, fake), real, fake)
    assert of_real.tolist() == [0, -0.5]
    assert of_fake.tolist() == [0, 0.5]


def test_the_hinge_generator_goes_on_beyond_the_margin() -> None:
    fake = torch.tensor([50.0, -50.0], requires_grad=True)
    assert gradients(objective_of("hinge").generator_loss(fake, fake), fake)[0].tolist() == [-0.5, -0.5]


@pytest.mark.parametrize("loss", ["wgan", "wgan-gp"])
def test_wasserstein_losses(loss: LossName) -> None:
    assert discriminator_loss(loss, [1, 3], [0.5, -0.5]) == -2
    assert generator_loss(loss, [1, 3], [0.5, 1.5]) == -1


def test_relativistic_losses_compare_the_images_pair_by_pair() -> None:
    real, fake = [3.0, -1.0], [1.0, 1.0]
    margins = [2.0, -2.0]
    softplus_of_minus = [math.log1p(math.exp(-margin)) for margin in margins]
    assert discriminator_loss("rpgan", real, fake) == pytest.approx(sum(softplus_of_minus) / 2)
    # Against the other's mean, as in RaGAN, both margins of the generated images would be 0.
    softplus = [math.log1p(math.exp(margin)) for margin in margins]
    assert generator_loss("rpgan", real, fake) == pytest.approx(sum(softplus) / 2)
    assert generator_loss("rpgan", real, fake) != pytest.approx(math.log(2))


def test_relativistic_losses_exchange_the_roles() -> None:
    real, fake = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    objective = objective_of("rpgan")
    torch.testing.assert_close(objective.generator_loss(real, fake), objective.discriminator_loss(fake, real))
    torch.testing.assert_close(
        objective.discriminator_loss(real, fake), objective.discriminator_loss(real + 7, fake + 7)
    )


@every_loss
def test_only_the_relativistic_generator_looks_at_real_logits(loss: LossName) -> None:
    fake = torch.tensor([0.3, -0.7])
    objective = objective_of(loss)
    at_zero, at_two = (objective.generator_loss(torch.full((2,), real), fake) for real in (0.0, 2.0))
    assert objective.is_relativistic == (loss == "rpgan")
    assert bool(at_zero != at_two) == objective.is_relativistic


@every_loss
def test_the_discriminator_lifts_real_logits_and_lowers_generated_ones(loss: LossName) -> None:
    real, fake = torch.zeros(3, requires_grad=True), torch.full((3,), 0.5, requires_grad=True)
    of_real, of_fake = gradients(objective_of(loss).discriminator_loss(real, fake), real, fake)
    assert bool((of_real < 0).all())
    assert bool((of_fake > 0).all())


@every_loss
def test_the_generator_lifts_generated_logits(loss: LossName) -> None:
    fake = torch.full((3,), -0.5, requires_grad=True)
    assert bool((gradients(objective_of(loss).generator_loss(torch.zeros(3), fake), fake)[0] < 0).all())


@every_loss
@pytest.mark.parametrize("sign", [-1, 1])
def test_losses_and_gradients_are_finite_at_extreme_logits(loss: LossName, sign: int) -> None:
    real, fake = (torch.full((2,), 1e4 * way, requires_grad=True) for way in (sign, -sign))
    objective = objective_of(loss)
    for value in (objective.discriminator_loss(real, fake), objective.generator_loss(real, fake)):
        assert value.shape == ()
        reached = torch.autograd.grad(value, (real, fake), retain_graph=True, allow_unused=True)
        assert all(bool(torch.isfinite(tensor).all()) for tensor in (value, *reached) if tensor is not None)


def test_the_losing_side_still_learns_at_extreme_logits() -> None:
    assert discriminator_loss("non-saturating", [-1e4], [1e4]) == pytest.approx(2e4)
    assert generator_loss("non-saturating", [0], [-1e4]) == pytest.approx(1e4)
    assert discriminator_loss("rpgan", [-1e4], [1e4]) == pytest.approx(2e4)
    assert generator_loss("rpgan", [1e4], [-1e4]) == pytest.approx(2e4)
