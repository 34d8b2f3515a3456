"""What a loss is made of: what both networks minimise, and the rules that go with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from ganserve.training.config import Norm


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The two losses of a GAN, each a function of the logits of real and of generated images, and their rules.

    Logits are float (N,), high ones mean real, and a loss is a scalar. Most losses of the generator look at the logits
    of generated images alone, but take both, so that all are called alike.
    """

    discriminator_loss: Callable[[Tensor, Tensor], Tensor]
    generator_loss: Callable[[Tensor, Tensor], Tensor]

    is_relativistic: bool = False
    """Whether the generator's loss needs the logits of real images."""

    num_discriminator_steps: int = 1
    """Discriminator steps for each generator step, unless --n-critic says otherwise."""

    penalty_weight: float = 0.0
    """Weight of R1 and R2, unless --r1-weight and --r2-weight say otherwise."""

    has_gradient_penalty: bool = False
    """Whether the discriminator's gradient is held near a norm of one, with --gp-weight."""

    clips_weights: bool = False
    """Whether the discriminator's weights are kept within --clip-value."""

    suits_norms: bool = True
    """Whether the discriminator has a norm, unless --discriminator-norm says otherwise."""

    refused_norms: Mapping[Norm, str] = field(default_factory=dict)
    """Norms of the discriminator that defeat the loss, and why, with what to do instead."""

    may_saturate: bool = False
    """Whether a discriminator that tells real from generated every time still teaches the generator."""
