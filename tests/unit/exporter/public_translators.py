"""Translators as their papers describe them, at small width; each takes and gives what the papers' code does."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


def pix2pix_unet(width: int = 4) -> nn.Module:
    """Isola et al. 2017, `Image-to-Image Translation with Conditional Adversarial Networks`: a U-Net with skips."""
    return _UNet(width)


class _UNet(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        widths = (3, width, 2 * width, 4 * width)
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(first, second, 4, 2, 1), nn.InstanceNorm2d(second), nn.LeakyReLU(0.2))
            for first, second in pairwise(widths)
        )
        self.up = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(first, second, 4, 2, 1), nn.InstanceNorm2d(second), nn.ReLU())
            for first, second in ((4 * width, 2 * width), (4 * width, width), (2 * width, width))
        )
        self.last = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        skips = [image]
        for down in self.down:
            skips.append(down(skips[-1]))
        made = skips.pop()
        for number, up in enumerate(self.up):
            made = up(made if number == 0 else torch.cat([made, skips.pop()], 1))
        return torch.tanh(self.last(made))


def cyclegan_resnet(width: int = 4) -> nn.Module:
    """Zhu et al. 2017, `Unpaired Image-to-Image Translation`: residual blocks, instance norm, reflection padding."""
    return nn.Sequential(
        nn.ReflectionPad2d(3),
        nn.Conv2d(3, width, 7),
        nn.InstanceNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, 2, 1),
        nn.InstanceNorm2d(2 * width),
        nn.ReLU(),
        *(_Residual(_reflecting(2 * width)) for _ in range(2)),
        nn.ConvTranspose2d(2 * width, width, 3, 2, 1, 1),
        nn.InstanceNorm2d(width),
        nn.ReLU(),
        nn.ReflectionPad2d(3),
        nn.Conv2d(width, 3, 7),
        nn.Tanh(),
    )


def _reflecting(width: int) -> nn.Module:
    def convolution() -> list[nn.Module]:
        return [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width)]

    return nn.Sequential(*convolution(), nn.ReLU(), *convolution())


class _Residual(nn.Module):
    def __init__(self, body: nn.Module, share: float = 1.0) -> None:
        super().__init__()
        self.body = body
        self.share = share

    def forward(self, image: Tensor) -> Tensor:
        changed: Tensor = image + self.share * self.body(image)
        return changed


def srresnet(width: int = 8) -> nn.Module:
    """Ledig et al. 2017, `Photo-Realistic Single Image Super-Resolution`: sub-pixel convolution, twice as large."""
    block = [nn.Conv2d(width, width, 3, 1, 1), nn.BatchNorm2d(width), nn.PReLU(), nn.Conv2d(width, width, 3, 1, 1)]
    return nn.Sequential(
        nn.Conv2d(3, width, 9, 1, 4),
        nn.PReLU(),
        _Residual(nn.Sequential(*block, nn.BatchNorm2d(width))),
        nn.Conv2d(width, 4 * width, 3, 1, 1),
        nn.PixelShuffle(2),
        nn.PReLU(),
        nn.Conv2d(width, 3, 9, 1, 4),
        nn.Tanh(),
    )


def rrdb(width: int = 6) -> nn.Module:
    """Wang et al. 2018, `ESRGAN`: dense blocks in residuals, enlarged by nearest neighbours, four times; no norm."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, 1, 1),
        _Residual(nn.Sequential(_Residual(_Dense(width), 0.2), _Residual(_Dense(width), 0.2)), 0.2),
        nn.Upsample(scale_factor=2, mode="nearest"),
        nn.Conv2d(width, width, 3, 1, 1),
        nn.LeakyReLU(0.2),
        nn.Upsample(scale_factor=2, mode="nearest"),
        nn.Conv2d(width, 3, 3, 1, 1),
    )


class _Dense(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, 1, 1)
        self.second = nn.Conv2d(2 * width, width, 3, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        made = functional.leaky_relu(self.first(image), 0.2)
        dense: Tensor = self.second(torch.cat([image, made], 1))
        return dense


class GatedInpainter(nn.Module):
    """Yu et al. 2019, `Free-Form Image Inpainting with Gated Convolution`: features times learnt gates."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.features = nn.ModuleList([nn.Conv2d(4, width, 5, 1, 2), nn.Conv2d(width, width, 3, 1, 2, dilation=2)])
        self.gates = nn.ModuleList([nn.Conv2d(4, width, 5, 1, 2), nn.Conv2d(width, width, 3, 1, 2, dilation=2)])
        self.last = nn.Conv2d(width, 3, 3, 1, 1)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        made = torch.cat([image * (1 - mask), mask], 1)
        for features, gates in zip(self.features, self.gates, strict=True):
            made = functional.elu(features(made)) * torch.sigmoid(gates(made))
        return torch.tanh(self.last(made))


class DnCNN(nn.Module):
    """Zhang et al. 2017, `Beyond a Gaussian Denoiser`: predicts the noise of a greyscale image in [0, 1]."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        middle = [nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        self.noise = nn.Sequential(nn.Conv2d(1, width, 3, 1, 1), nn.ReLU(), *middle, nn.Conv2d(width, 1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        noise: Tensor = self.noise(image)
        return image - noise


TRANSLATORS: dict[str, Callable[[], nn.Module]] = {
    "pix2pix": pix2pix_unet,
    "cyclegan": cyclegan_resnet,
    "srresnet": srresnet,
    "rrdb": rrdb,
    "inpainter": GatedInpainter,
    "dncnn": DnCNN,
}
