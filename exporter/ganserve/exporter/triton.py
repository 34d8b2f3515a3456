"""The configuration of a model for Triton Inference Server, whose repositories are laid out as ours are."""

from __future__ import annotations

from typing import Final

from ganserve.contract.bundle import MODEL_FILE, Manifest, TensorSpec

_MAX_BATCH_SIZE: Final = 64
_TYPES: Final = {"float32": "TYPE_FP32", "int64": "TYPE_INT64", "uint8": "TYPE_UINT8"}


def render_config(manifest: Manifest) -> str:
    """`config.pbtxt`: protobuf text of Triton's `inference.ModelConfig`. All versions are served."""
    signature = manifest.signature
    inputs = ",\n".join(_tensor(name, spec) for name, spec in signature.inputs.items())
    outputs = ",\n".join(_tensor(name, spec) for name, spec in signature.outputs.items())
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


def _tensor(name: str, spec: TensorSpec) -> str:
    """Triton leaves the batch axis out, and asks for one axis at least: a scalar a row is an axis of one, reshaped."""
    axes = ", ".join(map(str, spec.shape[1:]))
    dims = f"dims: [ {axes} ]" if axes else "dims: [ 1 ] reshape { shape: [ ] }"
    return f'  {{ name: "{name}" data_type: {_TYPES[spec.dtype]} {dims} }}'
