"""Files whose batch size is fixed, as half of the public export scripts write them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ganserve.contract.errors import ArtifactError
from ganserve.contract.latents import sample_latents
from ganserve.exporter import Convention, Target, import_onnx

LATENT_DIM, WIDTH, SIDE = 6, 8, 4


class Block(nn.Module):
    """Latents to a small image of features and on to pixels, in one of the ways that freeze the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(LATENT_DIM, WIDTH * SIDE * SIDE)
        self.to_rgb = nn.Conv2d(WIDTH, 3, 3, padding=1)

    def features(self, z: Tensor) -> Tensor:
        x: Tensor = self.dense(z)
        return x.view(z.size(0), WIDTH, SIDE, SIDE)

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(self.to_rgb(self.features(z)))


class Flattened(Block):
    """As with attention over pixels: to sequences and back, and a part that is not told its size."""

    def features(self, z: Tensor) -> Tensor:
        x = super().features(z)
        batch = x.shape[0]
        keys = x.reshape(batch, WIDTH, -1)
        weights = torch.softmax(keys.transpose(1, 2) @ keys / 3, -1)
        heads = (keys @ weights).reshape(batch * 2, WIDTH // 2, SIDE * SIDE)
        return heads.reshape(batch, WIDTH, SIDE, SIDE) + x


class Resized(Block):
    """Upsampling to a size, with a group norm."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(2, WIDTH)

    def features(self, z: Tensor) -> Tensor:
        return F.interpolate(self.norm(super().features(z)), size=(7, 9), mode="bilinear", align_corners=False)


class Learned(Block):
    """A learned constant beside the latents, as many as there are rows."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.randn(1, WIDTH // 2, SIDE, SIDE))

    def features(self, z: Tensor) -> Tensor:
        x = super().features(z)
        return torch.cat([x[:, ::2], self.start.expand(z.shape[0], -1, -1, -1)], 1)


class Styled(Block):
    """As StyleGAN2 with its modulation outside of the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.randn(1, WIDTH, SIDE, SIDE))
        self.style = nn.Linear(LATENT_DIM, WIDTH)
        self.conv = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)

    def features(self, z: Tensor) -> Tensor:
        x = self.start.repeat(z.shape[0], 1, 1, 1)
        styled: Tensor = self.conv(x * self.style(z).view(z.shape[0], WIDTH, 1, 1))
        return styled


class Modulated(Styled):
    """As StyleGAN2 is: one convolution whose groups are the rows."""

    def features(self, z: Tensor) -> Tensor:
        batch = z.shape[0]
        x = self.start.repeat(batch, 1, 1, 1).view(1, batch * WIDTH, SIDE, SIDE)
        weight = self.conv.weight[None] * self.style(z).view(batch, 1, WIDTH, 1, 1)
        x = F.conv2d(x, weight.view(batch * WIDTH, WIDTH, 3, 3), padding=1, groups=batch)
        return x.view(batch, WIDTH, SIDE, SIDE)


class Centred(Block):
    """What no constant tells of: the mean over the rows."""

    def features(self, z: Tensor) -> Tensor:
        x = super().features(z)
        return x - x.mean(0, keepdim=True)


class Picked(Block):
    """The first row in the place of all, which for one row is the same."""

    def features(self, z: Tensor) -> Tensor:
        return super().features(z)[0][None]


@pytest.mark.parametrize(("exporter", "batch_size"), [("dynamo", 1), ("torchscript", 5)])
@pytest.mark.parametrize("kind", [Block, Flattened, Resized, Learned, Styled])
def test_a_batch_that_the_exporter_fixed_is_freed(
    kind: type[Block],
    batch_size: int,
    exporter: Literal["dynamo", "torchscript"],
    tmp_path: Path,
    export_to: Callable[..., Path],
    run_bundle: Callable[..., NDArray[np.uint8]],
) -> None:
    torch.manual_seed(0)
    generator = kind()
    path = export_to(tmp_path / "f.onnx", generator, torch.randn(batch_size, LATENT_DIM), exporter=exporter)
    result = import_onnx(path, Target(models=tmp_path / "models", name="f"), Convention())
    for num_rows in (1, 4, 11):
        latents = sample_latents(0, 0, num_rows, LATENT_DIM)
        with torch.inference_mode():
            floats = generator(torch.from_numpy(latents)).permute(0, 2, 3, 1).numpy()
        images = run_bundle(result.folder, latents=latents)
        assert np.abs(images.astype(int) - np.floor(floats * 127.5 + 128)).max() <= 1


@pytest.mark.parametrize(
    ("kind", "batch_size", "message"),
    [
        (
            Modulated,
            1,
            r"Conv with weights .* groups = batch.*fused_modconv=False.*dynamic_shapes=\(\{0: \"batch\"\},\)",
        ),
        (Modulated, 2, "Conv with weights"),
        (
            Centred,
            1,
            r"batch is fixed at 1\. Either .*others in their batch.* or that could not be freed here.*dynamic_shapes=",
        ),
        (Centred, 3, r"batch is fixed at 3\. Either .*others in their batch"),
        (Picked, 1, r"batch is fixed at 1\. Either .*others in their batch"),
    ],
)
def test_a_batch_that_cannot_be_freed_is_told_with_the_line_that_exports_again(
    kind: type[Block], batch_size: int, message: str, tmp_path: Path, export_to: Callable[..., Path]
) -> None:
    torch.manual_seed(0)
    path = export_to(tmp_path / "f.onnx", kind(), torch.randn(batch_size, LATENT_DIM))
    with pytest.raises(ArtifactError, match=message):
        import_onnx(path, Target(models=tmp_path / "models", name="f"), Convention())
    assert not (tmp_path / "models").exists()
