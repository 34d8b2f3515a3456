"""What every component's tests can share: tiny generators, made without training, and real servers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ganserve.contract.bundle import CARD_KEY, MANIFEST_FILE
from ganserve.contract.card import LATENT_SCHEME, image_shape, is_conditional, to_json
from ganserve.contract.manifest import FORMER_FORMAT
from ganserve.exporter.bundle import Target, write_bundle
from ganserve.runtime.lanes import Lanes
from ganserve.v1.bundle_pb2 import Parity
from ganserve.v1.model_pb2 import DatasetFingerprint, ImageShape, ModelCard

from . import warm
from .inference_stub import InferenceStub
from .servers import TIMEOUT_S, RunCommand, ServerProcess, StartServer
from .snippets import run_document as run_whole_document
from .torchlib import table_kept

MakeBundle = Callable[..., Path]
RunDocument = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session", autouse=True)
def _table_of_operators() -> Iterator[None]:
    """Spares exports what they need not do twice."""
    with table_kept():
        yield


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache for all tests and the commands that they start, and not the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANSERVE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def run_document() -> RunDocument:
    """Runs the Python that a document prints, in the folder that the test is in; see `tests/snippets.py`."""
    return run_whole_document


@pytest.fixture(scope="session")
def inference_stub() -> Callable[[Any], Any]:
    """Makes a stub for the Open Inference Protocol over a channel; see `tests/inference_stub.py`."""
    return InferenceStub


@pytest.fixture(scope="session")
def start_server() -> StartServer:
    """Starts servers that end with the `with` statement."""

    @contextmanager
    def start(models: Path | None, *flags: str, program: Sequence[str] | None = None) -> Iterator[ServerProcess]:
        server = ServerProcess(models, *flags, program=program)
        try:
            server.address = server.wait_for(r"serving on ([^\s\"]+)")
            yield server
        finally:
            server.close()

    return start


@pytest.fixture(scope="session")
def run_command() -> RunCommand:
    """Runs `ganserve` with some arguments to its end."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return warm.run_command(list(map(str, arguments)), TIMEOUT_S)

    return run


@pytest.fixture
def lanes() -> Iterator[Lanes]:
    """A single lane of the CPU."""
    with Lanes("cpu", 1) as lanes:
        yield lanes


@pytest.fixture(scope="session")
def tiny_card() -> ModelCard:
    """A conditional generator of 6×5 RGB images with three classes."""
    return ModelCard(
        latent_dim=7,
        image=ImageShape(height=6, width=5, channels=3),
        class_names=["cat", "dog", "emu"],
        architecture="linear",
        loss="none",
        dataset=DatasetFingerprint(name="pets", digest="0" * 64, num_images=12),
        latent_scheme=LATENT_SCHEME,
    )


@pytest.fixture(scope="session")
def tiny_model(tiny_card: ModelCard) -> onnx.ModelProto:
    """Its ONNX graph: a linear map of the latents, shifted by a row of the label's own."""
    return linear_model(tiny_card)


@pytest.fixture(scope="session")
def tiny_parity() -> Parity:
    """What was found, supposedly, when the tiny generator was exported."""
    return Parity(
        dtype="fp32",
        tolerance=1e-4,
        num_images=5,
        max_float_error=1e-6,
        max_levels_off=0,
        num_values=450,
        num_values_off=0,
    )


@pytest.fixture(scope="session")
def make_bundle(tiny_card: ModelCard, tiny_parity: Parity) -> MakeBundle:
    """Writes a bundle of the tiny generator, or of one with another card; every version has weights of its own.

    `change` may alter the graph before it is written.
    """

    def make(
        models: Path,
        name: str = "tiny",
        version: int = 1,
        card: ModelCard = tiny_card,
        change: Callable[[onnx.ModelProto], None] | None = None,
    ) -> Path:
        model = linear_model(card, seed=version)
        if change is not None:
            change(model)
        target = Target(models=models, name=name, version=version)
        return write_bundle(model.SerializeToString(), card, target, tiny_parity)[0]

    return make


@pytest.fixture(scope="session")
def make_picky_bundle(tiny_card: ModelCard, tiny_parity: Parity) -> MakeBundle:
    """Like `make_bundle`, of a generator on which ONNX Runtime fails, as it runs, where the largest latent of a row is
    `Equal` to a bound, or `Greater`.
    """

    def make(models: Path, *, fails_where: str, bound: float) -> Path:
        model = linear_model(tiny_card)
        nodes = model.graph.node
        place = next(place for place, node in enumerate(nodes) if node.op_type == "Add")
        nodes[place].input[0] = "checked"
        for node in reversed(
            (
                helper.make_node("ReduceMax", ["latents", "axes"], ["largest"]),
                helper.make_node(fails_where, ["largest", "bound"], ["is_bad"]),
                helper.make_node("Cast", ["is_bad"], ["row"], to=TensorProto.INT64),
                helper.make_node("Gather", ["only_row", "row"], ["nothing"]),
                helper.make_node("Add", ["mapped", "nothing"], ["checked"]),
            )
        ):
            nodes.insert(place, node)
        constants = {"axes": np.array([1]), "bound": np.float32(bound), "only_row": np.zeros(1, np.float32)}
        model.graph.initializer.extend(
            numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
        )
        return write_bundle(model.SerializeToString(), tiny_card, Target(models=models, name="picky"), tiny_parity)[0]

    return make


@pytest.fixture(scope="session")
def make_former_bundle(make_bundle: MakeBundle) -> MakeBundle:
    """Like `make_bundle`, with a manifest of the format before the present one."""

    def make(models: Path, name: str = "tiny", version: int = 1) -> Path:
        folder = make_bundle(models, name, version)
        content = json.loads((folder / MANIFEST_FILE).read_text())
        del content["checksum"]
        content["format"] = FORMER_FORMAT
        content["signature"] = {
            side: {
                tensor["name"]: {"dtype": tensor["dtype"], "shape": ["batch", *tensor["row_shape"]]}
                for tensor in tensors
            }
            for side, tensors in content["signature"].items()
        }
        content["golden"]["seed"] = int(content["golden"]["seed"])
        for count in ("num_values", "num_values_off"):
            content["parity"][count] = int(content["parity"][count])
        (folder / MANIFEST_FILE).write_text(json.dumps(content, indent=2, sort_keys=True))
        return folder

    return make


def linear_model(card: ModelCard, seed: int = 0) -> onnx.ModelProto:
    """images = pixels(tanh(latents · weight + bias[label]))."""
    rng = np.random.default_rng(seed)
    height, width, channels = image_shape(card)
    num_values = height * width * channels
    conditional = is_conditional(card)
    constants = {
        "weight": rng.standard_normal((card.latent_dim, num_values)).astype(np.float32) * 0.3,
        "bias": rng.standard_normal((max(1, len(card.class_names)), num_values)).astype(np.float32) * 0.3,
        "scale": np.float32(127.5),
        "offset": np.float32(128.0),
        "low": np.float32(0.0),
        "high": np.float32(255.0),
        "shape": np.array([-1, height, width, channels], np.int64),
    }
    nodes = [
        helper.make_node("MatMul", ["latents", "weight"], ["mapped"]),
        *([helper.make_node("Gather", ["bias", "labels"], ["shift"])] if conditional else []),
        helper.make_node("Add", ["mapped", "shift" if conditional else "bias"], ["shifted"]),
        helper.make_node("Tanh", ["shifted"], ["floats"]),
        helper.make_node("Mul", ["floats", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["moved"]),
        helper.make_node("Clip", ["moved", "low", "high"], ["clipped"]),
        helper.make_node("Cast", ["clipped"], ["levels"], to=TensorProto.UINT8),
        helper.make_node("Reshape", ["levels", "shape"], ["images"]),
    ]
    labels = [helper.make_tensor_value_info("labels", TensorProto.INT64, ["batch"])] if conditional else []
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("latents", TensorProto.FLOAT, ["batch", card.latent_dim]), *labels],
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", height, width, channels])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    model.metadata_props.add(key=CARD_KEY, value=to_json(card))
    return model
