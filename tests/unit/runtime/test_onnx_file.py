"""Each way in which a file could ask for more than its own graph is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from ganserve.contract.errors import ArtifactError
from ganserve.runtime.onnx_faults import faults
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


def diverged(model: onnx.ModelProto) -> None:
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "weight")
    values = numpy_helper.to_array(weight).copy()
    values[0, 0] = np.nan
    weight.CopyFrom(numpy_helper.from_array(values, "weight"))


def dice(model: onnx.ModelProto) -> None:
    model.graph.node.add(op_type="RandomUniform", output=["x"])


def training_norm(model: onnx.ModelProto) -> None:
    node = model.graph.node.add(op_type="BatchNormalization", output=["x"])
    node.attribute.append(helper.make_attribute("training_mode", 1))


def training_dropout(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "training"))
    model.graph.node.add(op_type="Dropout", input=["x", "", "training"], output=["y"])


def opset_from_before_eval_mode(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 6
    model.graph.node.add(op_type="BatchNormalization", output=["x"])


def statistics_of_the_batch(model: onnx.ModelProto) -> None:
    model.graph.node.add(op_type="BatchNormalization", output=["x", "mean", "variance"])


def scales_of_the_batch(model: onnx.ModelProto) -> None:
    model.graph.node.add(op_type="DynamicQuantizeLinear", output=["x", "scale", "zero"])


def mean_of_the_batch(model: onnx.ModelProto) -> None:
    model.graph.node.add(op_type="MeanVarianceNormalization", output=["x"])


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
        (diverged, "no numbers (NaN), in 'weight'"),
        (dice, "draws random numbers (RandomUniform)"),
        (training_norm, "BatchNormalization as in training"),
        (training_dropout, "Dropout as in training"),
        (opset_from_before_eval_mode, "BatchNormalization as in training"),
        (statistics_of_the_batch, "BatchNormalization as in training"),
        (scales_of_the_batch, "DynamicQuantizeLinear, which mixes all rows"),
        (mean_of_the_batch, "MeanVarianceNormalization, which mixes all rows"),
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


def dropout(training: onnx.TensorProto | None, *, opset: int = 17, is_input: bool = False) -> onnx.ModelProto:
    """y = a Dropout of x, with a training mode that is a constant, or computed from one."""
    constants = [
        numpy_helper.from_array(np.array(0.5, np.float32), "ratio"),
        *([training] if training is not None else []),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N"])]
    if is_input and training is not None:
        inputs.append(helper.make_tensor_value_info(training.name, training.data_type, training.dims))
    fed = [] if opset < 12 else ["ratio", *([training.name] if training is not None else [])]
    graph = helper.make_graph(
        [helper.make_node("Dropout", ["x", *fed], ["y"])],
        "dropout",
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N"])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def computed(training: bool) -> onnx.ModelProto:
    """As if of an older or cleverer exporter: the mode comes out of a node, which nobody follows."""
    model = dropout(numpy_helper.from_array(np.array(not training), "flag"))
    model.graph.node.insert(0, helper.make_node("Not", ["flag"], ["mode"]))
    model.graph.node[1].input[2] = "mode"
    return model


def mode(training: bool) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(training), "mode")


def constant_node(training: bool) -> onnx.ModelProto:
    model = dropout(mode(training))
    del model.graph.initializer[1]
    model.graph.node.insert(0, helper.make_node("Constant", [], ["mode"], value=mode(training)))
    return model


@pytest.mark.parametrize(
    ("model", "is_random", "is_refused"),
    [
        (dropout(None), False, False),
        (dropout(None, opset=7), False, False),
        (dropout(mode(False)), False, False),
        (constant_node(False), False, False),
        (dropout(mode(True)), True, True),
        (constant_node(True), True, True),
        (computed(True), True, True),
        (computed(False), False, True),  # it is fixed, but nobody can tell without running it
        (dropout(mode(False), is_input=True), False, True),  # whoever feeds it may say otherwise
    ],
)
def test_no_dropout_that_is_random_gets_by(model: onnx.ModelProto, is_random: bool, is_refused: bool) -> None:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    ones = np.ones(1000, np.float32)
    first, second = (session.run(["y"], {"x": ones})[0] for _ in range(2))
    assert (first != second).any() == is_random
    assert bool(faults(model)) == is_refused


def test_all_faults_of_a_file_are_told_at_once(tiny_model: onnx.ModelProto) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(tiny_model)
    for spoil in (external_weight, future_opset, control_flow, dice, dice, training_dropout):
        spoil(model)
    with pytest.raises(ArtifactError) as caught:
        read_card(model.SerializeToString(), source="model.onnx")
    first, *reasons = str(caught.value).splitlines()
    assert first == "model.onnx cannot be used, for 5 reasons:"
    assert [reason[:14] for reason in reasons] == [
        "- it uses opse",
        "- it uses cont",
        "- it draws ran",
        "- it holds Dro",
        "- it keeps the",
    ]
