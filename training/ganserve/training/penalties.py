"""What keeps a critic in bounds, apart from its loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def clip_weights_(critic: nn.Module, limit: float) -> None:
    """Brings every weight of `critic` into [-limit, limit], in place. Arjovsky et al. 2017, algorithm 1."""
    for parameter in critic.parameters():
        parameter.clamp_(-limit, limit)


def gradient_penalty(
    critic: nn.Module, real: Tensor, fake: Tensor, labels: Tensor | None, rng: torch.Generator
) -> Tensor:
    """Mean of (‖∇critic‖₂ - 1)² between real and generated images. Gulrajani et al. 2017, equation 3.

    real, fake: (N, C, H, W); labels: (N,) or None -> scalar. Each sample has its own point on the line between its two
    images, drawn from `rng`, and its own norm over all pixels.
    """
    share = torch.rand((len(real), 1, 1, 1), generator=rng, device=real.device)
    between = torch.lerp(fake, real, share).requires_grad_()
    (gradients,) = torch.autograd.grad(critic(between, labels).sum(), between, create_graph=True)
    norms: Tensor = torch.linalg.vector_norm(gradients, dim=(1, 2, 3))
    return (norms - 1).square().mean()
