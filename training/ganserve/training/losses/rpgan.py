"""The relativistic loss: the i-th real image against the i-th generated one.

Jolicoeur-Martineau 2018, RpGAN, in the form of Huang et al. 2024 (R3GAN), section 2, which adds R1 and R2.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from .objective import Objective


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log sigmoid(D(x) - D(G(z)))."""
    return F.softplus(fake_logits - real_logits).mean()


def generator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log sigmoid(D(G(z)) - D(x)): the discriminator's loss with the roles exchanged."""
    return F.softplus(real_logits - fake_logits).mean()


OBJECTIVE = Objective(
    discriminator_loss=discriminator_loss,
    generator_loss=generator_loss,
    is_relativistic=True,
    penalty_weight=1.0,
    suits_norms=False,
)
