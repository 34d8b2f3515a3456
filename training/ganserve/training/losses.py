"""What critic and generator minimise: pure functions on logits, float (N,), each giving a scalar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from .config import LossName

PenaltyName = Literal["none", "clip", "gradient"]


@dataclass(frozen=True)
class Objective:
    """The two losses of a GAN, and what keeps its critic in bounds."""

    critic_loss: Callable[[Tensor, Tensor], Tensor]
    """Of the logits of real images and of generated ones."""

    generator_loss: Callable[[Tensor], Tensor]
    """Of the logits of generated images."""

    penalty: PenaltyName


def gan_critic_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log D(x) - log(1 - D(G(z))) with D = sigmoid(logit). Goodfellow et al. 2014, equation 1."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def gan_generator_loss(fake_logits: Tensor) -> Tensor:
    """-log D(G(z)), the non-saturating form. Goodfellow et al. 2014, section 3."""
    return F.softplus(-fake_logits).mean()


def wasserstein_critic_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The negative estimate of the Wasserstein distance. Arjovsky et al. 2017, equation 3."""
    return fake_logits.mean() - real_logits.mean()


def wasserstein_generator_loss(fake_logits: Tensor) -> Tensor:
    """The part of the distance that the generator can move. Arjovsky et al. 2017, algorithm 1."""
    return -fake_logits.mean()


OBJECTIVES: dict[LossName, Objective] = {
    "gan": Objective(gan_critic_loss, gan_generator_loss, "none"),
    "wgan": Objective(wasserstein_critic_loss, wasserstein_generator_loss, "clip"),
    "wgan-gp": Objective(wasserstein_critic_loss, wasserstein_generator_loss, "gradient"),
}
