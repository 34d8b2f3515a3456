"""Wasserstein GAN with clipped weights. Arjovsky et al. 2017."""

from __future__ import annotations

from torch import Tensor

from .objective import Objective


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The negative estimate of the Wasserstein distance. Equation 3."""
    return fake_logits.mean() - real_logits.mean()


def generator_loss(_real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-D(G(z)). Algorithm 1."""
    return -fake_logits.mean()


OBJECTIVE = Objective(
    discriminator_loss=discriminator_loss,
    generator_loss=generator_loss,
    num_discriminator_steps=5,
    clips_weights=True,
    refused_norms={
        "spectral": "wgan bounds its discriminator by clipping, which spectral norm undoes; give none or another --loss"
    },
    may_saturate=True,
)
