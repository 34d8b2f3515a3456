"""Tensors as the protocol writes them: the names of types, and the values of inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.rows import Column

from .inference_pb2 import ModelInferRequest

DATATYPES: Final[Mapping[str, str]] = {"float32": "FP32", "int64": "INT64", "uint8": "UINT8"}
"""The protocol's names of the types that signatures have."""

_TYPED_CONTENTS: Final = {"FP32": "fp32_contents", "INT64": "int64_contents", "UINT8": "uint_contents"}
_DTYPES: Final[Mapping[str, np.dtype[Any]]] = {
    "FP32": np.dtype("<f4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("u1"),
}
_MOST_AXES: Final = 8


def count_typed(request: ModelInferRequest) -> int:
    """How many values have to be read one by one."""
    return sum(
        len(getattr(tensor.contents, _TYPED_CONTENTS[tensor.datatype]))
        for tensor in request.inputs
        if tensor.datatype in _TYPED_CONTENTS
    )


def read_tensors(request: ModelInferRequest) -> dict[str, Column]:
    """The inputs of a request by name; of raw ones, views of the bytes.

    Raises:
        InvalidRequestError: values in two places or in none, of a type that no model takes, more or fewer of them than
            the shape says, or an input that comes twice.
    """
    raw = list(request.raw_input_contents)
    if raw and len(raw) != len(request.inputs):
        raise InvalidRequestError(
            f"{len(raw)} raw contents for {len(request.inputs)} inputs; give one an input", field="raw_input_contents"
        )
    tensors: dict[str, Column] = {}
    for place, tensor in enumerate(request.inputs):
        if tensor.name in tensors:
            raise InvalidRequestError(f"the input {tensor.name[:80]!r} comes twice", field=f"inputs[{place}].name")
        tensors[tensor.name] = _read_tensor(tensor, raw[place] if raw else None, f"inputs[{place}]")
    return tensors


def _read_tensor(tensor: ModelInferRequest.InferInputTensor, raw: bytes | None, field: str) -> Column:
    name, shape = tensor.name[:80], tuple(tensor.shape)
    if "shared_memory_region" in tensor.parameters:
        raise InvalidRequestError(
            f"the input {name!r} is in shared memory, which this server does not read; send its contents",
            field=f"{field}.parameters",
        )
    if tensor.datatype not in _DTYPES:
        raise InvalidRequestError(
            f"the input {name!r} is {tensor.datatype[:80]!r}; models here take {', '.join(_DTYPES)}",
            field=f"{field}.datatype",
        )
    if not 0 < len(shape) <= _MOST_AXES or min(shape) < 1:
        raise InvalidRequestError(
            f"the input {name!r} has the shape {list(shape[:_MOST_AXES])}; give 1 to {_MOST_AXES} axes of at least 1",
            field=f"{field}.shape",
        )
    if raw is None:
        return _read_typed(tensor, shape, field)
    if tensor.contents.ByteSize():
        raise InvalidRequestError(
            f"the input {name!r} has both raw and typed contents; leave one of them out", field=f"{field}.contents"
        )
    dtype = _DTYPES[tensor.datatype]
    if len(raw) != math.prod(shape) * dtype.itemsize:
        raise InvalidRequestError(
            f"the input {name!r} {list(shape)} takes {math.prod(shape) * dtype.itemsize} raw bytes, and there are "
            f"{len(raw)}",
            field="raw_input_contents",
        )
    return np.frombuffer(raw, dtype).reshape(shape)


def _read_typed(tensor: ModelInferRequest.InferInputTensor, shape: tuple[int, ...], field: str) -> Column:
    contents = _TYPED_CONTENTS[tensor.datatype]
    values = getattr(tensor.contents, contents)
    if len(values) != math.prod(shape):
        raise InvalidRequestError(
            f"the input {tensor.name[:80]!r} {list(shape)} takes {math.prod(shape)} values in {contents}, and there "
            f"are {len(values)}",
            field=f"{field}.contents.{contents}",
        )
    try:
        return np.fromiter(values, _DTYPES[tensor.datatype], len(values)).reshape(shape)
    except OverflowError:
        raise InvalidRequestError(
            f"the input {tensor.name[:80]!r} has values that {tensor.datatype} does not hold",
            field=f"{field}.contents.{contents}",
        ) from None
