"""What keeps a discriminator in bounds, apart from its loss.

The gradient penalties are in fp32 even under autocast: they hold the square of a gradient, and their own gradient goes
through it, which bf16 is too coarse for. They are rules for each sample, so no batch norm may mix the samples.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def clip_weights_(discriminator: nn.Module, limit: float) -> None:
    """Brings every weight of `discriminator` into [-limit, limit], in place. Arjovsky et al. 2017, algorithm 1."""
    for parameter in discriminator.parameters():
        parameter.clamp_(-limit, limit)


def gradient_penalty(
    discriminator: nn.Module, real: Tensor, fake: Tensor, labels: Tensor | None, share: Tensor
) -> Tensor:
    """Mean of (‖∇discriminator‖₂ - 1)² between real and generated images. Gulrajani et al. 2017, equation 3.

    real, fake: float (N, C, H, W); labels: int64 (N,) or None; share: float (N, 1, 1, 1) in [0, 1), how much of each
    point is the real image -> float32 scalar. Each sample has its own norm over all of its pixels.
    """
    between = torch.lerp(fake.float(), real.float(), share)
    norms: Tensor = torch.linalg.vector_norm(_gradients(discriminator, between, labels), dim=(1, 2, 3))
    return (norms - 1).square().mean()


def squared_gradient_norm(discriminator: nn.Module, images: Tensor, labels: Tensor | None) -> Tensor:
    """Mean of ‖∇discriminator‖₂², which is R1 on real images and R2 on generated ones, before their weight γ/2.

    Mescheder et al. 2018, equation 9. images: float (N, C, H, W); labels: int64 (N,) or None -> float32 scalar.
    """
    return _gradients(discriminator, images, labels).square().sum(dim=(1, 2, 3)).mean()


def _gradients(discriminator: nn.Module, images: Tensor, labels: Tensor | None) -> Tensor:
    """The gradient of each image's logit by its own pixels, float32 (N, C, H, W), still differentiable."""
    points = images.detach().float().requires_grad_()
    with torch.autocast(points.device.type, enabled=False):
        (gradients,) = torch.autograd.grad(discriminator(points, labels).sum(), points, create_graph=True)
    return gradients
