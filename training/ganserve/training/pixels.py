"""Between 8-bit levels, which people and files hold, and [-1, 1], which networks do."""

from __future__ import annotations

import torch
from torch import Tensor


def from_levels(levels: Tensor) -> Tensor:
    """uint8 (N, H, W, C) -> float32 (N, C, H, W) in [-1, 1]: level / 127.5 - 1."""
    return levels.permute(0, 3, 1, 2).to(torch.float32).div_(127.5).sub_(1)


def to_levels(images: Tensor) -> Tensor:
    """float (N, C, H, W) in [-1, 1] -> uint8 (N, H, W, C): floor(127.5 * image + 128), clamped to 0 … 255.

    That is 127.5 * (image + 1), rounded half up. The exporter bakes it into the graph; in this order it costs nothing.
    """
    return (images * 127.5 + 128.0).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
