"""Where tensors live."""

from __future__ import annotations

import torch

from ganserve.contract.errors import ConfigError

from .config import DeviceName
from .ranks import ALONE, Ranks


def allow_tf32(allowed: bool) -> None:
    """Whether CUDA may round the inputs of matrix products and convolutions to TF32. Of the latter it would unasked."""
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def choose_device(name: DeviceName, ranks: Ranks = ALONE) -> torch.device:
    """The device that `name` stands for; of several `ranks` each has a GPU of its own.

    Raises ConfigError for `cuda` where PyTorch cannot use it, and for more ranks on this machine than it has GPUs.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "--device cuda: PyTorch finds no usable CUDA device here; "
            "install a CUDA build of torch and a driver, or leave --device out to train on the CPU"
        )
    if name == "cpu" or ranks.num_ranks == 1:
        return torch.device(name)
    num_gpus = torch.cuda.device_count()
    if ranks.local_rank >= num_gpus:
        raise ConfigError(
            f"each process needs a GPU of its own, and this machine has {num_gpus}; "
            f"give torchrun --nproc-per-node {num_gpus}, or train with --device cpu"
        )
    return torch.device(name, ranks.local_rank)
