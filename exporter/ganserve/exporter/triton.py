"""The configuration of a model for Triton Inference Server, whose repositories are laid out as ours are."""

from __future__ import annotations

from typing import Final

from ganserve.contract.bundle import MODEL_FILE
from ganserve.v1.bundle_pb2 import Manifest, TensorSpec

_MAX_BATCH_SIZE: Final = 64
_TYPES: Final = {"float32": "TYPE_FP32", "int64": "TYPE_INT64", "uint8": "TYPE_UINT8"}


def render_config(manifest: Manifest) -> str:
    """`config.pbtxt`: protobuf text of Triton's `inference.ModelConfig`. All versions are served."""
    signature = manifest.signature
    inputs = ",\n".join(_tensor(tensor) for tensor in signature.inputs)
    outputs = ",\n".join(_tensor(tensor) for tensor in signature.outputs)
    return f"""\
name: "{manifest.name}"
backend: "onnxruntime"
default_model_filename: "{MODEL_FILE}"
max_batch_size: {_MAX_BATCH_SIZE}
input [
{inputs}
]
output [
{outputs}
]
version_policy {{ all {{ }} }}
dynamic_batching {{ }}
"""


def _tensor(tensor: TensorSpec) -> str:
    """Triton leaves the batch axis out, and asks for one axis at least: a scalar a row is an axis of one, reshaped."""
    axes = ", ".join(map(str, tensor.row_shape))
    dims = f"dims: [ {axes} ]" if axes else "dims: [ 1 ] reshape { shape: [ ] }"
    return f'  {{ name: "{tensor.name}" data_type: {_TYPES[tensor.dtype]} {dims} }}'
