"""The choices that an export leaves: arithmetic, operators, tolerance, checkpoint, time."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from ganserve.contract.bundle import Dtype
from ganserve.contract.errors import ArtifactError, ConfigError, ParityError
from ganserve.contract.manifest import read_manifest
from ganserve.exporter import Export, Target, export, export_run, pipeline
from ganserve.exporter.onnx_graph import to_onnx
from ganserve.exporter.tolerance import TOLERANCES, Tolerance
from ganserve.runtime.device import Device
from ganserve.training import TrainingConfig, training_from_config
from ganserve.training.config import Architecture
from ganserve.training.networks import ImageShape, build_generator
from ganserve.v1.model_pb2 import ModelCard

DEVICES: tuple[Device, ...] = ("cpu", "cuda")


@pytest.fixture(scope="module")
def card(tiny_card: ModelCard) -> ModelCard:
    card = ModelCard()
    card.CopyFrom(tiny_card)
    card.image.height, card.image.width = 12, 10
    return card


@pytest.fixture(scope="module")
def generator(lived_in: Callable[[nn.Module], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return lived_in(build_generator("dcgan", ImageShape(12, 10, 3), latent_dim=7, num_classes=3, base_width=4))


@pytest.fixture(scope="module")
def in_fp32(generator: nn.Module, card: ModelCard, tmp_path_factory: pytest.TempPathFactory) -> Export:
    return export(generator, card, Target(models=tmp_path_factory.mktemp("models"), name="pets"))


@pytest.fixture(scope="module")
def in_fp16(generator: nn.Module, card: ModelCard, tmp_path_factory: pytest.TempPathFactory) -> Export:
    return export(generator, card, Target(models=tmp_path_factory.mktemp("models"), name="pets"), dtype="fp16")


def operators(result: Export) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(result.folder / "model.onnx").graph.node)


def test_the_graph_holds_no_more_than_the_generator(in_fp32: Export) -> None:
    assert operators(in_fp32) == {
        "Gather": 1,
        "Concat": 1,
        "Gemm": 1,
        "Reshape": 1,
        "BatchNormalization": 1,  # of the dense layer, which ONNX has no way to fold
        "Relu": 2,
        "ConvTranspose": 2,  # the last one is a convolution to three channels, in a faster form
        "Tanh": 1,
        "Mul": 1,
        "Add": 1,
        "Clip": 1,
        "Cast": 1,
        "Transpose": 1,
    }


def test_for_cuda_layers_are_as_pytorch_has_them(
    generator: nn.Module, card: ModelCard, tmp_path: Path, in_fp32: Export, in_fp16: Export
) -> None:
    plain = export(generator, card, Target(models=tmp_path, name="pets"), device="cuda")
    assert operators(plain) == operators(in_fp16) - Counter(Cast=2)
    for_cpu = export(generator, card, Target(models=tmp_path, name="half"), dtype="fp16", device="cpu")
    assert operators(for_cpu) == operators(in_fp32) + Counter(Cast=2)


@pytest.mark.parametrize(
    ("arch", "added", "removed"),
    [
        (  # two layers that double the size, and a convolution to three channels
            "dcgan",
            {"Conv": 7, "Unsqueeze": 8, "Concat": 6, "Reshape": 2},
            {"ConvTranspose": 1},
        ),
        (  # two blocks that begin with upsampling and a convolution
            "resnet",
            {"Conv": 5, "ConvTranspose": 1, "Unsqueeze": 8, "Concat": 6, "Reshape": 2},
            {"Resize": 2},
        ),
        ("r3gan", {"ConvTranspose": 1}, {"Conv": 1}),
    ],
)
def test_layers_take_the_form_that_a_cpu_is_fast_at(
    tiny_card: ModelCard, arch: Architecture, added: dict[str, int], removed: dict[str, int]
) -> None:
    generator = build_generator(arch, ImageShape(16, 16, 3), latent_dim=7, num_classes=3, base_width=16).eval()
    models = {device: onnx.load_from_string(to_onnx(generator, tiny_card, device=device).model) for device in DEVICES}
    counts = {device: Counter(node.op_type for node in model.graph.node) for device, model in models.items()}
    assert counts["cpu"] - counts["cuda"] == added
    assert counts["cuda"] - counts["cpu"] == removed
    assert "Shape" not in counts["cpu"] + counts["cuda"]


def test_fp16_adds_two_casts_and_halves_the_weights(in_fp32: Export, in_fp16: Export) -> None:
    as_pytorch_has_it = operators(in_fp32) - Counter(ConvTranspose=1) + Counter(Conv=1)
    assert operators(in_fp16) - as_pytorch_has_it == {"Cast": 2}
    assert not as_pytorch_has_it - operators(in_fp16)
    dtypes = Counter(tensor.data_type for tensor in onnx.load(in_fp16.folder / "model.onnx").graph.initializer)
    assert dtypes[onnx.TensorProto.FLOAT16] > dtypes[onnx.TensorProto.FLOAT]
    parity = in_fp16.manifest.parity
    assert (parity.dtype, parity.tolerance) == ("fp16", 2e-2)
    assert 1e-6 < parity.max_float_error < 1e-2
    assert in_fp16.manifest.signature == in_fp32.manifest.signature


def test_exporting_in_fp16_leaves_the_generator_as_it_was(generator: nn.Module, in_fp16: Export) -> None:
    assert in_fp16.folder.is_dir()
    assert {parameter.dtype for parameter in generator.parameters()} == {torch.float32}


@pytest.mark.parametrize("opset", [18, 21, 23])
def test_the_opset_is_the_one_asked_for(
    generator: nn.Module, card: ModelCard, tmp_path: Path, in_fp32: Export, opset: int
) -> None:
    result = export(generator, card, Target(models=tmp_path, name="pets"), opset=opset)
    assert [entry.version for entry in onnx.load(result.folder / "model.onnx").opset_import] == [opset]
    assert result.manifest.golden == in_fp32.manifest.golden


@pytest.mark.parametrize("opset", [0, 17, 24])
def test_opsets_that_pytorch_does_not_write_are_refused(
    generator: nn.Module, card: ModelCard, tmp_path: Path, opset: int
) -> None:
    with pytest.raises(ConfigError, match=f"--opset is {opset}; PyTorch exports to 18 to 23"):
        export(generator, card, Target(models=tmp_path, name="pets"), opset=opset)


@pytest.mark.parametrize(
    ("atol", "error", "message"),
    [
        (1e-12, ParityError, "more than --atol 1e-12"),
        (0.0, ConfigError, "positive"),
        (2.0, ConfigError, "below 2"),
    ],
)
def test_the_tolerance_is_the_callers(
    generator: nn.Module, card: ModelCard, tmp_path: Path, atol: float, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        export(generator, card, Target(models=tmp_path / "models", name="pets"), atol=atol)
    assert not (tmp_path / "models").exists()


class Untraceable(nn.Module):
    """Decides by its latents."""

    def forward(self, z: Tensor, _labels: Tensor | None = None) -> Tensor:
        return z.new_zeros(len(z), 3, 6, 5) if bool(z.sum() > 0) else z.new_ones(len(z), 3, 6, 5)


def test_models_that_are_no_folder_are_refused_at_once(generator: nn.Module, card: ModelCard, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("")
    with pytest.raises(ArtifactError, match=r"--models .*models is not a folder; give another"):
        export(generator, card, Target(models=tmp_path / "models", name="pets"))


def test_a_graph_that_no_file_holds_is_refused(
    generator: nn.Module, card: ModelCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "MAX_FILE_BYTES", 2**12)
    with pytest.raises(ConfigError, match=r"the graph has 0\.0 GiB, and an ONNX file holds less than"):
        export(generator, card, Target(models=tmp_path, name="pets"))
    assert not list(tmp_path.iterdir())


def test_a_generator_that_cannot_be_traced_is_named_in_a_line(tiny_card: ModelCard, tmp_path: Path) -> None:
    expected = "PyTorch cannot export the generator in fp32 at opset 20: its forward branches on values of tensors"
    with pytest.raises(ConfigError, match=expected) as caught:
        export(Untraceable(), tiny_card, Target(models=tmp_path, name="pets"))
    assert "\n" not in str(caught.value)


class Square(nn.Module):
    """Images of 6×6 that differ from their mirror image in the diagonal."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(7, 3 * 6 * 6)

    def forward(self, z: Tensor, _labels: Tensor | None = None) -> Tensor:
        return torch.tanh(self.linear(z)).reshape(-1, 3, 6, 6)


class Transposed(Square):
    """The same with rows and columns exchanged, which no shape tells."""

    def forward(self, z: Tensor, _labels: Tensor | None = None) -> Tensor:
        return super().forward(z).transpose(2, 3)


def test_exchanged_rows_and_columns_are_caught_where_no_shape_tells(
    tiny_card: ModelCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    square_card = ModelCard()
    square_card.CopyFrom(tiny_card)
    square_card.image.width = 6
    del square_card.class_names[:]
    torch.manual_seed(0)
    generator, wrong = Square(), Transposed()
    wrong.load_state_dict(generator.state_dict())
    monkeypatch.setattr(pipeline, "to_onnx", lambda _, *others, **options: to_onnx(wrong.eval(), *others, **options))
    with pytest.raises(ParityError, match="a float differs"):
        export(generator, square_card, Target(models=tmp_path / "models", name="pets"))
    assert not (tmp_path / "models").exists()


def test_the_same_generator_gives_the_same_files(
    generator: nn.Module,
    card: ModelCard,
    tmp_path: Path,
    in_fp32: Export,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    again = export(generator, card, Target(models=tmp_path, name="pets")).folder
    names = sorted(path.name for path in again.iterdir())
    assert names == sorted(path.name for path in in_fp32.folder.iterdir())
    for name in names:
        assert (again / name).read_bytes() == (in_fp32.folder / name).read_bytes(), name
        assert (again / name).stat().st_mtime == 1700000000
    assert again.stat().st_mtime == 1700000000


@pytest.mark.parametrize("text", ["yesterday", "-1", "99999999999999999999"])
def test_a_time_that_is_none_is_refused(
    generator: nn.Module, card: ModelCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    with pytest.raises(ConfigError, match=f"SOURCE_DATE_EPOCH is '{text}'"):
        export(generator, card, Target(models=tmp_path / "models", name="pets"))
    assert not (tmp_path / "models").exists()


def test_checkpoints_are_chosen_by_name_or_by_file(tmp_path: Path) -> None:
    run = tmp_path / "run"
    training_from_config(
        TrainingConfig(data="digits", out=run, arch="mlp", base_width=4, steps=2, batch_size=8, evaluate_every=0)
    )
    last = run / "checkpoints" / "last.safetensors"
    elsewhere = shutil.copy(last, tmp_path / "kept.safetensors")
    models = tmp_path / "models"
    by_name = export_run(run, Target(models=models, name="a"), checkpoint="last")
    by_file = export_run(run, Target(models=models, name="a"), checkpoint=Path(elsewhere))
    assert by_name.digest == by_file.digest
    assert [by_name.manifest.version, by_file.manifest.version] == [1, 2]
    with pytest.raises(ArtifactError, match="best"):
        export_run(run, Target(models=models, name="a"), checkpoint="best")
    with pytest.raises(ArtifactError, match=r"nowhere\.safetensors"):
        export_run(run, Target(models=models, name="a"), checkpoint=tmp_path / "nowhere.safetensors")
    assert str(Path.cwd()).encode() not in (by_name.folder / "model.onnx").read_bytes()
    assert read_manifest(by_name.folder) == by_name.manifest
    assert np.isfinite(by_name.manifest.parity.max_float_error)


class Cancelling(Square):
    """The small difference of two large sums, in which half precision loses much."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Linear(7, 3 * 6 * 6)
        with torch.no_grad():
            large = torch.rand_like(self.linear.weight) * 4
            self.other.weight.copy_(self.linear.weight * 0.3 - large)
            self.linear.weight.copy_(large)

    def forward(self, z: Tensor, _labels: Tensor | None = None) -> Tensor:
        return torch.tanh(self.linear(z) + self.other(z)).reshape(-1, 3, 6, 6)


def test_values_that_rounding_moves_are_refused_with_a_tolerance_that_takes_them(
    tiny_card: ModelCard, tmp_path: Path
) -> None:
    card = ModelCard()
    card.CopyFrom(tiny_card)
    card.image.width = 6
    del card.class_names[:]
    torch.manual_seed(0)
    generator, target = Cancelling(), Target(models=tmp_path, name="pets")
    with pytest.raises(ParityError, match=r"so it is rounding: take it with --atol 0\.025, or export with") as caught:
        export(generator, card, target, dtype="fp16")
    assert re.search(
        r"[\d,]+ of 7,992 values differ by a level or more: \d+.\d\d%, and at most 5.0%", str(caught.value)
    )
    result = export(generator, card, target, dtype="fp16", atol=0.025)
    assert result.manifest.parity.num_values_off > 0.05 * result.manifest.parity.num_values
    assert result.manifest.parity.max_levels_off <= 4


@pytest.mark.parametrize("share_off", [0.0011, 0.02, 0.2, 0.9])
@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
def test_the_tolerance_that_is_named_suffices(dtype: Dtype, share_off: float) -> None:
    named = TOLERANCES[dtype].taking(share_off)
    tolerance = Tolerance.within(named, dtype)
    assert tolerance.share_off >= share_off
    assert TOLERANCES[dtype].floats < tolerance.floats < 0.03
