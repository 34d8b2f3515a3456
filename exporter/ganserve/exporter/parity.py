"""Whether the ONNX file makes what the generator makes in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from ganserve.contract.bundle import IMAGES_OUTPUT, LABELS_INPUT, LATENTS_INPUT, Parity, onnx_inputs
from ganserve.contract.card import is_conditional
from ganserve.contract.errors import ParityError
from ganserve.contract.latents import sample_latents
from ganserve.v1.model_pb2 import ModelCard

from .onnx_graph import FLOATS_OUTPUT, OnnxGraph, PixelGenerator

BATCH_SIZES: Final = (1, 2, 7, 64)
FLOAT_TOLERANCE: Final = 1e-4
MAX_SHARE_OFF_BY_ONE: Final = 1e-3

_SEED: Final = 0

Inputs = dict[str, NDArray[Any]]
OnProgress = Callable[[int, int], None]
"""Told how many comparisons are done, and of how many."""


def open_session(model: bytes) -> Any:
    """An ONNX Runtime session on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def check_parity(
    generator: nn.Module, card: ModelCard, graph: OnnxGraph, on_progress: OnProgress | None = None
) -> Parity:
    """Compares the exported graph with the generator on seeded latents, at every batch size with every label.

    Args:
        generator: in eval mode, on the CPU.
        card: its card.
        graph: what `to_onnx` made of it.
        on_progress: called with the comparisons done and their number.

    Raises:
        ParityError: a float differs by more than 1e-4, a value by more than one level, or more than 0.1 % of the values
            by one level.
    """
    pixels = PixelGenerator(generator).eval()
    session, session_with_floats = open_session(graph.model), open_session(graph.model_with_floats)
    total = Parity(num_images=0, max_float_error=0.0, num_values=0, num_values_off_by_one=0)
    comparisons = list(_comparisons(card))
    for num_done, inputs in enumerate(comparisons, start=1):
        with torch.inference_mode():
            images, floats = pixels(**{name: torch.from_numpy(value) for name, value in inputs.items()})
        (onnx_images,) = session.run([IMAGES_OUTPUT], inputs)
        (onnx_floats,) = session_with_floats.run([FLOATS_OUTPUT], inputs)
        found = _compare(images.numpy(), floats.numpy(), onnx_images, onnx_floats, where=_describe(inputs))
        total = Parity(
            num_images=total.num_images + found.num_images,
            max_float_error=max(total.max_float_error, found.max_float_error),
            num_values=total.num_values + found.num_values,
            num_values_off_by_one=total.num_values_off_by_one + found.num_values_off_by_one,
        )
        if on_progress is not None:
            on_progress(num_done, len(comparisons))
    if total.num_values_off_by_one > MAX_SHARE_OFF_BY_ONE * total.num_values:
        raise ParityError(
            f"{total.num_values_off_by_one} of {total.num_values} values differ by one level, "
            f"more than {MAX_SHARE_OFF_BY_ONE:.1%}"
        )
    return total


def _compare(images: Any, floats: Any, onnx_images: Any, onnx_floats: Any, *, where: str) -> Parity:
    if onnx_images.shape != images.shape or onnx_images.dtype != images.dtype:
        raise ParityError(
            f"{where}: ONNX Runtime gives {onnx_images.dtype} {onnx_images.shape}, "
            f"PyTorch {images.dtype} {images.shape}"
        )
    float_error = float(np.abs(onnx_floats - floats).max())
    if not float_error <= FLOAT_TOLERANCE:
        raise ParityError(f"{where}: a float differs by {float_error:.3g}, more than {FLOAT_TOLERANCE:g}")
    levels_off = np.abs(onnx_images.astype(np.int16) - images)
    if levels_off.max() > 1:
        raise ParityError(f"{where}: a value differs by {levels_off.max()} levels, more than 1")
    return Parity(
        num_images=len(images),
        max_float_error=float_error,
        num_values=images.size,
        num_values_off_by_one=int(np.count_nonzero(levels_off)),
    )


def _comparisons(card: ModelCard) -> Iterator[Inputs]:
    """Each batch size: alone for an unconditional generator, else with each label and with all labels mixed."""
    num_classes = len(card.class_names)
    for batch_size in BATCH_SIZES:
        latents = sample_latents(_SEED, 0, batch_size, card.latent_dim)
        if not is_conditional(card):
            yield onnx_inputs(latents, None)
            continue
        for label in range(num_classes):
            yield onnx_inputs(latents, np.full(batch_size, label, np.int64))
        yield onnx_inputs(latents, np.arange(batch_size, dtype=np.int64) % num_classes)


def _describe(inputs: Inputs) -> str:
    labels = inputs.get(LABELS_INPUT)
    text = f"batch of {len(inputs[LATENTS_INPUT])}"
    return text if labels is None else f"{text} with labels {sorted(set(labels.tolist()))}"
