"""The hinge loss. Lim and Ye 2017; Miyato et al. 2018, equations 16 and 17."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from .objective import Objective


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """max(0, 1 - D(x)) + max(0, 1 + D(G(z)))."""
    return F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()


def generator_loss(_real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-D(G(z))."""
    return -fake_logits.mean()


OBJECTIVE = Objective(discriminator_loss=discriminator_loss, generator_loss=generator_loss)
