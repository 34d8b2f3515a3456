"""Wasserstein GAN with a gradient penalty in place of clipping. Gulrajani et al. 2017."""

from __future__ import annotations

import dataclasses

from . import wgan

OBJECTIVE = dataclasses.replace(
    wgan.OBJECTIVE, clips_weights=False, has_gradient_penalty=True, suits_norms=False, refused_norms={}
)
