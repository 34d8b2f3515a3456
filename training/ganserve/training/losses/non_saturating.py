"""The first GAN's loss, with the generator's in the form that does not saturate. Goodfellow et al. 2014."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from .objective import Objective


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log D(x) - log(1 - D(G(z))) with D = sigmoid(logit). Equation 1."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def generator_loss(_real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log D(G(z)). Section 3."""
    return F.softplus(-fake_logits).mean()


OBJECTIVE = Objective(discriminator_loss=discriminator_loss, generator_loss=generator_loss)
