"""How gradients become steps: Adam, its learning rate over the run, and steps that are better not taken."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim import Adam

from .config import LrSchedule
from .ranks import ALONE, Ranks


def adam(network: nn.Module, lr: float, betas: tuple[float, float]) -> Adam:
    """The optimiser of one network. Kingma and Ba 2015, algorithm 1."""
    return Adam(network.parameters(), lr=lr, betas=betas, fused=True)


def lr_factor(schedule: LrSchedule, share_done: float) -> float:
    """What the learning rates are multiplied with when `share_done` of the run is over: from 1 down to 0 at its end."""
    match schedule:
        case "linear":
            return 1.0 - share_done
        case "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * share_done))
        case "constant":
            return 1.0


def set_lr(optimiser: Adam, lr: float) -> None:
    """Sets the learning rate of the next step."""
    for group in optimiser.param_groups:
        group["lr"] = lr


def descend(loss: Tensor, optimiser: Adam, *, max_norm: float | None, ranks: Ranks = ALONE) -> Tensor:
    """One step of `optimiser` down `loss`, the mean over `ranks`, with the gradient scaled to at most `max_norm`.

    A step whose loss or gradient is not finite is not taken: weights and moments stay. Returns whether that was so, as
    a float scalar 0 or 1 on the device: nobody waits for it.
    """
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    ranks.average_([*gradients, loss.detach()])
    norm = get_total_norm(gradients)
    skipped = (~torch.isfinite(norm + loss.detach())).float()
    # The fused kernel reads both, as it does for torch.amp.GradScaler, and divides the gradient by `grad_scale`.
    optimiser.found_inf = skipped  # type: ignore[attr-defined]
    if max_norm is not None:
        optimiser.grad_scale = (norm / max_norm).clamp(min=1.0)  # type: ignore[attr-defined]
    optimiser.step()
    return skipped
