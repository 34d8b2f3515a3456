"""What in an ONNX graph speaks against running it: the one list, for files to serve and files to import.

Each fault is told as what the file does, such as "uses opset 99; opsets up to 28 are known", and once, however often it
occurs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
import onnx
from onnx import numpy_helper

MAX_OPSET: Final = onnx.defs.onnx_opset_version()
MAX_IR_VERSION: Final = int(onnx.IR_VERSION)
RANDOM_OPERATORS: Final = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
_STANDARD: Final = ("", "ai.onnx")
_FIRST_OPSET_IN_EVAL_MODE: Final = 7
"""Before it, Dropout and BatchNormalization are in training mode unless `is_test` says otherwise."""
_WHOLE_BATCH: Final = frozenset({"DynamicQuantizeLinear"})
"""Operators that scale all rows by what they find in any of them."""
_MOST_NAMES: Final = 5
_FLOATS: Final = frozenset({onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE})


def faults(proto: onnx.ModelProto) -> list[str]:
    """What a file asks for beyond standard operators and its own weights, each as what it does: "uses opset 99; …".

    Operators that draw random numbers or mix the rows of a batch are faults too: a sample is a function of its latents.
    """
    return text_faults(proto) or [
        *_version_faults(proto),
        *_operator_faults(proto),
        *_random_faults(proto),
        *_weight_faults(proto.graph),
    ]


def told(source: str, found: Sequence[str]) -> str:
    """All faults of one file as one message: a line, or a line for each."""
    if len(found) == 1:
        return f"{source} {found[0]}"
    return "\n".join((f"{source} cannot be used, for {len(found)} reasons:", *(f"- it {fault}" for fault in found)))


def text_faults(proto: onnx.ModelProto) -> list[str]:
    """Protobuf reads names that are not UTF-8 without a word, and raises later, or gives bytes."""
    graph = proto.graph
    tensors = tensors_of(graph)
    try:
        for node in graph.node:
            attributes = (attribute.name for attribute in node.attribute)
            "".join((node.name, node.op_type, node.domain, *node.input, *node.output, *attributes))
        for value in (*graph.input, *graph.output):
            "".join((value.name, *(axis.dim_param for axis in value.type.tensor_type.shape.dim)))
        "".join(tensor.name for tensor in tensors)
        "".join(text for tensor in tensors for entry in tensor.external_data for text in (entry.key, entry.value))
        "".join(opset.domain for opset in proto.opset_import)
        "".join(text for entry in proto.metadata_props for text in (entry.key, entry.value))
        "".join((proto.producer_name, proto.producer_version))
    except (UnicodeDecodeError, TypeError):
        return ["holds a name that is not UTF-8"]
    return []


def is_external(tensor: onnx.TensorProto) -> bool:
    """Whether a tensor's values lie in another file."""
    return tensor.data_location == onnx.TensorProto.EXTERNAL or len(tensor.external_data) > 0


def attribute_of(node: onnx.NodeProto, name: str) -> onnx.AttributeProto:
    """The attribute of that name; an empty one, where there is none."""
    return next((attribute for attribute in node.attribute if attribute.name == name), onnx.AttributeProto())


def tensors_of(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    """All constant tensors of a graph, those in attributes among them."""
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    in_attributes = [tensor for attribute in attributes for tensor in (attribute.t, *attribute.tensors)]
    return [*graph.initializer, *in_attributes]


def _version_faults(proto: onnx.ModelProto) -> Iterator[str]:
    if not 1 <= proto.ir_version <= MAX_IR_VERSION:
        yield f"has ONNX IR version {proto.ir_version}; versions up to {MAX_IR_VERSION} are known"
    for opset in proto.opset_import:
        if opset.domain not in _STANDARD:
            yield f"uses operators of the domain {opset.domain!r}; only standard ones are run"
        elif not 1 <= opset.version <= MAX_OPSET:
            yield f"uses opset {opset.version}; opsets up to {MAX_OPSET} are known"
    standard = [opset for opset in proto.opset_import if opset.domain in _STANDARD]
    if len(standard) != 1:
        yield f"names {len(standard)} opsets of standard operators; a file names one"


def _operator_faults(proto: onnx.ModelProto) -> Iterator[str]:
    nodes = proto.graph.node
    if proto.functions or proto.training_info:
        yield "defines functions or training steps of its own; only plain graphs are run"
    if names := _names(f"{node.domain}.{node.op_type}" for node in nodes if node.domain not in _STANDARD):
        yield f"uses the operator {names}; only standard ones are run"
    attributes = [(node, attribute) for node in nodes for attribute in node.attribute]
    if names := _names(node.op_type for node, found in attributes if found.HasField("sparse_tensor")):
        yield f"holds sparse weights ({names}), which are not supported"
    elif any(found.sparse_tensors for _, found in attributes) or proto.graph.sparse_initializer:
        yield "holds sparse weights, which are not supported"
    if names := _names(node.op_type for node, found in attributes if found.HasField("g") or found.graphs):
        yield f"uses control flow ({names}); only plain graphs are run"


def _random_faults(proto: onnx.ModelProto) -> Iterator[str]:
    """Operators after which the same latents would not always give the same image."""
    nodes = proto.graph.node
    if names := _names(node.op_type for node in nodes if node.op_type in RANDOM_OPERATORS):
        yield f"draws random numbers ({names}); the same latents must always give the same image"
    old = any(opset.version < _FIRST_OPSET_IN_EVAL_MODE for opset in proto.opset_import if opset.domain in _STANDARD)
    false = _false_constants(proto.graph)
    if names := _names(node.op_type for node in nodes if _is_training(node, old=old, false=false)):
        yield (
            f"holds {names} as in training; the same latents must always give the same image, whatever else is in the "
            "batch: export the generator in eval mode, after generator.eval()"
        )
    if names := _names(node.op_type for node in nodes if node.op_type in _WHOLE_BATCH or _is_over_batch(node)):
        yield f"holds {names}, which mixes all rows of a batch; an image must not depend on the others in its batch"


def _is_training(node: onnx.NodeProto, *, old: bool, false: frozenset[str]) -> bool:
    """Whether a Dropout or BatchNormalization is not surely one for inference.

    Args:
        node: any node.
        old: whether the opset is one where training is what is not said otherwise.
        false: names of constants that are one false value.
    """
    if node.op_type not in ("Dropout", "BatchNormalization"):
        return False
    if old and not attribute_of(node, "is_test").i:
        return True
    if node.op_type == "Dropout":
        return any(name and name not in false for name in node.input[2:])
    return bool(attribute_of(node, "training_mode").i) or any(node.output[1:])


def _is_over_batch(node: onnx.NodeProto) -> bool:
    """Whether a node normalises over the first axis, which without `axes` it does."""
    axes = attribute_of(node, "axes").ints
    return node.op_type == "MeanVarianceNormalization" and (not axes or 0 in axes)


def _false_constants(graph: onnx.GraphProto) -> frozenset[str]:
    """Names of tensors that are one false value, whatever the graph is fed."""
    constants = [(tensor.name, tensor) for tensor in graph.initializer]
    constants += [
        (node.output[0], attribute_of(node, "value").t)
        for node in graph.node
        if node.op_type == "Constant" and node.output
    ]
    unsure = {value.name for value in graph.input} | {name for name, tensor in constants if not _is_false(tensor)}
    return frozenset(name for name, _ in constants) - unsure


def _is_false(tensor: onnx.TensorProto) -> bool:
    if tensor.data_type != onnx.TensorProto.BOOL or tensor.data_location == onnx.TensorProto.EXTERNAL:
        return False
    return tensor.raw_data == b"\0" if tensor.raw_data else list(tensor.int32_data) == [0]


def _names(names: Iterable[str]) -> str:
    """Some names, each once, as people list them; nothing where there are none."""
    different = list(dict.fromkeys(names))
    more = len(different) - _MOST_NAMES
    return ", ".join(different[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _weight_faults(graph: onnx.GraphProto) -> Iterator[str]:
    tensors = tensors_of(graph)
    if names := _names(repr(tensor.name) for tensor in tensors if is_external(tensor)):
        yield f"keeps the tensor {names} in another file; only one-file models are read"
    known = onnx.TensorProto.DataType.values()
    if names := _names(str(tensor.data_type) for tensor in tensors if tensor.data_type not in known):
        yield f"holds weights of the unknown type {names}"
    if names := _names(repr(tensor.name) for tensor in tensors if _holds_nan(tensor)):
        yield f"holds weights that are no numbers (NaN), in {names}; export a checkpoint from before it diverged"


def _holds_nan(tensor: onnx.TensorProto) -> bool:
    if tensor.data_type not in _FLOATS or is_external(tensor):
        return False
    try:
        values = numpy_helper.to_array(tensor)
    except (ValueError, TypeError):  # of another size than it says, which ONNX Runtime refuses
        return False
    return bool(np.isnan(values).any())
