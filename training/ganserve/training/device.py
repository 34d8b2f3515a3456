"""Where tensors live."""

from __future__ import annotations

import torch

from ganserve.contract.errors import ConfigError

from .config import DeviceName


def choose_device(name: DeviceName) -> torch.device:
    """The device that `name` stands for. Raises ConfigError for `cuda` where PyTorch cannot use it."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "--device cuda: PyTorch finds no usable CUDA device here; "
            "install a CUDA build of torch and a driver, or leave --device out to train on the CPU"
        )
    return torch.device(name)
