"""Least squares. Mao et al. 2017, equation 9."""

from __future__ import annotations

from torch import Tensor

from .objective import Objective


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """½ (D(x) - 1)² + ½ D(G(z))²."""
    return 0.5 * (real_logits - 1).square().mean() + 0.5 * fake_logits.square().mean()


def generator_loss(_real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """½ (D(G(z)) - 1)²."""
    return 0.5 * (fake_logits - 1).square().mean()


OBJECTIVE = Objective(discriminator_loss=discriminator_loss, generator_loss=generator_loss)
