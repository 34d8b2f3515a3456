"""Generators and discriminators, built by family name for any image size.

A generator is called with z, float32 (N, latent_dim), and labels, int64 (N,), or None where it is unconditional; it
returns images, float32 (N, C, H, W) in [-1, 1]. A discriminator is called with such images and the same labels; it
returns logits, float32 (N,).
"""

from .build import build_discriminator, build_generator
from .shape import ImageShape

__all__ = ["ImageShape", "build_discriminator", "build_generator"]
