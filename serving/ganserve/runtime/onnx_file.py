"""What an ONNX file must be before its bytes reach ONNX Runtime.

ONNX Runtime runs whatever a file asks for, and loads a file with a changed byte without a word. So the graph is read
first: it may hold standard operators and its own weights, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import onnx
from google.protobuf.message import DecodeError

from ganserve.contract import card as model_card
from ganserve.contract.bundle import CARD_KEY, Axes, axes_of, signature_of
from ganserve.contract.errors import ArtifactError
from ganserve.v1.model_pb2 import ModelCard

MAX_OPSET: Final = onnx.defs.onnx_opset_version()
MAX_IR_VERSION: Final = int(onnx.IR_VERSION)
_STANDARD: Final = ("", "ai.onnx")
_RANDOM: Final = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)


def read_card(model: bytes, *, source: str) -> ModelCard:
    """Checks an ONNX file and returns the card that it carries.

    Args:
        model: the file's bytes.
        source: the file's path, for messages.

    Raises:
        ArtifactError: it is no ONNX file, asks for anything but standard operators and its own weights, carries no
            usable card, or has another signature than its card.
    """
    return card_of(parse(model, source), source)


def card_of(proto: onnx.ModelProto, source: str) -> ModelCard:
    """Like `read_card`, of a file that has been parsed."""
    check_plain(proto, source)
    texts = [entry.value for entry in proto.metadata_props if entry.key == CARD_KEY]
    if len(texts) != 1:
        raise ArtifactError(f"{source} carries no model card under {CARD_KEY!r}; export the generator with ganserve")
    card = model_card.from_json(texts[0], source=source)
    _check_signature(proto.graph, card, source)
    return card


def check_plain(proto: onnx.ModelProto, source: str) -> None:
    """Raises ArtifactError where a file asks for anything but standard operators and its own weights.

    Operators that draw random numbers are refused too: a sample is a function of its latents.
    """
    _check_text(proto, source)
    _check_versions(proto, source)
    _check_operators(proto, source)
    _check_weights(proto.graph, source)


def parse(model: bytes, source: str) -> onnx.ModelProto:
    """Raises ArtifactError where the bytes are no ONNX file. Nothing in it is checked."""
    try:
        return onnx.ModelProto.FromString(model)
    except DecodeError as error:
        raise ArtifactError(f"{source} is not an ONNX file, or it is torn; export the model again") from error


def _check_text(proto: onnx.ModelProto, source: str) -> None:
    """Protobuf reads names that are not UTF-8 without a word, and raises later, or gives bytes."""
    graph = proto.graph
    try:
        for node in graph.node:
            attributes = (attribute.name for attribute in node.attribute)
            "".join((node.name, node.op_type, node.domain, *node.input, *node.output, *attributes))
        for value in (*graph.input, *graph.output):
            "".join((value.name, *(axis.dim_param for axis in value.type.tensor_type.shape.dim)))
        "".join(tensor.name for tensor in graph.initializer)
        "".join(text for entry in proto.metadata_props for text in (entry.key, entry.value))
        "".join((proto.producer_name, proto.producer_version))
    except (UnicodeDecodeError, TypeError) as error:
        raise ArtifactError(f"{source} holds a name that is not UTF-8") from error


def _check_versions(proto: onnx.ModelProto, source: str) -> None:
    if not 1 <= proto.ir_version <= MAX_IR_VERSION:
        raise ArtifactError(
            f"{source} has ONNX IR version {proto.ir_version}; versions up to {MAX_IR_VERSION} are known"
        )
    for opset in proto.opset_import:
        if opset.domain not in _STANDARD:
            raise ArtifactError(f"{source} uses operators of the domain {opset.domain!r}; only standard ones are run")
        if not 1 <= opset.version <= MAX_OPSET:
            raise ArtifactError(f"{source} uses opset {opset.version}; opsets up to {MAX_OPSET} are known")
    if len(proto.opset_import) != 1:
        raise ArtifactError(f"{source} names {len(proto.opset_import)} opsets; a file names one")


def _check_operators(proto: onnx.ModelProto, source: str) -> None:
    if proto.functions or proto.training_info:
        raise ArtifactError(f"{source} defines functions or training steps of its own; only plain graphs are run")
    for node in proto.graph.node:
        if node.domain not in _STANDARD:
            raise ArtifactError(f"{source} uses the operator {node.domain}.{node.op_type}; only standard ones are run")
        if node.op_type in _RANDOM or (node.op_type == "BatchNormalization" and _is_training(node)):
            raise ArtifactError(
                f"{source} holds {node.op_type} as in training; the same latents must always give the same image, "
                "whatever else is in the batch"
            )
        if any(attribute.HasField("sparse_tensor") or attribute.sparse_tensors for attribute in node.attribute):
            raise ArtifactError(f"{source} holds sparse weights ({node.op_type}), which are not supported")
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise ArtifactError(f"{source} uses control flow ({node.op_type}); only plain graphs are run")


def _is_training(node: onnx.NodeProto) -> bool:
    return any(attribute.name == "training_mode" and attribute.i for attribute in node.attribute)


def _check_weights(graph: onnx.GraphProto, source: str) -> None:
    in_attributes = (tensor for node in graph.node for attribute in node.attribute for tensor in _tensors(attribute))
    for tensor in (*graph.initializer, *in_attributes):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise ArtifactError(
                f"{source} keeps the tensor {tensor.name!r} in another file; only one-file models are read"
            )
        if tensor.data_type not in onnx.TensorProto.DataType.values():
            raise ArtifactError(f"{source} holds weights of the unknown type {tensor.data_type}")
    if graph.sparse_initializer:
        raise ArtifactError(f"{source} holds sparse weights, which are not supported")


def _tensors(attribute: onnx.AttributeProto) -> Iterable[onnx.TensorProto]:
    return (attribute.t, *attribute.tensors)


def _check_signature(graph: onnx.GraphProto, card: ModelCard, source: str) -> None:
    signature = signature_of(card)
    for verb, values, tensors in (("takes", graph.input, signature.inputs), ("gives", graph.output, signature.outputs)):
        found = {value.name: _type_and_axes(value.type.tensor_type) for value in values}
        expected = {tensor.name: (tensor.dtype, axes_of(tensor)) for tensor in tensors}
        if found != expected:
            raise ArtifactError(
                f"{source} has another signature than its model card: it {verb} {_listed(found)}, "
                f"and the card asks for {_listed(expected)}"
            )


def _listed(tensors: Mapping[str, tuple[str, Axes]]) -> str:
    texts = (f"{name} {dtype} ({', '.join(map(str, axes))})" for name, (dtype, axes) in tensors.items())
    return ", ".join(texts) or "nothing"


def _type_and_axes(tensor_type: onnx.TypeProto.Tensor) -> tuple[str, Axes]:
    known = tensor_type.elem_type in onnx.TensorProto.DataType.values()
    dtype = str(onnx.helper.tensor_dtype_to_np_dtype(tensor_type.elem_type)) if known and tensor_type.elem_type else "?"
    return dtype, tuple(axis.dim_param or axis.dim_value for axis in tensor_type.shape.dim)
