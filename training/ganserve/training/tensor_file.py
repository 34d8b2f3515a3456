"""Writing safetensors files: whole or not at all, with every failure told as our own error."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from ganserve.contract.errors import ArtifactError
from ganserve.contract.files import new_file


def on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors as they go into a file: on the CPU, row by row."""
    return {
        name: tensor.detach().to("cpu").contiguous(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes tensors, as `on_cpu` gives them, in place of what was at `path`. Raises ArtifactError."""
    with new_file(path) as partial:
        try:
            save_file(dict(tensors), partial, dict(metadata))
        except SafetensorError as error:
            # Among others for a full disk, which it does not report as an OSError.
            raise ArtifactError(f"{path} cannot be written: {error}") from error
