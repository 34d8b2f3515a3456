"""From a generator in PyTorch to one ONNX graph that ends in pixels.

The shipped graph takes latents (and labels) and gives uint8 images in NHWC. Its twin, for the parity check alone, gives
the generator's own float output as well; both hold the same weights and operators.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import onnx
import torch
from torch import Tensor, nn

from ganserve.contract.bundle import BATCH_AXIS, CARD_KEY, IMAGES_OUTPUT, LABELS_INPUT, LATENTS_INPUT
from ganserve.contract.card import is_conditional, to_json
from ganserve.training.pixels import to_levels
from ganserve.v1.model_pb2 import ModelCard

OPSET: Final = 20
FLOATS_OUTPUT: Final = "floats"

_EXAMPLE_BATCH: Final = 2  # a batch of 1 would be taken for a constant


@dataclass(frozen=True, kw_only=True)
class OnnxGraph:
    """A generator as ONNX bytes, and its twin with the float output."""

    model: bytes
    model_with_floats: bytes


class PixelGenerator(nn.Module):
    """A generator followed by its pixels.

    Forward gives images uint8 (N, H, W, C) and the generator's output float32 (N, C, H, W) in [-1, 1].
    """

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """latents: float32 (N, latent_dim); labels: int64 (N,), or None for an unconditional generator."""
        floats = self.generator(latents, labels)
        return to_levels(floats), floats


def to_onnx(generator: nn.Module, card: ModelCard) -> OnnxGraph:
    """Exports a generator in eval mode, with the card embedded and nothing said of the machine that did it."""
    pixels = PixelGenerator(generator).eval()
    latents = torch.zeros(_EXAMPLE_BATCH, card.latent_dim)
    labels = torch.zeros(_EXAMPLE_BATCH, dtype=torch.int64) if is_conditional(card) else None
    batch = torch.export.Dim(BATCH_AXIS)
    inputs = {LATENTS_INPUT: latents} if labels is None else {LATENTS_INPUT: latents, LABELS_INPUT: labels}
    with _quiet():
        program = torch.onnx.export(
            pixels,
            (),
            kwargs=inputs,
            input_names=list(inputs),
            output_names=[IMAGES_OUTPUT, FLOATS_OUTPUT],
            dynamic_shapes={name: {0: batch} for name in inputs},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # noqa: S101 - only the old exporter returns None
    proto = program.model_proto
    _strip(proto)
    proto.metadata_props.add(key=CARD_KEY, value=to_json(card))
    with_floats = proto.SerializeToString(deterministic=True)
    del proto.graph.output[1]
    return OnnxGraph(model=proto.SerializeToString(deterministic=True), model_with_floats=with_floats)


def _strip(proto: onnx.ModelProto) -> None:
    """Removes what the exporter notes about where the code came from: stack traces hold local paths."""
    proto.doc_string = proto.graph.doc_string = ""
    del proto.metadata_props[:]
    del proto.graph.metadata_props[:]
    graph = proto.graph
    noted: list[Any] = [*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]
    for element in noted:
        element.doc_string = ""
        del element.metadata_props[:]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporter's own chatter and deprecation warnings from the user's screen."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
