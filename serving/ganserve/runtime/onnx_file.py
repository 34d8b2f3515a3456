"""What an ONNX file must be before its bytes reach ONNX Runtime.

ONNX Runtime runs whatever a file asks for, and loads a file with a changed byte without a word. So the graph is read
first: it may hold standard operators and its own weights, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from google.protobuf.message import DecodeError

from ganserve.contract import card as model_card
from ganserve.contract.bundle import CARD_KEY, Axes, axes_of, signature_of
from ganserve.contract.errors import ArtifactError
from ganserve.v1.model_pb2 import ModelCard

from .onnx_faults import faults, told


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
    _check_plain(proto, source)
    texts = [entry.value for entry in proto.metadata_props if entry.key == CARD_KEY]
    if len(texts) != 1:
        raise ArtifactError(f"{source} carries no model card under {CARD_KEY!r}; export the generator with ganserve")
    card = model_card.from_json(texts[0], source=source)
    _check_signature(proto.graph, card, source)
    return card


def parse(model: bytes, source: str) -> onnx.ModelProto:
    """Raises ArtifactError where the bytes are no ONNX file. Nothing in it is checked."""
    if not model:
        raise ArtifactError(f"{source} is empty; export the model again")
    try:
        return onnx.ModelProto.FromString(model)
    except DecodeError as error:
        raise ArtifactError(f"{source} is not an ONNX file, or it is torn; export the model again") from error


def _check_plain(proto: onnx.ModelProto, source: str) -> None:
    """Raises ArtifactError where anything speaks against running a file, with all that does."""
    if found := faults(proto):
        raise ArtifactError(told(source, found))


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
