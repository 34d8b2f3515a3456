"""Generators and discriminators for any image size, a family of them a file.

A generator is called with z, float32 (N, latent_dim), and labels, int64 (N,), or None where it is unconditional; it
returns images, float32 (N, C, H, W) in [-1, 1]. A discriminator is called with such images and the same labels; it
returns logits, float32 (N,), and `class_logits` those of every class.

To add a family, write a file here that defines `FAMILY`, and add its name to `Architecture` in `config`.
"""

from .build import build_discriminator, build_generator, family_of
from .discriminator import Discriminator
from .family import Family
from .shape import ImageShape

__all__ = ["Discriminator", "Family", "ImageShape", "build_discriminator", "build_generator", "family_of"]
