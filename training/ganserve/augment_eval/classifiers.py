"""The classifier that learns: a small one of ours, or one of the user's own."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from ganserve.contract.errors import ConfigError
from ganserve.contract.text import one_line

MakeClassifier = Callable[[int, int, tuple[int, int]], nn.Module]
"""Called as `make(num_classes, channels, (height, width))`.

What it returns maps images, float32 (N, channels, height, width) in [-1, 1], to logits, float32 (N, num_classes).
"""

_WIDTHS: Final = (16, 32, 64)
_SMALLEST_SIDE: Final = 4


def small_cnn(num_classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
    """Three convolutions 3×3 of 16, 32 and 64 channels, each with batch norm and halved, and a linear layer.

    Each is halved by a maximum as long as a side has four pixels; the last map is averaged to 2×2.
    """
    layers: list[nn.Module] = []
    height, width = size
    num_inputs = channels
    for num_outputs in _WIDTHS:
        factors = tuple(2 if side >= _SMALLEST_SIDE else 1 for side in (height, width))
        height, width = height // factors[0], width // factors[1]
        layers += [
            nn.Conv2d(num_inputs, num_outputs, 3, padding=1, bias=False),
            nn.MaxPool2d((factors[0], factors[1])),
            nn.BatchNorm2d(num_outputs),
            nn.ReLU(),
        ]
        num_inputs = num_outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * num_inputs, num_classes))


def load_classifier(name: str) -> MakeClassifier:
    """The function that `module:function` names; a module in the working directory is found too. Raises ConfigError."""
    module_name, colon, function = name.partition(":")
    if not colon or not module_name or not function:
        raise ConfigError(f"--classifier {name}: give module:function, such as my_models:make")
    with _working_directory_on_path():
        try:
            module = importlib.import_module(module_name)
        except Exception as error:
            raise ConfigError(f"--classifier {name}: {module_name} cannot be imported ({_reason(error)})") from error
    make = getattr(module, function, None)
    if not callable(make):
        raise ConfigError(f"--classifier {name}: {module_name} has no function {function}")
    found: MakeClassifier = make
    return found


def check_classifier(make: MakeClassifier, name: str, shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """A classifier that `make` makes for images of `shape`, tried on two of them. Raises ConfigError."""
    height, width, channels = shape
    try:
        classifier = make(num_classes, channels, (height, width))
        logits: Tensor = classifier(torch.zeros(2, channels, height, width))
        found = tuple(logits.shape)
    except Exception as error:
        raise ConfigError(
            f"--classifier {name}: does not work as make({num_classes}, {channels}, ({height}, {width})) "
            f"on images of that size ({_reason(error)})"
        ) from error
    if found != (2, num_classes):
        raise ConfigError(f"--classifier {name}: gives {found} for two images, not (2, {num_classes}) logits")
    return classifier


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(error)}"


@contextmanager
def _working_directory_on_path() -> Iterator[None]:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)
