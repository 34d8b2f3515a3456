"""The averaged generator: the one that is sampled, saved and served."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn


def averaged_copy(generator: nn.Module) -> nn.Module:
    """A copy of `generator` to hold the average, in eval mode and without gradients."""
    return copy.deepcopy(generator).eval().requires_grad_(False)


def ema_decay(num_images: int, images_seen: int, *, half_life_images: float, rampup: float) -> float:
    """Weight of the old average after `num_images` more of `images_seen` in all.

    The half-life grows with the run, `rampup * images_seen` at most, so that the first weights are soon forgotten.
    Karras et al., StyleGAN2-ADA, 2020, and its public training loop. `rampup` 0 means no such bound.
    """
    if rampup > 0:
        half_life_images = min(half_life_images, rampup * images_seen)
    return float(0.5 ** (num_images / max(half_life_images, 1e-8)))


@torch.no_grad()
def update_ema(ema: nn.Module, generator: nn.Module, decay: float) -> None:
    """ema = decay * ema + (1 - decay) * generator for the parameters; buffers are copied."""
    torch._foreach_lerp_(list(ema.parameters()), list(generator.parameters()), 1 - decay)
    if buffers := list(ema.buffers()):
        torch._foreach_copy_(buffers, list(generator.buffers()))


@torch.no_grad()
def estimate_batch_norm(ema: nn.Module, batches: Iterable[tuple[Tensor, Tensor | None]]) -> None:
    """Gives the batch norms of `ema` the statistics that its own weights have on `batches` of (z, labels).

    Those copied from the generator belong to other weights and are noisy. The average over batches is the plain one.
    A network without batch norm is left alone, and no batch is taken.
    """
    norms = [module for module in ema.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    for z, labels in batches:
        ema(z, labels)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
