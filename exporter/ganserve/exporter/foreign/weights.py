"""A file's weights that lie beside it, as PyTorch's exporter writes them by default, taken into the file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

import onnx
from onnx import TensorProto, helper

from ganserve.contract.bundle import MAX_FILE_BYTES
from ganserve.contract.errors import ArtifactError
from ganserve.contract.files import read_regular_file
from ganserve.runtime.onnx_faults import is_external, tensors_of

_NOT_WHOLE_BYTES: Final = frozenset(
    {TensorProto.STRING, TensorProto.UNDEFINED}
    | {value for name, value in TensorProto.DataType.items() if name.startswith(("INT4", "UINT4", "INT2", "UINT2"))}
    | {value for name, value in TensorProto.DataType.items() if name.startswith("FLOAT4")}
)
_MOST_DIGITS: Final = 15
_MOST_NAMED: Final = 3


def take_in_weights(proto: onnx.ModelProto, folder: Path) -> list[ArtifactError]:
    """Reads the tensors that lie in other files of `folder`, in place, and says which cannot be read, and why.

    Those files are regular ones in that folder itself, and all that is read is no larger than an ONNX file may be.
    """
    sidecars = _Sidecars(folder)
    faults: dict[str, None] = {}
    for tensor in tensors_of(proto.graph):
        if not is_external(tensor):
            continue
        try:
            tensor.raw_data = sidecars.read(tensor)
        except ArtifactError as error:
            faults[str(error)] = None
        tensor.ClearField("data_location")  # of those that cannot be read too, lest they be told of again
        tensor.ClearField("external_data")
    return [ArtifactError(text) for text in faults][:_MOST_NAMED]


class _Sidecars:
    """The files beside an ONNX file, each read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, bytes] = {}
        self._num_tensor_bytes_left = MAX_FILE_BYTES
        self._num_file_bytes_left = MAX_FILE_BYTES

    def read(self, tensor: onnx.TensorProto) -> bytes:
        """A tensor's bytes. Raises ArtifactError, whose text says what the model's file does wrong."""
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        name = tensor.name
        num_bytes = _num_bytes(tensor)
        offset, length = (_whole_number(entries.get(key, default)) for key, default in _defaults(num_bytes))
        if offset is None or length != num_bytes:
            raise ArtifactError(
                f"keeps the tensor {name!r} in {location!r} at a place or of a length that cannot be its own"
            )
        if num_bytes > self._num_tensor_bytes_left:
            raise ArtifactError(f"has weights of more than {MAX_FILE_BYTES / 2**30:g} GiB in other files")
        data = self._file(location)
        if offset + num_bytes > len(data):
            raise ArtifactError(
                f"keeps the tensor {name!r} in {location!r}, which is too short to hold it; it is torn, or not the "
                "file that was written with this one"
            )
        self._num_tensor_bytes_left -= num_bytes
        return data[offset : offset + num_bytes]

    def _file(self, location: str) -> bytes:
        parts = PurePosixPath(location).parts
        if len(parts) != 1 or parts[0] in ("/", "..") or set("\\:\0") & set(location):
            raise ArtifactError(
                f"keeps weights in {location!r}; they are read from its own folder alone, so put them beside it and "
                "export it again, or with external_data=False"
            )
        if location not in self._files:
            path = self._folder / parts[0]
            if not path.exists():
                raise ArtifactError(
                    f"keeps its weights in {location!r}, which does not lie beside it; copy both files, or export it "
                    "again with external_data=False"
                )
            try:
                self._files[location] = read_regular_file(path, self._num_file_bytes_left)
            except ArtifactError as error:
                raise ArtifactError(f"keeps its weights in {location!r}, and {error}") from error
            self._num_file_bytes_left -= len(self._files[location])
        return self._files[location]


def _defaults(num_bytes: int) -> Iterator[tuple[str, str]]:
    """What a place in a file is where it is not told."""
    yield "offset", "0"
    yield "length", str(num_bytes)


def _num_bytes(tensor: onnx.TensorProto) -> int:
    if tensor.data_type not in TensorProto.DataType.values() or tensor.data_type in _NOT_WHOLE_BYTES:
        raise ArtifactError(f"keeps the tensor {tensor.name!r} in another file, in a type that is read from none")
    if any(size < 0 for size in tensor.dims):
        raise ArtifactError(f"has a tensor {tensor.name!r} of a negative size")
    return math.prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize


def _whole_number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else None
