from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

LiveIn = Callable[[nn.Module], nn.Module]
RunBundle = Callable[..., NDArray[np.uint8]]


@pytest.fixture(scope="session")
def lived_in() -> LiveIn:
    """Gives the batch norms of a fresh generator statistics as training would, and puts it into eval mode."""

    def live_in(generator: nn.Module) -> nn.Module:
        for name, buffer in generator.named_buffers():
            if name.endswith("running_mean"):
                buffer.uniform_(-0.1, 0.1)
            elif name.endswith("running_var"):
                buffer.uniform_(0.2, 0.5)
        return generator.eval()

    return live_in


Exporter = Literal["dynamo", "torchscript"]


class ExportTo(Protocol):
    """Writes a module as its users do: with the exporter's own defaults, but for the names of the inputs."""

    def __call__(
        self, path: Path, module: nn.Module, *inputs: torch.Tensor, names: Sequence[str] = ..., exporter: Exporter = ...
    ) -> Path: ...


@pytest.fixture(scope="session")
def export_to() -> ExportTo:
    """Gives a function that exports a module with the shapes of example inputs, batch included."""

    def export(
        path: Path,
        module: nn.Module,
        *inputs: torch.Tensor,
        names: Sequence[str] = ("z",),
        exporter: Exporter = "dynamo",
    ) -> Path:
        logger = logging.getLogger("torch.onnx")
        level = logger.level
        logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module.eval(), inputs, path, input_names=list(names), dynamo=exporter == "dynamo", verbose=False
            )
        logger.setLevel(level)
        return path

    return export


@pytest.fixture(scope="session")
def run_bundle() -> RunBundle:
    """Gives a function that makes a bundle's images uint8 (N, H, W, C) with nothing but ONNX Runtime."""

    def run(folder: Path, **inputs: NDArray[Any]) -> NDArray[np.uint8]:
        session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
        images: NDArray[np.uint8] = session.run(["images"], inputs)[0]
        return images

    return run
