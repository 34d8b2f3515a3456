"""Noise that a generator draws inside its graph, as StyleGAN does for each of its layers."""

from __future__ import annotations

from typing import Final

import onnx
from onnx import TensorProto, helper, shape_inference

from ganserve.runtime.onnx_faults import attribute_of

from .ports import FLOATS

NOISE_OPERATORS: Final = frozenset({"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"})


def take_out_noise(proto: onnx.ModelProto) -> list[str]:
    """Puts the mean of its distribution in the place of all noise, in place: zero, for standard normal noise.

    Returns:
        The operators that are gone, one entry each.
    """
    graph = proto.graph
    if not any(node.op_type in NOISE_OPERATORS for node in graph.node):
        return []
    dtypes = _dtypes(proto)
    nodes: list[onnx.NodeProto] = []
    names = []
    for node in graph.node:
        constant = _constant(node, dtypes) if node.op_type in NOISE_OPERATORS else []
        nodes += constant or [node]
        names += [node.op_type] if constant else []
    del graph.node[:]
    graph.node.extend(nodes)
    return names


def _constant(node: onnx.NodeProto, dtypes: dict[str, int]) -> list[onnx.NodeProto]:
    """Nodes that give the mean of a random node, in its shape and type; none where it is not a proper one."""
    if len(node.output) != 1 or len(node.input) != node.op_type.endswith("Like"):
        return []
    output = node.output[0]
    shape = f"{output}/shape"
    if node.op_type.endswith("Like"):
        dtype = attribute_of(node, "dtype").i or dtypes.get(node.input[0], TensorProto.FLOAT)
        shape_node = helper.make_node("Shape", [node.input[0]], [shape])
    else:
        dtype = attribute_of(node, "dtype").i or TensorProto.FLOAT
        sizes = list(attribute_of(node, "shape").ints)
        value = helper.make_tensor("", TensorProto.INT64, [len(sizes)], sizes)
        shape_node = helper.make_node("Constant", [], [shape], value=value)
    if dtype not in FLOATS:
        return []
    mean = helper.make_tensor("", dtype, [1], [_mean(node)])
    return [shape_node, helper.make_node("ConstantOfShape", [shape], [output], value=mean)]


def _mean(node: onnx.NodeProto) -> float:
    if node.op_type.startswith("RandomNormal"):
        return float(attribute_of(node, "mean").f)
    high = attribute_of(node, "high")
    return float(attribute_of(node, "low").f + (high.f if high.name else 1.0)) / 2


def _dtypes(proto: onnx.ModelProto) -> dict[str, int]:
    """Types of the graph's tensors, as far as they can be told."""
    try:
        graph = shape_inference.infer_shapes(proto).graph
    except (RuntimeError, ValueError, shape_inference.InferenceError):
        graph = proto.graph  # of a file that is refused for other reasons, or too large to look at twice
    values = (*graph.input, *graph.value_info)
    return {value.name: value.type.tensor_type.elem_type for value in values}
