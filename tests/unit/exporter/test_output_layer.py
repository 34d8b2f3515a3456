from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ganserve.exporter.output_layer import transpose_narrow_convolutions
from ganserve.exporter.parity import open_session


def convolution(channels: int = 3, size: tuple[int, int] = (3, 3), **attributes: Any) -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    groups = attributes.get("group", 1)
    kernel = rng.standard_normal((channels, 6 // groups, *size)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "kernel", "bias"], ["y"], **attributes)],
        "convolution",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 6, 9, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", channels, None, None])],
        [
            numpy_helper.from_array(kernel, "kernel"),
            numpy_helper.from_array(rng.standard_normal(channels).astype(np.float32), "bias"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def images_of(model: onnx.ModelProto) -> Any:
    x = np.random.default_rng(1).standard_normal((2, 6, 9, 8)).astype(np.float32)
    return open_session(model.SerializeToString()).run(None, {"x": x})[0]


@pytest.mark.parametrize(
    "model",
    [
        convolution(pads=[1, 1, 1, 1]),
        convolution(channels=1, pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        convolution(),
        convolution(size=(5, 2), pads=[2, 0, 1, 1]),
        convolution(size=(1, 1)),
    ],
)
def test_it_is_the_same_map(model: onnx.ModelProto) -> None:
    expected = images_of(model)
    transpose_narrow_convolutions(model)
    assert [node.op_type for node in model.graph.node] == ["ConvTranspose"]
    onnx.checker.check_model(model, full_check=True)
    np.testing.assert_allclose(images_of(model), expected, atol=1e-5)


@pytest.mark.parametrize(
    "model",
    [
        convolution(channels=6),
        convolution(strides=[2, 2]),
        convolution(dilations=[2, 2]),
        convolution(group=3),
        convolution(auto_pad="SAME_UPPER"),
    ],
)
def test_others_stay_as_they_are(model: onnx.ModelProto) -> None:
    before = model.SerializeToString()
    transpose_narrow_convolutions(model)
    assert model.SerializeToString() == before
