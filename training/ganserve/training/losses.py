"""What discriminator and generator minimise: pure functions on logits, float (N,), each giving a scalar.

The discriminator's high logits mean real. Of the generator's losses only the relativistic one looks at the logits of
real images; the others take them so that all can be called alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from .config import LossName


@dataclass(frozen=True)
class Objective:
    """The two losses of a GAN, each a function of the logits of real images and of generated ones."""

    discriminator_loss: Callable[[Tensor, Tensor], Tensor]
    generator_loss: Callable[[Tensor, Tensor], Tensor]

    is_relativistic: bool = False
    """Whether the generator's loss needs the logits of real images."""


def non_saturating_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log D(x) - log(1 - D(G(z))) with D = sigmoid(logit). Goodfellow et al. 2014, equation 1."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def non_saturating_generator_loss(_real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log D(G(z)), the non-saturating form. Goodfellow et al. 2014, section 3."""
    return F.softplus(-fake_logits).mean()


def lsgan_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """½ (D(x) - 1)² + ½ D(G(z))². Mao et al. 2017, equation 9."""
    return 0.5 * (real_logits - 1).square().mean() + 0.5 * fake_logits.square().mean()


def lsgan_generator_loss(_real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """½ (D(G(z)) - 1)². Mao et al. 2017, equation 9."""
    return 0.5 * (fake_logits - 1).square().mean()


def hinge_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """max(0, 1 - D(x)) + max(0, 1 + D(G(z))). Lim and Ye 2017; Miyato et al. 2018, equation 16."""
    return F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()


def wasserstein_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The negative estimate of the Wasserstein distance. Arjovsky et al. 2017, equation 3."""
    return fake_logits.mean() - real_logits.mean()


def linear_generator_loss(_real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-D(G(z)): Arjovsky et al. 2017, algorithm 1, for Wasserstein; Miyato et al. 2018, equation 17, for hinge."""
    return -fake_logits.mean()


def rpgan_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log sigmoid(D(x) - D(G(z))), the i-th real image against the i-th generated one.

    Jolicoeur-Martineau 2018, RpGAN, in the form of Huang et al. 2024 (R3GAN), section 2.
    """
    return F.softplus(fake_logits - real_logits).mean()


def rpgan_generator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log sigmoid(D(G(z)) - D(x)): the discriminator's loss with the roles exchanged. Sources as there."""
    return F.softplus(real_logits - fake_logits).mean()


OBJECTIVES: dict[LossName, Objective] = {
    "non-saturating": Objective(non_saturating_discriminator_loss, non_saturating_generator_loss),
    "lsgan": Objective(lsgan_discriminator_loss, lsgan_generator_loss),
    "hinge": Objective(hinge_discriminator_loss, linear_generator_loss),
    "wgan": Objective(wasserstein_discriminator_loss, linear_generator_loss),
    "wgan-gp": Objective(wasserstein_discriminator_loss, linear_generator_loss),
    "rpgan": Objective(rpgan_discriminator_loss, rpgan_generator_loss, is_relativistic=True),
}
