from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper
from PIL import Image
from torch import Tensor, nn

from ganserve.contract import card as model_card
from ganserve.contract.bundle import CARD_KEY, sha256
from ganserve.contract.errors import ArtifactError, ConfigError, ParityError
from ganserve.contract.images import cut_grid
from ganserve.contract.labels import sample_labels
from ganserve.contract.latents import sample_latents
from ganserve.contract.manifest import read_manifest
from ganserve.exporter import Export, ExportWarning, Licences, Target, bundle, export, export_run, onnx_graph, pipeline
from ganserve.exporter.onnx_graph import OnnxGraph, to_onnx
from ganserve.v1.generator_pb2 import LabelPolicy
from ganserve.v1.model_pb2 import ModelCard

ExportAgain = Callable[..., Export]
LiveIn = Callable[[nn.Module], nn.Module]


class TinyGenerator(nn.Module):
    """Images of 6×5 from seven latents, and a class where there are any."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_classes, 4) if num_classes else None
        self.project = nn.Linear(7 + (4 if num_classes else 0), 8 * 3 * 3)
        self.layers = nn.Sequential(
            nn.BatchNorm2d(8), nn.ReLU(), nn.ConvTranspose2d(8, 6, 4, 2, 1), nn.BatchNorm2d(6), nn.ReLU()
        )
        self.to_pixels = nn.Conv2d(6, 3, 3, padding=1)

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        if self.embedding is not None and labels is not None:
            z = torch.cat([z, self.embedding(labels)], dim=1)
        features = self.layers(self.project(z).unflatten(1, (8, 3, 3)))
        return torch.tanh(self.to_pixels(features))[..., :5]


@pytest.fixture(scope="module", params=["conditional", "unconditional"])
def card(request: pytest.FixtureRequest, tiny_card: ModelCard) -> ModelCard:
    card = ModelCard()
    card.CopyFrom(tiny_card)
    if request.param == "unconditional":
        del card.class_names[:]
    return card


@pytest.fixture(scope="module")
def generator(card: ModelCard, lived_in: LiveIn) -> nn.Module:
    torch.manual_seed(0)
    return lived_in(TinyGenerator(len(card.class_names)))


@pytest.fixture(scope="module")
def graph(generator: nn.Module, card: ModelCard) -> OnnxGraph:
    return to_onnx(generator, card)


@pytest.fixture(scope="module")
def exported(generator: nn.Module, card: ModelCard, tmp_path_factory: pytest.TempPathFactory) -> Export:
    return export(generator, card, Target(models=tmp_path_factory.mktemp("models"), name="pets"))


@pytest.fixture
def export_again(
    monkeypatch: pytest.MonkeyPatch, generator: nn.Module, card: ModelCard, graph: OnnxGraph
) -> ExportAgain:
    """Exports the same generator without tracing it anew."""
    monkeypatch.setattr(pipeline, "to_onnx", lambda *_, **__: graph)
    return lambda models, name="pets", **options: export(generator, card, Target(models=models, name=name, **options))


def test_a_bundle_is_complete_and_describes_itself(exported: Export, card: ModelCard) -> None:
    result = exported
    assert (result.folder.parent.name, result.folder.name) == ("pets", "1")
    assert sorted(path.name for path in result.folder.iterdir()) == [
        "README.md",
        "manifest.json",
        "model.onnx",
        "samples.png",
    ]
    manifest = read_manifest(result.folder)
    assert manifest == result.manifest
    for name, entry in manifest.files.items():
        data = (result.folder / name).read_bytes()
        assert (entry.sha256, entry.size_bytes) == (sha256(data), len(data))
    proto = onnx.load(result.folder / "model.onnx")
    embedded = {entry.key: entry.value for entry in proto.metadata_props}[CARD_KEY]
    assert model_card.from_json(embedded, source="model.onnx") == card
    assert "pets, version 1" in (result.folder / "README.md").read_text()
    assert sorted(path.name for path in result.folder.parent.iterdir()) == ["1", "config.pbtxt"]


def test_what_was_found_wrong_is_said_again(
    generator: nn.Module, card: ModelCard, exported: Export, tmp_path: Path
) -> None:
    doubtful = ModelCard()
    doubtful.CopyFrom(card)
    doubtful.warnings.append("samples are all alike")
    with pytest.warns(ExportWarning, match="samples are all alike"):
        result = export(generator, doubtful, Target(models=tmp_path, name="pets"))
    assert result.warnings == ("samples are all alike",)
    assert "> **Warning:** samples are all alike\n" in (result.folder / "README.md").read_text()
    assert "Warning" not in (exported.folder / "README.md").read_text()


def test_golden_samples_are_what_plain_onnxruntime_makes(exported: Export, card: ModelCard) -> None:
    folder = exported.folder
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    inputs: dict[str, Any] = {"latents": sample_latents(0, 0, 64, card.latent_dim)}
    if card.class_names:
        inputs["labels"] = sample_labels(LabelPolicy(), card.class_names, 0, 0, 64)
    (images,) = session.run(None, inputs)
    golden = read_manifest(folder).golden
    assert [sha256(image.tobytes()) for image in images] == golden.sha256
    grid = np.asarray(Image.open(folder / "samples.png"))
    np.testing.assert_array_equal(cut_grid(grid, 64, 6, 5), images)


def test_parity_compares_every_batch_size_with_every_label(exported: Export, card: ModelCard) -> None:
    labels = [*range(len(card.class_names)), None]
    expected = [(batch_size, label) for batch_size in (1, 2, 7, 64) for label in labels]
    assert [(comparison.batch_size, comparison.label) for comparison in exported.comparisons] == expected
    parity = exported.manifest.parity
    assert parity.num_images == (1 + 2 + 7 + 64) * len(labels)
    assert parity.max_float_error < 1e-5
    assert (parity.dtype, parity.tolerance, parity.max_levels_off) == ("fp32", 1e-4, 0)


def spoil(graph: OnnxGraph, change: Callable[[onnx.ModelProto], None]) -> OnnxGraph:
    def spoilt(model: bytes) -> bytes:
        proto = onnx.ModelProto.FromString(model)
        change(proto)
        return proto.SerializeToString()

    return OnnxGraph(model=spoilt(graph.model), model_with_floats=spoilt(graph.model_with_floats))


def initializer(proto: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(tensor for tensor in proto.graph.initializer if tensor.name == name)


def last_kernel(proto: onnx.ModelProto) -> onnx.TensorProto:
    """(in, out, height, width)."""
    last = [node for node in proto.graph.node if node.op_type == "ConvTranspose"][-1]
    return initializer(proto, last.input[1])


def change_one_weight(proto: onnx.ModelProto) -> None:
    tensor = last_kernel(proto)
    values = numpy_helper.to_array(tensor).copy()
    values[0, 0, 1, 1] += 0.05
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def swap_two_channels(proto: onnx.ModelProto) -> None:
    tensor = last_kernel(proto)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor)[:, [1, 0, 2]], tensor.name))


def round_down(proto: onnx.ModelProto) -> None:
    for tensor in proto.graph.initializer:
        if tensor.dims == [] and numpy_helper.to_array(tensor) == 128.0:
            tensor.CopyFrom(numpy_helper.from_array(np.array(127.5, np.float32), tensor.name))


def freeze_the_batch_axis(proto: onnx.ModelProto) -> None:
    node = next(node for node in proto.graph.node if node.op_type == "Reshape")
    tensor = initializer(proto, node.input[1])
    tensor.CopyFrom(numpy_helper.from_array(np.array([2, 8, 3, 3]), tensor.name))


def declare_a_frozen_batch_axis(proto: onnx.ModelProto) -> None:
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2


def add_an_operator_of_its_own(proto: onnx.ModelProto) -> None:
    proto.opset_import.append(helper.make_opsetid("com.example", 1))


def turn_the_images(proto: onnx.ModelProto) -> None:
    node = next(node for node in proto.graph.node if node.op_type == "Transpose")
    node.attribute[0].CopyFrom(helper.make_attribute("perm", [0, 3, 2, 1]))
    axes = proto.graph.output[0].type.tensor_type.shape.dim
    axes[1].dim_value, axes[2].dim_value = axes[2].dim_value, axes[1].dim_value


def transpose_the_layout(proto: onnx.ModelProto) -> None:
    node = next(node for node in proto.graph.node if node.op_type == "Transpose")
    node.attribute[0].CopyFrom(helper.make_attribute("perm", [0, 3, 2, 1]))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (change_one_weight, ParityError, "a float differs"),
        (swap_two_channels, ParityError, "a float differs"),
        (transpose_the_layout, ArtifactError, "not valid ONNX"),
        (turn_the_images, ArtifactError, "signature"),
        (freeze_the_batch_axis, ParityError, "batch of 1.*cannot run"),
        (declare_a_frozen_batch_axis, ArtifactError, "signature"),
        (add_an_operator_of_its_own, ArtifactError, "com.example"),
        (round_down, ParityError, "differ by a level.*the step to pixels is another one"),
    ],
)
def test_a_wrong_export_is_caught_and_leaves_nothing(
    generator: nn.Module,
    card: ModelCard,
    graph: OnnxGraph,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[onnx.ModelProto], None],
    error: type[ArtifactError],
    message: str,
) -> None:
    monkeypatch.setattr(pipeline, "to_onnx", lambda *_, **__: spoil(graph, change))
    with pytest.raises(error, match=message):
        export(generator, card, Target(models=tmp_path / "models", name="pets"))
    assert not (tmp_path / "models").exists()


def test_the_same_generator_gives_the_same_bytes(generator: nn.Module, card: ModelCard, graph: OnnxGraph) -> None:
    assert to_onnx(generator, card).model == graph.model


def test_the_file_tells_nothing_of_the_machine(graph: OnnxGraph) -> None:
    assert str(Path(onnx_graph.__file__).parents[3]).encode() not in graph.model
    assert b".py" not in graph.model
    assert b"Traceback" not in graph.model


def test_the_graph_is_plain(graph: OnnxGraph, card: ModelCard) -> None:
    proto = onnx.ModelProto.FromString(graph.model)
    assert [(opset.domain, opset.version) for opset in proto.opset_import] == [("", 20)]
    assert not proto.functions
    assert [node.op_type for node in proto.graph.node][-5:] == ["Mul", "Add", "Clip", "Cast", "Transpose"]
    assert [value.name for value in proto.graph.output] == ["images"]
    assert len(proto.graph.input) == (2 if card.class_names else 1)


def test_versions_count_up_and_are_never_overwritten_unasked(export_again: ExportAgain, tmp_path: Path) -> None:
    assert [export_again(tmp_path).manifest.version for _ in range(2)] == [1, 2]
    assert export_again(tmp_path, version=7).manifest.version == 7
    assert export_again(tmp_path).manifest.version == 8
    kept = tmp_path / "pets" / "7" / "manifest.json"
    before = kept.read_bytes()
    with pytest.raises(ConfigError, match="exists; take another --version"):
        export_again(tmp_path, version=7)
    assert kept.read_bytes() == before
    export_again(tmp_path, version=7, force=True, licences=Licences(weights="cc0-1.0"))
    assert read_manifest(kept.parent).licences == Licences(weights="cc0-1.0", data="unknown")
    assert sorted(path.name for path in kept.parent.parent.iterdir()) == ["1", "2", "7", "8", "config.pbtxt"]


def test_a_failing_export_leaves_no_half_written_bundle(
    export_again: ExportAgain, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle, "write_manifest", fail)
    with pytest.raises(ArtifactError, match="No space left on device"):
        export_again(tmp_path)
    assert list((tmp_path / "pets").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "version", "message"), [("Bad Name", None, "is no model name"), ("pets", 0, "give 1 to")]
)
def test_bad_names_and_versions_are_refused(
    export_again: ExportAgain, tmp_path: Path, name: str, version: int | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        export_again(tmp_path / "models", name, version=version)
    assert not (tmp_path / "models").exists()


def test_a_run_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="nowhere"):
        export_run(tmp_path / "nowhere", Target(models=tmp_path / "models", name="pets"))
