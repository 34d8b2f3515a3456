"""A tiny scorer, without training: sums of pixels with whole weights, the same bits however they are summed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ganserve.contract.bundle import CARD_KEY
from ganserve.contract.card import to_json
from ganserve.contract.images import Images
from ganserve.contract.scores import quantiles_of
from ganserve.contract.textures import sample_textures
from ganserve.exporter.bundle import Target, write_bundle
from ganserve.v1.bundle_pb2 import Parity
from ganserve.v1.model_pb2 import ImageInput, ImageRole, ImageShape, ModelCard, ModelKind

SHAPE = (6, 5, 3)
CLASSES = ("cat", "dog", "emu")
REALNESS = "realness"
LARGEST_WEIGHT = 8


def make_scorer(
    models: Path,
    parity: Parity,
    name: str = "tiny-classifier",
    *,
    version: int = 1,
    classes: Sequence[str] = CLASSES,
    shape: tuple[int, int, int] = SHAPE,
    has_quantiles: bool = True,
    config: Mapping[str, Any] | None = None,
    change: Callable[[onnx.ModelProto], None] | None = None,
) -> Path:
    """Writes a bundle: a number for all images, then one for each class; every version has weights of its own.

    `change` may alter the graph, whose node `sum` makes `scores`, before it is written.
    """
    card = scorer_card(classes, shape, version=version, has_quantiles=has_quantiles, config=config)
    constants: dict[str, NDArray[Any]] = {
        "rows": np.array([0, -1], np.int64),
        "weights": weights_of(shape, 1 + len(classes), version).astype(np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["floats", "rows"], ["pixels"]),
        helper.make_node("MatMul", ["pixels", "weights"], ["scores"], name="sum"),
    ]
    graph = helper.make_graph(
        nodes,
        "sums",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", *shape])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 1 + len(classes)])],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.metadata_props.add(key=CARD_KEY, value=to_json(card))
    if change is not None:
        change(model)
    onnx.checker.check_model(model, full_check=True)
    target = Target(models=models, name=name, version=version)
    return write_bundle(model.SerializeToString(), card, target, parity)[0]


def scorer_card(
    classes: Sequence[str] = CLASSES,
    shape: tuple[int, int, int] = SHAPE,
    *,
    version: int = 1,
    has_quantiles: bool = True,
    config: Mapping[str, Any] | None = None,
) -> ModelCard:
    """Its card, with quantiles over a hundred textures."""
    height, width, channels = shape
    taken = ImageShape(height=height, width=width, channels=channels)
    card = ModelCard(
        kind=ModelKind.MODEL_KIND_SCORER,
        inputs=[ImageInput(name="image", role=ImageRole.IMAGE_ROLE_IMAGE, shape=taken)],
        architecture="sums",
        loss="none",
    )
    card.training_config.update(config or {})
    real = scores_of(sample_textures(5, 0, 100, shape), 1 + len(classes), version)
    for place, name in enumerate((REALNESS, *classes)):
        quantiles = quantiles_of(real[:, place]) if has_quantiles else ()
        card.scores.add(name=name, of_class=place > 0, quantiles=quantiles)
    return card


def weights_of(shape: tuple[int, int, int], num_scores: int, version: int = 1) -> NDArray[np.int64]:
    """Whole numbers (values of an image, num_scores), whose sums are below 2^24.

    Each second one undoes the one before it, so that no number depends on brightness alone.
    """
    places, columns = np.arange(int(np.prod(shape)))[:, None], np.arange(1, num_scores + 1)
    words = ((places // 2 + 1) * 7919 + columns * 104_729 * version) ** 2 // 1009
    weights: NDArray[np.int64] = words % (LARGEST_WEIGHT + 1) * (-1) ** (places + columns * (places // 2))
    return weights


def scores_of(images: Images, num_scores: int = 1 + len(CLASSES), version: int = 1) -> NDArray[np.float32]:
    """What it gives images uint8 (N, height, width, channels): float32 (N, num_scores)."""
    weights = weights_of(images.shape[1:], num_scores, version)
    return (images.reshape(len(images), -1).astype(np.int64) @ weights).astype(np.float32)


def mix_with_the_batch(model: onnx.ModelProto) -> None:
    """Adds to every number a little of the mean over the batch, less than golden scores may differ by."""
    _then(
        model,
        helper.make_node("ReduceMean", ["sums"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Mul", ["mean", "little"], ["more"]),
        little=np.float32(1e-5),
    )


def forget_the_image(model: onnx.ModelProto) -> None:
    """Gives all images the same numbers."""
    _then(model, helper.make_node("Neg", ["sums"], ["more"]))


def fail_above(bound: float) -> Callable[[onnx.ModelProto], None]:
    """Has ONNX Runtime fail, as it runs, where a first number is above a bound."""

    def change(model: onnx.ModelProto) -> None:
        _then(
            model,
            helper.make_node("Gather", ["sums", "first"], ["firsts"], axis=1),
            helper.make_node("Greater", ["firsts", "bound"], ["is_above"]),
            helper.make_node("Cast", ["is_above"], ["place"], to=TensorProto.INT64),
            helper.make_node("Gather", ["only_place", "place"], ["more"]),
            first=np.array([0], np.int64),
            bound=np.float32(bound),
            only_place=np.zeros(1, np.float32),
        )

    return change


def _then(model: onnx.ModelProto, *nodes: onnx.NodeProto, **constants: Any) -> None:
    """Adds what some nodes make as `more`, perhaps of the `sums`, to the scores."""
    (last,) = (node for node in model.graph.node if node.name == "sum")
    last.output[0] = "sums"
    model.graph.node.extend([*nodes, helper.make_node("Add", ["sums", "more"], ["scores"])])
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
    )
