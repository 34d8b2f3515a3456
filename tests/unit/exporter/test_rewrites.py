"""Every form of a layer is the same map, and is taken only where it is."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxscript import ir

from ganserve.exporter.parity import open_session
from ganserve.exporter.rewrites import rewrite_layers

SIZE = (9, 8)


def layer(
    op: str,
    *,
    channels: tuple[int, int],
    kernel: tuple[int, int] = (3, 3),
    scale: float | None = None,
    **attributes: Any,
) -> onnx.ModelProto:
    """One convolution with a bias, `op` being Conv or ConvTranspose, perhaps after an upsampling."""
    rng = np.random.default_rng(0)
    channels_in, channels_out = channels
    in_groups = attributes.get("group", 1)
    shape = (channels_out, channels_in // in_groups) if op == "Conv" else (channels_in, channels_out // in_groups)
    weights = {
        "kernel": rng.standard_normal((*shape, *kernel)).astype(np.float32),
        "bias": rng.standard_normal(channels_out).astype(np.float32),
    }
    nodes = []
    if scale is not None:
        weights["scales"] = np.array([1, 1, scale, scale], np.float32)
        as_pytorch_does = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        nodes.append(helper.make_node("Resize", ["x", "", "scales"], ["large"], mode="nearest", **as_pytorch_does))
    nodes.append(helper.make_node(op, ["x" if scale is None else "large", "kernel", "bias"], ["y"], **attributes))
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", channels_in, *SIZE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", channels_out, None, None])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model)


def for_cpu(model: onnx.ModelProto) -> onnx.ModelProto:
    rewritten = ir.serde.deserialize_model(model)
    rewrite_layers(rewritten, "cpu")
    return ir.serde.serialize_model(rewritten)


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def images_of(model: onnx.ModelProto) -> Any:
    num_channels = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    x = np.random.default_rng(1).standard_normal((2, num_channels, *SIZE)).astype(np.float32)
    return open_session(model.SerializeToString()).run(None, {"x": x})[0]


def assert_same_map(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model for a CPU, which gives what `model` gives and holds no weight that it has no use for."""
    rewritten = for_cpu(model)
    onnx.checker.check_model(rewritten, full_check=True)
    expected = images_of(model)
    np.testing.assert_allclose(images_of(rewritten), expected, atol=1e-5 * np.abs(expected).max())
    used = {name for node in rewritten.graph.node for name in node.input}
    assert {tensor.name for tensor in rewritten.graph.initializer} <= used
    return rewritten


@pytest.mark.parametrize(
    "attributes",
    [
        {"pads": [1, 1, 1, 1]},
        {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]},
        {},
        {"kernel": (5, 3), "pads": [2, 0, 2, 0]},
        {"kernel": (2, 2), "pads": [1, 1, 1, 1]},
        {"kernel": (1, 1)},
    ],
)
@pytest.mark.parametrize("channels", [1, 4])
def test_narrow_convolution(attributes: dict[str, Any], channels: int) -> None:
    rewritten = assert_same_map(layer("Conv", channels=(6, channels), **attributes))
    assert operators(rewritten) == {"ConvTranspose": 1}


@pytest.mark.parametrize(
    "attributes",
    [
        {"kernel": (4, 4), "pads": [1, 1, 1, 1]},
        {"kernel": (6, 6), "pads": [2, 2, 2, 2]},
        {"kernel": (5, 5), "pads": [2, 2, 2, 2], "output_padding": [1, 1]},
        {"kernel": (6, 4), "pads": [2, 1, 2, 1]},
        {"kernel": (5, 4), "pads": [1, 2, 2, 0]},
        {"kernel": (4, 4), "pads": [2, 2, 0, 0]},
    ],
)
def test_doubling_convolution(attributes: dict[str, Any]) -> None:
    rewritten = assert_same_map(layer("ConvTranspose", channels=(32, 16), strides=[2, 2], **attributes))
    assert operators(rewritten) == {"Conv": 4, "Unsqueeze": 4, "Concat": 3, "Reshape": 1}


@pytest.mark.parametrize(
    "attributes",
    [
        {"pads": [1, 1, 1, 1]},
        {"kernel": (5, 3), "pads": [2, 1, 2, 1]},
    ],
)
def test_upsampled_convolution(attributes: dict[str, Any]) -> None:
    rewritten = assert_same_map(layer("Conv", channels=(6, 5), scale=2, **attributes))
    assert operators(rewritten) == {"ConvTranspose": 1}


def test_upsampling_that_is_needed_elsewhere_stays() -> None:
    model = layer("Conv", channels=(6, 5), scale=2, pads=[1, 1, 1, 1])
    model.graph.output.append(helper.make_tensor_value_info("large", TensorProto.FLOAT, ["N", 6, 18, 16]))
    assert operators(assert_same_map(model)) == {"Resize": 1, "ConvTranspose": 1}


def test_an_upsampled_convolution_in_whole_blocks_becomes_four() -> None:
    rewritten = assert_same_map(layer("Conv", channels=(16, 32), scale=2, pads=[1, 1, 1, 1]))
    assert operators(rewritten)["Conv"] == 4


@pytest.mark.parametrize(
    "model",
    [
        layer("Conv", channels=(6, 6)),
        layer("Conv", channels=(6, 3), strides=[2, 2]),
        layer("Conv", channels=(6, 3), dilations=[2, 2]),
        layer("Conv", channels=(6, 3), group=3),
        layer("Conv", channels=(6, 3), auto_pad="SAME_UPPER"),
        layer("Conv", channels=(6, 3), kernel=(1, 1), pads=[1, 1, 1, 1]),
        layer("Conv", channels=(6, 3), kernel=(2, 2), pads=[0, 0, 1, 1]),
        layer("ConvTranspose", channels=(16, 16), kernel=(4, 4), strides=[2, 2]),
        layer("ConvTranspose", channels=(16, 16), kernel=(4, 4), strides=[2, 1], pads=[1, 1, 1, 1]),
        layer("ConvTranspose", channels=(16, 16), kernel=(1, 1), strides=[2, 2], output_padding=[1, 1]),
        layer("ConvTranspose", channels=(16, 16), kernel=(2, 2), strides=[2, 2]),
        layer("ConvTranspose", channels=(16, 16), kernel=(4, 4), strides=[2, 2], pads=[1, 1, 1, 1], group=2),
        layer("ConvTranspose", channels=(16, 8), kernel=(4, 4), strides=[2, 2], pads=[1, 1, 1, 1]),
        layer("ConvTranspose", channels=(24, 16), kernel=(4, 4), strides=[2, 2], pads=[1, 1, 1, 1]),
        layer("Conv", channels=(6, 6), scale=2, kernel=(1, 1)),
        layer("Conv", channels=(6, 6), scale=2.1, pads=[1, 1, 1, 1]),  # to the same size
        layer("Conv", channels=(6, 6), scale=2, kernel=(3, 3)),
        layer("Conv", channels=(6, 6), scale=2, kernel=(3, 3), pads=[1, 1, 1, 1], strides=[2, 2]),
    ],
)
def test_others_stay_as_they_are(model: onnx.ModelProto) -> None:
    rewritten = for_cpu(model)
    assert operators(rewritten) == operators(model)
    np.testing.assert_array_equal(images_of(rewritten), images_of(model))


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize(
    ("size", "constant"), [((18, 16), [1, 1, 2, 2]), ((9, 24), [1, 1, 1, 3]), ((18, 15), [18, 15]), ((5, 4), [5, 4])]
)
def test_fixed_resizing(mode: str, size: tuple[int, int], constant: list[int]) -> None:
    weights = {"size": np.array(size)}
    nodes = [
        helper.make_node("Shape", ["x"], ["start"], end=2),
        helper.make_node("Concat", ["start", "size"], ["shape"], axis=0),
        helper.make_node(
            "Resize", ["x", "", "", "shape"], ["y"], mode=mode, coordinate_transformation_mode="half_pixel"
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 6, *SIZE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 6, *size])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    rewritten = assert_same_map(model)
    assert operators(rewritten) == {"Resize": 1}
    assert numpy_helper.to_array(rewritten.graph.initializer[0]).tolist() == constant
