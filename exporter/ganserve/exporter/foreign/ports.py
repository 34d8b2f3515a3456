"""Inputs and outputs of a foreign graph, and what each of them is to us."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper

FLOATS: Final = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
INTEGERS: Final = (TensorProto.INT64, TensorProto.INT32, TensorProto.INT16, TensorProto.INT8, TensorProto.UINT8)
NUMBERS: Final = (*FLOATS, *INTEGERS, TensorProto.BOOL)


@dataclass(frozen=True, kw_only=True)
class Port:
    """An input or output of the graph."""

    name: str
    element: int
    """Type of its elements, as ONNX numbers them."""
    axes: tuple[int | None, ...]
    """Their sizes; None is a free one."""
    text: str
    """Name, type and axes for people."""

    @classmethod
    def of(cls, value: onnx.ValueInfoProto) -> Port:
        """As the file describes it; a size of -1, as some tools write it, is a free one."""
        tensor_type = value.type.tensor_type
        dims = tensor_type.shape.dim
        known = tensor_type.elem_type in TensorProto.DataType.values()
        element = TensorProto.DataType.Name(tensor_type.elem_type).lower() if known else "?"
        axes = ", ".join(axis.dim_param or (str(axis.dim_value) if axis.dim_value > 0 else "?") for axis in dims)
        return cls(
            name=value.name,
            element=tensor_type.elem_type,
            axes=tuple(axis.dim_value if axis.dim_value > 0 else None for axis in dims),
            text=f"{value.name} {element} ({axes})",
        )

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's type of its elements."""
        return helper.tensor_dtype_to_np_dtype(self.element)

    @property
    def has_rows(self) -> bool:
        """Whether it has a batch axis, and all others have a size."""
        return len(self.axes) > 0 and None not in self.axes[1:]

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Its axes but for the batch, where they have sizes."""
        return tuple(size for size in self.axes[1:] if size is not None)

    @property
    def row_size(self) -> int:
        """Elements of one row."""
        return math.prod(self.row_shape)


@dataclass(frozen=True, kw_only=True)
class Roles:
    """What each input is, and which output is the images. The image and the mask are those that a translator takes."""

    latents: tuple[Port, ...]
    labels: Port | None
    image: Port | None
    mask: Port | None
    constants: tuple[tuple[Port, float], ...]
    images: Port

    @property
    def rows(self) -> tuple[Port, ...]:
        """The inputs that have a row for each image."""
        others = (self.labels, self.image, self.mask)
        return (*self.latents, *(port for port in others if port is not None))

    @property
    def latent_dim(self) -> int:
        """Length of our one latent."""
        return sum(port.row_size for port in self.latents)

    @property
    def batch_size(self) -> int | None:
        """What the file fixes the batch at; None where it is free."""
        return next(iter(batch_sizes(self.rows)), None)


def batch_sizes(ports: Sequence[Port]) -> list[int]:
    """The sizes at which first axes are fixed, each once, ascending."""
    return sorted({port.axes[0] for port in ports if port.axes and port.axes[0] is not None})


def listed(ports: Sequence[Port]) -> str:
    """Names, types and axes for people."""
    return ", ".join(port.text for port in ports) or "nothing"
