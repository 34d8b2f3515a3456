"""From a network in PyTorch to one ONNX graph: of a generator, that ends in pixels, or of a scorer.

The shipped graph takes latents (and labels) and gives uint8 images in NHWC. Its twin, for the parity check alone, gives
the generator's own float output as well; both hold the same weights and operators.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any, Final

import onnx
import torch
from torch import Tensor, nn
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from ganserve.contract.bundle import (
    BATCH_AXIS,
    CARD_KEY,
    IMAGE_INPUT,
    IMAGES_OUTPUT,
    LABELS_INPUT,
    LATENTS_INPUT,
    SCORES_OUTPUT,
    Dtype,
)
from ganserve.contract.card import is_conditional, to_json
from ganserve.contract.errors import ConfigError
from ganserve.contract.text import first_line
from ganserve.runtime.device import Device
from ganserve.training.pixels import to_levels
from ganserve.v1.model_pb2 import ModelCard

from .rewrites import rewrite_layers
from .trial import FREE_BATCH

OPSET: Final = 20
OPSETS: Final = range(18, 24)
FLOATS_OUTPUT: Final = "floats"

_BRANCHES: Final = (
    "its forward branches on values of tensors, as in `if x.mean() > 0`, or takes them out with item(); a graph has no "
    "branches, so choose with torch.where instead"
)
_EXAMPLE_BATCH: Final = 2  # a batch of 1 would be taken for a constant


@dataclass(frozen=True, kw_only=True)
class OnnxGraph:
    """A generator as ONNX bytes, and its twin with the float output."""

    model: bytes
    model_with_floats: bytes


class PixelGenerator(nn.Module):
    """A generator followed by its pixels.

    Forward gives images uint8 (N, H, W, C) and the generator's output float32 (N, C, H, W) in [-1, 1]. With `fp16` a
    copy of the generator computes in half precision; latents and the step to pixels, which rounds, stay in float32.
    """

    def __init__(self, generator: nn.Module, dtype: Dtype = "fp32") -> None:
        super().__init__()
        self.generator = copy.deepcopy(generator).half() if dtype == "fp16" else generator
        self.is_half = dtype == "fp16"

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """latents: float32 (N, latent_dim); labels: int64 (N,), or None for an unconditional generator."""
        floats = self.generator(latents.half(), labels).float() if self.is_half else self.generator(latents, labels)
        return to_levels(floats), floats


def to_onnx(
    generator: nn.Module,
    card: ModelCard,
    *,
    dtype: Dtype = "fp32",
    opset: int = OPSET,
    device: Device | None = None,
) -> OnnxGraph:
    """Exports a generator in eval mode, with the card embedded and nothing said of the machine that did it.

    Args:
        generator: on the CPU.
        card: what it is.
        dtype: what the graph computes in.
        opset: version of ONNX's operators.
        device: that the graph is meant for, which decides how layers are written; None is the CPU for fp32 and CUDA
            for fp16.

    Raises:
        ConfigError: `opset` is none of `OPSETS`, or PyTorch cannot export the generator, or not for any batch size.
    """
    latents = torch.zeros(_EXAMPLE_BATCH, card.latent_dim)
    labels = torch.zeros(_EXAMPLE_BATCH, dtype=torch.int64) if is_conditional(card) else None
    proto = _traced(
        PixelGenerator(generator, dtype).eval(),
        {LATENTS_INPUT: latents} if labels is None else {LATENTS_INPUT: latents, LABELS_INPUT: labels},
        [IMAGES_OUTPUT, FLOATS_OUTPUT],
        opset,
        device or ("cpu" if dtype == "fp32" else "cuda"),
        f"the generator in {dtype}",
    )
    proto.metadata_props.add(key=CARD_KEY, value=to_json(card))
    with_floats = proto.SerializeToString(deterministic=True)
    del proto.graph.output[1]
    return OnnxGraph(model=proto.SerializeToString(deterministic=True), model_with_floats=with_floats)


def scorer_to_onnx(scorer: nn.Module, card: ModelCard, *, opset: int = OPSET, device: Device | None = None) -> bytes:
    """Exports a scorer in eval mode, as `to_onnx` does a generator. Raises ConfigError as it does.

    Args:
        scorer: on the CPU; called with images uint8 (N, H, W, C), it gives float32 (N, K).
        card: what it is.
        opset: version of ONNX's operators.
        device: that the graph is meant for; None is the CPU.
    """
    shape = card.inputs[0].shape
    images = torch.zeros(_EXAMPLE_BATCH, shape.height, shape.width, shape.channels, dtype=torch.uint8)
    proto = _traced(scorer, {IMAGE_INPUT: images}, [SCORES_OUTPUT], opset, device or "cpu", "the scorer")
    proto.metadata_props.add(key=CARD_KEY, value=to_json(card))
    return proto.SerializeToString(deterministic=True)


def with_card(model: bytes, card: ModelCard) -> bytes:
    """The same graph, with another card embedded."""
    proto = onnx.ModelProto.FromString(model)
    del proto.metadata_props[:]
    proto.metadata_props.add(key=CARD_KEY, value=to_json(card))
    return proto.SerializeToString(deterministic=True)


def _traced(
    module: nn.Module, inputs: dict[str, Tensor], outputs: list[str], opset: int, device: Device, what: str
) -> onnx.ModelProto:
    """The graph of a module for any batch size, with its layers as they suit a device, and stripped."""
    if opset not in OPSETS:
        raise ConfigError(f"--opset is {opset}; PyTorch exports to {OPSETS[0]} to {OPSETS[-1]}")
    batch = torch.export.Dim(BATCH_AXIS)
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                (),
                kwargs=inputs,
                input_names=list(inputs),
                output_names=outputs,
                dynamic_shapes={name: {0: batch} for name in inputs},
                opset_version=opset,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # whatever the module's own code and PyTorch's tracing raise
        reason = _BRANCHES if _is_of_values(error) else first_line(_first_cause(error))
        raise ConfigError(f"PyTorch cannot export {what} at opset {opset}: {reason}") from error
    assert program is not None  # noqa: S101 - only the old exporter returns None
    rewrite_layers(program.model, device)
    proto = program.model_proto
    if not proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        raise ConfigError(f"PyTorch cannot export {what} for all batch sizes: {FREE_BATCH}")
    strip(proto)
    return proto


def _is_of_values(error: BaseException | None) -> bool:
    """Whether tracing failed as the code asks for what a tensor holds, which is not known then."""
    while error is not None:
        if isinstance(error, GuardOnDataDependentSymNode):
            return True
        error = error.__cause__ or error.__context__
    return False


def _first_cause(error: BaseException) -> BaseException:
    """What began a chain of errors."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def strip(proto: onnx.ModelProto) -> None:
    """Removes what exporters note about where the code came from, stack traces with local paths included, in place."""
    graph = proto.graph
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    constants = [attribute.t for attribute in attributes if attribute.HasField("t")]
    constants += [tensor for attribute in attributes for tensor in attribute.tensors]
    for tensor in constants:
        tensor.ClearField("name")
    values = [*graph.input, *graph.output, *graph.value_info]
    noted: list[Any] = [proto, graph, *graph.node, *values, *graph.initializer, *attributes, *constants]
    for element in noted:
        element.ClearField("doc_string")
        if "metadata_props" in element.DESCRIPTOR.fields_by_name:
            element.ClearField("metadata_props")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporter's own chatter and deprecation warnings from the user's screen."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "torch._guards", "torch.fx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)  # what goes wrong is raised too
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
