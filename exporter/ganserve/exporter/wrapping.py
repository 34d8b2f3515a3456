"""A foreign generator's graph between nodes of ours: from our latents and labels to its own, and on to our pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper, version_converter

from ganserve.contract.bundle import CARD_KEY, IMAGES_OUTPUT, LABELS_INPUT, LATENTS_INPUT, axes_of, signature_of
from ganserve.contract.card import UNKNOWN, to_json
from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.contract.text import one_line
from ganserve.v1.bundle_pb2 import TensorSpec
from ganserve.v1.model_pb2 import ModelCard

from .onnx_graph import FLOATS_OUTPUT, OPSET, OnnxGraph, strip

Layout = Literal["nchw", "nhwc"]

_PREFIX: Final = "generator/"
_OLDEST_OPSET: Final = 13
_IR_VERSION: Final = 8
_LATENT_SHAPE: Final = "latent_shape"
_LABEL_SHAPE: Final = "label_shape"
_SCALE_AND_OFFSET: Final = ("scale", "offset")
_LOW: Final = "low"
_HIGH: Final = "high"
_MIDDLE: Final = "middle"
_HALF_RANGE: Final = "half_range"


@dataclass(frozen=True, kw_only=True)
class Convention:
    """What a foreign generator's file does not say of itself."""

    layout: Layout = "nchw"
    """Order of the axes of its images."""
    value_range: tuple[float, float] = (-1.0, 1.0)
    """The values of black and white, where its images are floats."""
    class_names: tuple[str, ...] = ()
    """In label order; empty where it takes no label."""
    architecture: str = UNKNOWN
    """Network family, for the card."""
    dataset: str = UNKNOWN
    """Name of the images that it was trained on, for the card."""


@dataclass(frozen=True)
class ForeignGraph:
    """A parsed file, and which of its tensors are what."""

    proto: onnx.ModelProto
    latents: onnx.ValueInfoProto
    labels: onnx.ValueInfoProto | None
    images: onnx.ValueInfoProto
    is_uint8: bool = False
    """Whether its images are pixels already."""

    @property
    def is_half(self) -> bool:
        """Whether any of its weights are fp16."""
        return any(tensor.data_type == TensorProto.FLOAT16 for tensor in self.proto.graph.initializer)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """The latents' axes but for the batch."""
        return tuple(axis.dim_value for axis in self.latents.type.tensor_type.shape.dim[1:])

    @property
    def label_shape(self) -> tuple[int, ...]:
        """(-1,) or (-1, 1), or () where it takes none."""
        return () if self.labels is None else (-1, 1)[: len(self.labels.type.tensor_type.shape.dim)]


def level_scale(convention: Convention, *, is_uint8: bool) -> tuple[np.float32, np.float32]:
    """Scale and offset to 0 … 255, with half a level on top, as casting to uint8 cuts off. Raises ConfigError."""
    if is_uint8:
        return np.float32(1), np.float32(0.5)
    black, white = convention.value_range
    with np.errstate(all="ignore"):
        scale = np.float32(255) / np.float32(white - black)
        offset = np.float32(0.5) - np.float32(black) * scale
    if not (np.isfinite(scale) and np.isfinite(offset) and scale):
        raise ConfigError(f"--value-range is {black:g} {white:g}; black and white must be two finite values")
    return scale, offset


def wrap(foreign: ForeignGraph, card: ModelCard, convention: Convention) -> OnnxGraph:
    """A graph with the signature that `card` asks for. Its twin's floats are what the file itself puts out, brought to
    [-1, 1].

    Raises:
        ArtifactError: its operators are too old to be brought up to date.
        ConfigError: the value range is none.
    """
    proto = _renamed(foreign.proto)
    nodes = [*_input_nodes(foreign), *proto.graph.node, *_output_nodes(foreign, convention)]
    constants = _constants(foreign, convention)
    signature = signature_of(card)
    inputs = [_value(tensor) for tensor in signature.inputs]
    images = [_value(tensor) for tensor in signature.outputs]
    floats = helper.make_tensor_value_info(FLOATS_OUTPUT, TensorProto.FLOAT, None)

    def model(outputs: list[onnx.ValueInfoProto]) -> bytes:
        needed = _needed(nodes, {value.name for value in outputs})
        used = {name for node in needed for name in node.input}
        weights = [tensor for tensor in (*proto.graph.initializer, *constants) if tensor.name in used]
        graph = helper.make_graph(needed, "generator", inputs, outputs, weights)
        ir_version = max(_IR_VERSION, proto.ir_version)
        wrapped = helper.make_model(graph, opset_imports=proto.opset_import, ir_version=ir_version)
        wrapped.metadata_props.add(key=CARD_KEY, value=to_json(card))
        return wrapped.SerializeToString(deterministic=True)

    return OnnxGraph(model=model(images), model_with_floats=model([*images, floats]))


def _constants(foreign: ForeignGraph, convention: Convention) -> list[onnx.TensorProto]:
    """What our nodes take beside the generator's own tensors."""
    values = {
        _LATENT_SHAPE: np.array([-1, *foreign.latent_shape], np.int64),
        _LABEL_SHAPE: np.array(foreign.label_shape, np.int64),
        **dict(zip(_SCALE_AND_OFFSET, level_scale(convention, is_uint8=foreign.is_uint8), strict=True)),
        _LOW: np.float32(0),
        _HIGH: np.float32(255),
        _MIDDLE: np.float32(128),
        _HALF_RANGE: np.float32(127.5),
    }
    return [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]


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


def _input_nodes(foreign: ForeignGraph) -> list[onnx.NodeProto]:
    """From our latents and labels to the generator's."""
    nodes = _fed(LATENTS_INPUT, foreign.latents, _LATENT_SHAPE)
    if foreign.labels is not None:
        nodes += _fed(LABELS_INPUT, foreign.labels, _LABEL_SHAPE)
    return nodes


def _fed(name: str, value: onnx.ValueInfoProto, shape: str) -> list[onnx.NodeProto]:
    dtype = value.type.tensor_type.elem_type
    return [
        helper.make_node("Cast", [name], [f"typed_{name}"], f"cast_{name}", to=dtype),
        helper.make_node("Reshape", [f"typed_{name}", shape], [_PREFIX + value.name], f"reshape_{name}"),
    ]


def _output_nodes(foreign: ForeignGraph, convention: Convention) -> list[onnx.NodeProto]:
    """From what the generator puts out to pixels, and, for the twin, to floats."""
    images = _PREFIX + foreign.images.name
    scale, offset = _SCALE_AND_OFFSET
    order = [0, 2, 3, 1] if convention.layout == "nchw" else [0, 1, 2, 3]
    return [
        helper.make_node("Cast", [images], ["values"], "cast_values", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["values", scale], ["scaled"], "scale_pixels"),
        helper.make_node("Add", ["scaled", offset], ["moved"], "move_pixels"),
        helper.make_node("Clip", ["moved", _LOW, _HIGH], ["clipped"], "clip_pixels"),
        helper.make_node("Cast", ["clipped"], ["levels"], "cast_pixels", to=TensorProto.UINT8),
        helper.make_node(
            "Transpose", [images if foreign.is_uint8 else "levels"], [IMAGES_OUTPUT], "order_pixels", perm=order
        ),
        helper.make_node("Sub", ["moved", _MIDDLE], ["centred"], "centre_floats"),
        helper.make_node("Div", ["centred", _HALF_RANGE], [FLOATS_OUTPUT], "scale_floats"),
    ]


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
