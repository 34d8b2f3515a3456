"""A foreign model's graph between nodes of ours: from our latents, labels and images to its own, on to our pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, compose, helper, numpy_helper, version_converter

from ganserve.contract.bundle import (
    CARD_KEY,
    IMAGE_INPUT,
    IMAGES_OUTPUT,
    LABELS_INPUT,
    LATENTS_INPUT,
    MASK_ABOVE,
    MASK_INPUT,
    axes_of,
    signature_of,
)
from ganserve.contract.card import to_json
from ganserve.contract.errors import ArtifactError
from ganserve.contract.text import one_line
from ganserve.exporter.onnx_graph import FLOATS_OUTPUT, OPSET, OnnxGraph, strip
from ganserve.v1.bundle_pb2 import TensorSpec
from ganserve.v1.model_pb2 import ModelCard

from .convention import Convention
from .original import ImageForm
from .ports import Port, Roles

_PREFIX: Final = "generator/"
_TO_LAYOUT: Final = {"nchw": [0, 3, 1, 2], "nhwc": [0, 1, 2, 3]}
_IS_NEW: Final = "is_new"
_OLDEST_OPSET: Final = 13
_IR_VERSION: Final = 8


def wrap(
    original: onnx.ModelProto, roles: Roles, images: ImageForm, card: ModelCard, convention: Convention
) -> OnnxGraph:
    """A graph with the signature that `card` asks for. Its twin's floats are what the file itself puts out, brought to
    [-1, 1].

    Args:
        original: the file's graph, with a free batch axis.
        roles: of its inputs and outputs.
        images: what it makes.
        card: of the generator.
        convention: what the user tells of it.

    Raises:
        ArtifactError: its operators are too old to be brought up to date.
        ConfigError: the value range is none.
    """
    proto = _renamed(original)
    before, after = _Nodes(), _Nodes()
    _add_inputs(before, roles, convention)
    _add_outputs(after, _PREFIX + roles.images.name, images, convention, is_masked=roles.mask is not None)
    nodes = [*before.nodes, *proto.graph.node, *after.nodes]
    constants = [*proto.graph.initializer, *before.constants, *after.constants]
    signature = signature_of(card)
    inputs = [_value(tensor) for tensor in signature.inputs]
    pixels = [_value(tensor) for tensor in signature.outputs]
    floats = helper.make_tensor_value_info(FLOATS_OUTPUT, TensorProto.FLOAT, None)

    def model(outputs: list[onnx.ValueInfoProto]) -> bytes:
        needed = _needed(nodes, {value.name for value in outputs})
        used = {name for node in needed for name in node.input}
        weights = [tensor for tensor in constants if tensor.name in used]
        graph = helper.make_graph(needed, "generator", inputs, outputs, weights)
        ir_version = max(_IR_VERSION, proto.ir_version)
        wrapped = helper.make_model(graph, opset_imports=proto.opset_import, ir_version=ir_version)
        wrapped.metadata_props.add(key=CARD_KEY, value=to_json(card))
        return wrapped.SerializeToString(deterministic=True)

    return OnnxGraph(model=model(pixels), model_with_floats=model([*pixels, floats]))


@dataclass
class _Nodes:
    """Nodes in the making, each named by its first output, with the constants that they take."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Adds a node of one output, and gives that."""
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def constant(self, name: str, value: ArrayLike) -> str:
        """Adds a constant, and gives its name."""
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name


def _renamed(original: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose names all begin with a prefix, so that none is one of ours, in operators that we know."""
    proto = onnx.ModelProto()
    proto.CopyFrom(original)
    if proto.opset_import[0].version < _OLDEST_OPSET:
        try:
            proto = version_converter.convert_version(proto, OPSET)
        except Exception as error:  # ONNX's converter raises RuntimeError and its own errors
            raise ArtifactError(
                f"its operators are of opset {original.opset_import[0].version}, and cannot be converted to {OPSET}: "
                f"{one_line(error)}; export it again with a newer opset"
            ) from error
    for node in proto.graph.node:
        node.domain = ""  # "ai.onnx" is its other name
    proto.opset_import[0].domain = ""
    strip(proto)
    compose.add_prefix(proto, _PREFIX, inplace=True)
    return proto


def _add_inputs(graph: _Nodes, roles: Roles, convention: Convention) -> None:
    """From our latents, labels and images to the model's inputs."""
    latents = LATENTS_INPUT
    if convention.uniform_latents is not None:
        latents = _add_uniform(graph, latents, convention)
    slices = [latents] if roles.latents else []
    if len(roles.latents) > 1:
        slices = [f"slice/{port.name}" for port in roles.latents]
        sizes = graph.constant("slice_sizes", [port.row_size for port in roles.latents])
        graph.nodes.append(helper.make_node("Split", [latents, sizes], slices, "slices", axis=1))
    for port, piece in zip(roles.latents, slices, strict=True):
        _add_fed(graph, piece, port)
    if roles.labels is not None:
        labels = LABELS_INPUT
        if convention.labels_as == "one-hot":
            depth = graph.constant("num_classes", len(convention.class_names))
            values = graph.constant("off_and_on", np.array([0, 1], np.float32))
            labels = graph.add("OneHot", [labels, depth, values], "one_hot", axis=-1)
        _add_fed(graph, labels, roles.labels)
    if roles.image is not None:
        _add_image(graph, roles.image, convention)
    if roles.mask is not None:
        _add_mask(graph, roles.mask, convention)
    first = (LATENTS_INPUT if roles.latents else IMAGE_INPUT) if roles.constants else ""
    for port, value in roles.constants:
        _add_constant(graph, port, value, first)


def _add_uniform(graph: _Nodes, latents: str, convention: Convention) -> str:
    """A standard normal z becomes uniform by its distribution function: middle + half · erf(z / √2)."""
    middle, half = convention.latent_middle_and_half()
    root = graph.constant("root_of_two", np.float32(math.sqrt(2)))
    narrowed = graph.add("Div", [latents, root], "narrowed_latents")
    spread = graph.add("Erf", [narrowed], "spread_latents")
    scaled = graph.add("Mul", [spread, graph.constant("half_range_of_latents", half)], "scaled_latents")
    return graph.add("Add", [scaled, graph.constant("middle_of_latents", middle)], "uniform_latents")


def _add_fed(graph: _Nodes, value: str, port: Port) -> None:
    typed = graph.add("Cast", [value], f"typed/{port.name}", to=port.element)
    shape = graph.constant(f"shape/{port.name}", [-1, *port.row_shape])
    graph.add("Reshape", [typed, shape], _PREFIX + port.name)


def _add_image(graph: _Nodes, port: Port, convention: Convention) -> None:
    """Pixels become the file's own values, in its layout."""
    image = IMAGE_INPUT
    if port.element != TensorProto.UINT8:
        scale, offset = convention.input_scale()
        image = graph.add("Cast", [image], "values_of_image", to=TensorProto.FLOAT)
        image = graph.add("Mul", [image, graph.constant("scale_of_image", scale)], "scaled_image")
        image = graph.add("Add", [image, graph.constant("offset_of_image", offset)], "moved_image")
        image = graph.add("Cast", [image], "typed_image", to=port.element)
    graph.add("Transpose", [image], _PREFIX + port.name, perm=_TO_LAYOUT[convention.layout])


def _add_mask(graph: _Nodes, port: Port, convention: Convention) -> None:
    """A mask becomes ones where the image is made anew, and zeros elsewhere."""
    bound = graph.constant("mask_bound", np.uint8(MASK_ABOVE))
    is_new = graph.add("Greater", [MASK_INPUT, bound], _IS_NEW)
    typed = graph.add("Cast", [is_new], "typed_mask", to=port.element)
    graph.add("Transpose", [typed], _PREFIX + port.name, perm=_TO_LAYOUT[convention.layout])


def _add_constant(graph: _Nodes, port: Port, value: float, first_input: str) -> None:
    """An input that always has one value: in all rows, where its first axis is free."""
    shape = graph.constant(f"shape/{port.name}", np.array([size for size in port.axes if size is not None], np.int64))
    if None in port.axes:
        first = graph.constant(f"first_axis/{port.name}", [0])
        whole = graph.add("Shape", [first_input], f"input_shape/{port.name}")
        batch = graph.add("Gather", [whole, first], f"batch/{port.name}")
        shape = graph.add("Concat", [batch, shape], f"whole_shape/{port.name}", axis=0)
    filling = helper.make_tensor("", port.element, [1], [value if port.dtype.kind == "f" else int(value)])
    graph.add("ConstantOfShape", [shape], _PREFIX + port.name, value=filling)


def _add_outputs(graph: _Nodes, images: str, form: ImageForm, convention: Convention, *, is_masked: bool) -> None:
    """From what the generator puts out to pixels, and, for the twin, to floats."""
    is_nchw = convention.layout == "nchw"
    if form.is_flat:
        images = graph.add("Reshape", [images, graph.constant("image_shape", [-1, *form.axes])], "shaped")
    if convention.channels == "rgb":
        channels = graph.constant("channels", [0, 1, 2])
        images = graph.add("Gather", [images, channels], "rgb", axis=1 if is_nchw else 3)
    scale, offset = convention.level_scale(is_uint8=form.is_uint8)
    values = graph.add("Cast", [images], "values", to=TensorProto.FLOAT)
    scaled = graph.add("Mul", [values, graph.constant("scale", scale)], "scaled")
    moved = graph.add("Add", [scaled, graph.constant("offset", offset)], "moved")
    low, high = graph.constant("low", np.float32(0)), graph.constant("high", np.float32(255))
    clipped = graph.add("Clip", [moved, low, high], "clipped")
    levels = graph.add("Cast", [clipped], "levels", to=TensorProto.UINT8)
    order = [0, 2, 3, 1] if is_nchw else [0, 1, 2, 3]
    made = graph.add(
        "Transpose", [images if form.is_uint8 else levels], "made" if is_masked else IMAGES_OUTPUT, perm=order
    )
    if is_masked:  # pixels that are kept are the very bytes that came in
        graph.add("Where", [_IS_NEW, made, IMAGE_INPUT], IMAGES_OUTPUT)
    centred = graph.add("Sub", [moved, graph.constant("middle", np.float32(128))], "centred")
    graph.add("Div", [centred, graph.constant("half_range", np.float32(127.5))], FLOATS_OUTPUT)


def _needed(nodes: Sequence[onnx.NodeProto], outputs: set[str]) -> list[onnx.NodeProto]:
    """Those of `nodes`, in their order, that `outputs` depend on."""
    wanted, needed = set(outputs), []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            needed.append(node)
    return needed[::-1]


def _value(tensor: TensorSpec) -> onnx.ValueInfoProto:
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype))
    return helper.make_tensor_value_info(tensor.name, dtype, axes_of(tensor))
