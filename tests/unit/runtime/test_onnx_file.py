"""Each way in which a file could ask for more than its own graph is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ganserve.contract.errors import ArtifactError
from ganserve.runtime.onnx_file import read_card
from ganserve.v1.model_pb2 import ModelCard

Spoil = Callable[[onnx.ModelProto], None]


def test_a_good_file_gives_its_card(tiny_model: onnx.ModelProto, tiny_card: ModelCard) -> None:
    assert read_card(tiny_model.SerializeToString(), source="m") == tiny_card


def external_weight(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def external_attribute(model: onnx.ModelProto) -> None:
    node = model.graph.node.add(op_type="Constant", output=["c"])
    tensor = numpy_helper.from_array(np.zeros(3, np.float32), "hidden")
    tensor.external_data.add(key="location", value="weights.bin")
    node.attribute.append(helper.make_attribute("value", tensor))


def custom_domain(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.example", 1))


def custom_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.example"


def function(model: onnx.ModelProto) -> None:
    model.functions.add(name="f", domain="local")


def control_flow(model: onnx.ModelProto) -> None:
    node = model.graph.node.add(op_type="If", output=["x"])
    node.attribute.append(helper.make_attribute("then_branch", helper.make_graph([], "then", [], [])))


def future_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 1000


def future_ir(model: onnx.ModelProto) -> None:
    model.ir_version = 1000


def no_opset(model: onnx.ModelProto) -> None:
    del model.opset_import[:]


def two_opsets(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("ai.onnx", 19))


def unknown_weights(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_type = 999


def dice(model: onnx.ModelProto) -> None:
    model.graph.node.add(op_type="RandomUniform", output=["x"])


def training_norm(model: onnx.ModelProto) -> None:
    node = model.graph.node.add(op_type="BatchNormalization", output=["x"])
    node.attribute.append(helper.make_attribute("training_mode", 1))


def no_text(model: onnx.ModelProto) -> None:
    model.graph.node.add().MergeFromString(b"\x1a\x02\xff\xfe")


def no_card(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def two_cards(model: onnx.ModelProto) -> None:
    model.metadata_props.append(model.metadata_props[0])


def wrong_latent_size(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 8


def frozen_batch(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2


def wrong_output_type(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT


def no_labels(model: onnx.ModelProto) -> None:
    del model.graph.input[1]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (external_weight, "in another file"),
        (external_attribute, "in another file"),
        (custom_domain, "domain 'com.example'"),
        (custom_operator, "com.example.MatMul"),
        (function, "functions"),
        (control_flow, "control flow"),
        (future_opset, "opset 1000"),
        (future_ir, "IR version 1000"),
        (no_opset, "names 0 opsets"),
        (two_opsets, "names 2 opsets"),
        (unknown_weights, "unknown type 999"),
        (dice, "RandomUniform as in training"),
        (training_norm, "BatchNormalization as in training"),
        (no_text, "not UTF-8"),
        (no_card, "no model card"),
        (two_cards, "no model card"),
        (wrong_latent_size, "signature"),
        (frozen_batch, "signature"),
        (wrong_output_type, "signature"),
        (no_labels, "signature"),
    ],
)
def test_files_that_are_not_plain_generators_are_refused(
    tiny_model: onnx.ModelProto, spoil: Spoil, message: str
) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(tiny_model)
    spoil(model)
    with pytest.raises(ArtifactError, match="m") as caught:
        read_card(model.SerializeToString(), source="models/tiny/1/model.onnx")
    assert message in str(caught.value)
    assert "models/tiny/1/model.onnx" in str(caught.value)


@pytest.mark.parametrize("keep", [0, 1, 50, -10])
def test_torn_files_are_refused(tiny_model: onnx.ModelProto, keep: int) -> None:
    with pytest.raises(ArtifactError):
        read_card(tiny_model.SerializeToString()[:keep], source="m")
