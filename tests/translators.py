"""A tiny translator, without training: three times blurred edges, twice as large, and what it makes by NumPy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ganserve.contract.bundle import CARD_KEY, signature_of
from ganserve.contract.card import to_json
from ganserve.contract.images import Images
from ganserve.exporter.bundle import Target, write_bundle
from ganserve.v1.bundle_pb2 import Parity, TensorSpec
from ganserve.v1.model_pb2 import ImageInput, ImageRole, ImageShape, ModelCard, ModelKind

TILE = (12, 10)
SCALE = 2


def make_translator(
    models: Path,
    parity: Parity,
    name: str = "blur2x",
    *,
    is_tiled: bool = True,
    tile: tuple[int, int] = TILE,
    change: Callable[[ModelCard], None] | None = None,
) -> Path:
    """Writes a bundle: the mean of 3×3 pixels, with zeros beyond the edges, each pixel of it four times.

    `change` may alter the card, and so give it further inputs, of which it makes nothing.
    """
    height, width = tile
    card = ModelCard(
        kind=ModelKind.MODEL_KIND_TRANSLATOR,
        image=ImageShape(height=SCALE * height, width=SCALE * width, channels=3),
        inputs=[
            ImageInput(
                name="image",
                role=ImageRole.IMAGE_ROLE_IMAGE,
                shape=ImageShape(height=height, width=width, channels=3),
            )
        ],
        halo=1 if is_tiled else None,
        architecture="blur",
        loss="none",
    )
    if change is not None:
        change(card)
    kernel = np.repeat(np.full((1, 1, 3, 3), 1 / 9, np.float32), 3, axis=0)
    constants = {
        "kernel": kernel,
        "scales": np.array([1, 1, SCALE, SCALE], np.float32),
        "half": np.float32(0.5),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["nchw", "kernel"], ["blurred"], pads=[1, 1, 1, 1], group=3),
        helper.make_node("Add", ["blurred", "half"], ["rounded"]),
        helper.make_node(
            "Resize",
            ["rounded", "", "scales"],
            ["large"],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        ),
        helper.make_node("Transpose", ["large"], ["nhwc"], perm=[0, 2, 3, 1]),
        helper.make_node("Cast", ["nhwc"], ["images"], to=TensorProto.UINT8),
    ]
    graph = helper.make_graph(
        nodes,
        "blur",
        [helper.make_tensor_value_info(entry.name, *_type_of(entry)) for entry in signature_of(card).inputs],
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", SCALE * height, SCALE * width, 3])],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.metadata_props.add(key=CARD_KEY, value=to_json(card))
    onnx.checker.check_model(model, full_check=True)
    return write_bundle(model.SerializeToString(), card, Target(models=models, name=name), parity)[0]


def _type_of(tensor: TensorSpec) -> tuple[int, list[str | int]]:
    """A tensor's type and shape as ONNX has them."""
    return helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype)), ["batch", *tensor.row_shape]


def blurred_twice_as_large(image: Images) -> Images:
    """What it makes of uint8 (height, width, 3) of any size but its own: mirrored beyond the edges."""
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="reflect").astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
    blurred = (windows.mean((-2, -1)) + np.float32(0.5)).astype(np.uint8)
    large: Images = blurred.repeat(SCALE, axis=0).repeat(SCALE, axis=1)
    return large
