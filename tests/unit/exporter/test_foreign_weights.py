"""Weights that lie beside an ONNX file, as PyTorch's exporter writes them unless told otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from ganserve.contract.errors import ArtifactError
from ganserve.contract.latents import sample_latents
from ganserve.exporter import Convention, Target, import_onnx

SIDE, LATENT_DIM = 6, 8
DATA = "foreign.onnx.data"


class Tiny(nn.Module):
    """A dense layer of enough weights to be put beside the file."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(LATENT_DIM, 3 * SIDE * SIDE)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.dense(z)).view(z.shape[0], 3, SIDE, SIDE)


def test_what_pytorch_exports_by_default_comes_in_as_one_file(
    tmp_path: Path, export_to: Callable[..., Path], run_bundle: Callable[..., np.ndarray]
) -> None:
    generator = Tiny()
    path = export_to(tmp_path / "foreign.onnx", generator, torch.zeros(1, LATENT_DIM))
    assert (tmp_path / DATA).is_file()
    result = import_onnx(path, Target(models=tmp_path / "models", name="foreign"), Convention())
    (tmp_path / DATA).unlink()
    latents = sample_latents(0, 0, 5, LATENT_DIM)
    with torch.inference_mode():
        floats = generator(torch.from_numpy(latents)).permute(0, 2, 3, 1).numpy()
    off = np.abs(run_bundle(result.folder, latents=latents).astype(int) - np.floor(floats * 127.5 + 128))
    assert off.max() <= 1
    assert not any(path.name.endswith(".data") for path in result.folder.iterdir())


def save(folder: Path) -> onnx.ModelProto:
    """Writes a generator whose one weight lies in a file of its own, and gives the model without it."""
    weight = np.random.default_rng(0).standard_normal((LATENT_DIM, 3 * SIDE * SIDE)).astype(np.float32)
    (folder / DATA).write_bytes(b"before" + weight.tobytes() + b"after")
    tensor = TensorProto(
        name="weight", data_type=TensorProto.FLOAT, dims=weight.shape, data_location=TensorProto.EXTERNAL
    )
    for key, value in (("location", DATA), ("offset", "6"), ("length", str(weight.nbytes))):
        tensor.external_data.add(key=key, value=value)
    shape = numpy_helper.from_array(np.array([-1, 3, SIDE, SIDE]), "shape")
    nodes = [
        helper.make_node("MatMul", ["z", "weight"], ["mapped"]),
        helper.make_node("Tanh", ["mapped"], ["tanh"]),
        helper.make_node("Reshape", ["tanh", "shape"], ["images"]),
    ]
    inputs = [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", LATENT_DIM])]
    outputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])]
    graph = helper.make_graph(nodes, "foreign", inputs, outputs, [tensor, shape])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def tell(model: onnx.ModelProto, **entries: str) -> None:
    """Changes what the file says of where its weight lies."""
    for entry in model.graph.initializer[0].external_data:
        entry.value = entries.get(entry.key, entry.value)


def importing(model: onnx.ModelProto, folder: Path) -> None:
    (folder / "foreign.onnx").write_bytes(model.SerializeToString())
    import_onnx(folder / "foreign.onnx", Target(models=folder / "models", name="foreign"), Convention())


@pytest.mark.parametrize("location", [DATA, f"./{DATA}"])
def test_a_weight_within_a_file_is_found(tmp_path: Path, location: str) -> None:
    model = save(tmp_path)
    tell(model, location=location)
    importing(model, tmp_path)


@pytest.mark.parametrize(
    "location", ["../secret", "/etc/passwd", "sub/secret", "", ".", "..", "C:secret", "..\\s", "a\0b"]
)
def test_files_outside_of_its_folder_are_not_read(tmp_path: Path, location: str) -> None:
    model = save(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "secret").write_bytes((tmp_path / DATA).read_bytes())
    tell(model, location=location)
    with pytest.raises(ArtifactError, match="read from its own folder alone") as caught:
        importing(model, tmp_path)
    assert "cannot be used" not in str(caught.value)  # one reason, not two of the same


@pytest.mark.parametrize("kind", ["link", "folder", "missing"])
def test_only_a_regular_file_is_read(tmp_path: Path, kind: str) -> None:
    model = save(tmp_path)
    (tmp_path / DATA).rename(tmp_path / "elsewhere")
    if kind == "link":
        (tmp_path / DATA).symlink_to(tmp_path / "elsewhere")
    elif kind == "folder":
        (tmp_path / DATA).mkdir()
    with pytest.raises(ArtifactError, match="copy both files" if kind == "missing" else "regular file"):
        importing(model, tmp_path)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"offset": "12"}, "too short to hold it"),
        ({"offset": "100"}, "too short to hold it"),
        ({"offset": "9" * 30}, "cannot be its own"),
        ({"offset": "-1"}, "cannot be its own"),
        ({"offset": "six"}, "cannot be its own"),
        ({"length": "12"}, "cannot be its own"),
    ],
)
def test_places_that_are_not_in_the_file_are_refused(tmp_path: Path, entries: dict[str, str], message: str) -> None:
    model = save(tmp_path)
    tell(model, **entries)
    with pytest.raises(ArtifactError, match=message):
        importing(model, tmp_path)


def test_a_weight_larger_than_any_file_is_refused_unread(tmp_path: Path) -> None:
    model = save(tmp_path)
    model.graph.initializer[0].dims[0] = 2**40
    tell(model, length=str(2**40 * 3 * SIDE * SIDE * 4))
    with pytest.raises(ArtifactError, match="more than 2 GiB"):
        importing(model, tmp_path)
    model.graph.initializer[0].dims[0] = -1
    with pytest.raises(ArtifactError, match="negative size"):
        importing(model, tmp_path)
