"""Public architectures from images to images: exported both ways, imported, and run as PyTorch runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ganserve.client import LocalGenerator
from ganserve.contract.card import image_shape
from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.contract.images import Images
from ganserve.contract.latents import sample_latents
from ganserve.contract.textures import sample_textures
from ganserve.exporter import Export, Target
from ganserve.exporter.foreign import Convention, import_onnx
from ganserve.runtime.inspection import inspect_bundle

from .public_translators import TRANSLATORS

SIZE = 32
TILED = {"srresnet": 2, "rrdb": 4, "inpainter": 1, "dncnn": 1}
"""Those that see no further than some pixels, and their scales."""


def inputs_of(name: str, height: int = SIZE, width: int = SIZE) -> dict[str, Tensor]:
    channels = 1 if name == "dncnn" else 3
    inputs = {"image": torch.zeros(2, channels, height, width)}
    return inputs | {"mask": torch.zeros(2, 1, height, width)} if name == "inpainter" else inputs


def export(name: str, folder: Path, *, dynamo: bool, free: bool = True) -> tuple[torch.nn.Module, Path]:
    torch.manual_seed(0)
    network, inputs = TRANSLATORS[name]().eval(), inputs_of(name)
    path = folder / f"{name}.onnx"
    names: dict[str, Any] = {"input_names": list(inputs), "output_names": ["made"], "dynamo": dynamo}
    if dynamo:
        batch, height, width = (torch.export.Dim(axis) for axis in ("batch", "height", "width"))
        names["dynamic_shapes"] = tuple({0: batch, 2: height, 3: width} for _ in inputs) if free else None
        names["verbose"] = False
    elif free:
        names["dynamic_axes"] = {name: {0: "batch", 2: "height", 3: "width"} for name in (*inputs, "made")}
    torch.onnx.export(network, tuple(inputs.values()), path, **names)
    return network, path


def bring(name: str, path: Path, models: Path, **told: Any) -> Export:
    usual: dict[str, Any] = {"size": (SIZE, SIZE), "mask": "mask" if name == "inpainter" else ""}
    if name == "dncnn":
        usual["value_range"] = (0.0, 1.0)
    return import_onnx(path, Target(models=models, name=name), Convention(**{**usual, **told}))


def in_pytorch(name: str, network: torch.nn.Module, image: Images, mask: Images | None) -> Images:
    """What a network makes of uint8 (height, width, channels), as its paper's code would write it."""
    values = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    is_signed = name != "dncnn"
    given = [values * 2 - 1 if is_signed else values]
    if mask is not None:
        given.append(torch.from_numpy(mask > 127).permute(2, 0, 1)[None].float())
    with torch.inference_mode():
        made = network(*given)[0].permute(1, 2, 0)
    levels = (made + 1) * 127.5 if is_signed else made * 255
    pixels = (levels + 0.5).clamp(0, 255).to(torch.uint8).numpy()
    return pixels if mask is None else np.where(mask > 127, pixels, image)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
@pytest.mark.parametrize("name", TRANSLATORS)
def test_a_public_architecture_makes_what_pytorch_makes(name: str, dynamo: bool, tmp_path: Path) -> None:
    network, path = export(name, tmp_path, dynamo=dynamo)
    made = bring(name, path, tmp_path / "models")
    card = inspect_bundle(made.folder).card
    assert card.HasField("halo") == (name in TILED)
    assert any("it does not make what it makes of the whole" in told for told in made.warnings) == (name not in TILED)
    scale = TILED.get(name, 1)
    assert image_shape(card) == (SIZE * scale, SIZE * scale, inputs_of(name)["image"].shape[1])
    (image,) = sample_textures(5, 0, 1, (SIZE, SIZE, image_shape(card)[2]))
    mask = sample_textures(6, 0, 1, (SIZE, SIZE, 1))[0] if name == "inpainter" else None
    with LocalGenerator(made.folder) as source:
        (ours,) = source.transform([image], masks=None if mask is None else [mask])
    expected = in_pytorch(name, network, image, mask)
    assert np.abs(ours.astype(int) - expected).max() <= 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TILED)
def test_an_image_of_any_size_is_what_the_whole_image_gives(name: str, tmp_path: Path) -> None:
    network, path = export(name, tmp_path, dynamo=False)
    made = bring(name, path, tmp_path / "models")
    height, width, edge, scale = 75, 101, 16, TILED[name]
    (image,) = sample_textures(5, 0, 1, (height, width, inputs_of(name)["image"].shape[1]))
    mask = sample_textures(6, 0, 1, (height, width, 1))[0] if name == "inpainter" else None
    with LocalGenerator(made.folder) as source:
        (ours,) = source.transform([image], masks=None if mask is None else [mask])
    expected = in_pytorch(name, network, image, mask)
    assert ours.shape == expected.shape == (height * scale, width * scale, image.shape[2])
    inside = (slice(edge * scale, -edge * scale),) * 2  # at the borders ours is mirrored
    assert np.abs(ours[inside].astype(int) - expected[inside]).max() <= 1


@pytest.mark.filterwarnings("ignore")
def test_a_file_that_fixes_size_and_batch_is_run_at_it(tmp_path: Path) -> None:
    _, path = export("srresnet", tmp_path, dynamo=False, free=False)
    made = bring("srresnet", path, tmp_path / "models", size=None)
    card = inspect_bundle(made.folder).card
    assert not card.HasField("halo")
    assert any("not taken: the file fixes height and width; export it with free ones" in told for told in made.warnings)
    with LocalGenerator(made.folder) as source:
        assert [len(image) for image in source.transform(sample_textures(0, 0, 3, (SIZE, SIZE, 3)))] == [2 * SIZE] * 3


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("told", "error", "text"),
    [
        ({"size": None}, ArtifactError, "takes images of any size, image float .*say with --size which one"),
        ({"size": (0, 32)}, ConfigError, "--size is 0x32; give height and width"),
        (
            {"size": (32, 100_000)},
            ConfigError,
            "--size is 32x100000; give height and width, as in 256x256, of up to 1,024",
        ),
        ({"mask": "hole"}, ConfigError, "has no input 'hole', which --mask names"),
        ({"input_range": (0.0, 0.0)}, ConfigError, "--input-range is 0 0; black and white must be two finite values"),
    ],
)
def test_what_does_not_fit_the_file_is_told(
    told: dict[str, Any], error: type[Exception], text: str, tmp_path: Path
) -> None:
    _, path = export("dncnn", tmp_path, dynamo=False)
    with pytest.raises(error, match=text):
        bring("dncnn", path, tmp_path / "models", **told)
    assert not (tmp_path / "models").exists()


@pytest.mark.filterwarnings("ignore")
def test_a_mask_of_images_of_another_size_is_refused(tmp_path: Path) -> None:
    class Larger(torch.nn.Module):
        def forward(self, image: Tensor, mask: Tensor) -> Tensor:
            return torch.nn.functional.interpolate(image * mask, scale_factor=2)

    inputs = inputs_of("inpainter")
    torch.onnx.export(Larger(), tuple(inputs.values()), tmp_path / "f.onnx", input_names=list(inputs), dynamo=False)
    with pytest.raises(ArtifactError, match="64×64 of those of 32×32, so a mask cannot say what is kept of them"):
        bring("inpainter", tmp_path / "f.onnx", tmp_path / "models")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_pixels_of_uint8_are_images_and_no_labels(layout: str, tmp_path: Path) -> None:
    class Inverse(torch.nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return (255 - image.float()).to(torch.uint8)

    shape = (2, 3, SIZE, SIZE) if layout == "nchw" else (2, SIZE, SIZE, 3)
    sides = {2: "height", 3: "width"} if layout == "nchw" else {1: "height", 2: "width"}
    axes = {"image": {0: "batch", **sides}}
    file = tmp_path / "f.onnx"
    example = torch.zeros(shape, dtype=torch.uint8)
    torch.onnx.export(Inverse(), (example,), file, input_names=["image"], dynamic_axes=axes, dynamo=False)
    made = bring("inverse", file, tmp_path / "models", layout=layout)
    (image,) = sample_textures(5, 0, 1, (2 * SIZE, SIZE, 3))
    with LocalGenerator(made.folder) as source:
        (ours,) = source.transform([image])
    assert np.array_equal(ours, 255 - image)


@pytest.mark.filterwarnings("ignore")
def test_latents_beside_an_image_make_variants_that_have_addresses(tmp_path: Path) -> None:
    class Tinted(torch.nn.Module):
        def forward(self, image: Tensor, z: Tensor) -> Tensor:
            return torch.tanh(image + z[:, :3, None, None])

    example = (torch.zeros(2, 3, SIZE, SIZE), torch.zeros(2, 5))
    axes = {"image": {0: "batch", 2: "height", 3: "width"}, "z": {0: "batch"}}
    file = tmp_path / "f.onnx"
    torch.onnx.export(Tinted(), example, file, input_names=list(axes), dynamic_axes=axes, dynamo=False)
    made = bring("tinted", file, tmp_path / "models")
    assert any("takes latents or a class, so tiles" in told for told in made.warnings)
    (photo,) = sample_textures(5, 0, 1, (SIZE, SIZE, 3))
    with LocalGenerator(made.folder) as source:
        variants = np.stack(list(source.transform([photo] * 4, seed=7)))
        (third,) = source.transform([photo], seed=7, indices=[3])
    assert np.array_equal(third, variants[3])
    values = torch.from_numpy(photo).permute(2, 0, 1) / 127.5 - 1
    tints = torch.from_numpy(sample_latents(7, 0, 4, 5))
    expected = (torch.tanh(values + tints[:, :3, None, None]).permute(0, 2, 3, 1) + 1) * 127.5
    assert np.abs(variants - expected.numpy()).max() <= 1


@pytest.mark.filterwarnings("ignore")
def test_channels_may_come_last(tmp_path: Path) -> None:
    class ChannelsLast(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = TRANSLATORS["srresnet"]()

        def forward(self, image: Tensor) -> Tensor:
            made: Tensor = self.network(image.permute(0, 3, 1, 2))
            return made.permute(0, 2, 3, 1)

    torch.manual_seed(0)
    network = ChannelsLast().eval()
    axes = {"image": {0: "batch", 1: "height", 2: "width"}}
    example = torch.zeros(2, SIZE, SIZE, 3)
    torch.onnx.export(network, (example,), tmp_path / "f.onnx", input_names=["image"], dynamic_axes=axes, dynamo=False)
    made = bring("srresnet", tmp_path / "f.onnx", tmp_path / "models", layout="nhwc")
    assert inspect_bundle(made.folder).card.HasField("halo")
    (image,) = sample_textures(5, 0, 1, (SIZE, SIZE, 3))
    with LocalGenerator(made.folder) as source:
        (ours,) = source.transform([image])
    assert np.abs(ours.astype(int) - in_pytorch("srresnet", network.network, image, None)).max() <= 1
