"""What every family of networks promises."""

from __future__ import annotations

import copy
from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ganserve.contract.errors import ConfigError
from ganserve.training.config import Architecture, Norm
from ganserve.training.ema import averaged_copy, estimate_batch_norm
from ganserve.training.networks import ImageShape, build_discriminator, build_generator

ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)
DISCRIMINATORS: list[tuple[Architecture, Norm]] = [
    ("mlp", "none"),
    ("mlp", "spectral"),
    ("dcgan", "none"),
    ("dcgan", "spectral"),
    ("dcgan", "batch"),
    ("resnet", "none"),
    ("resnet", "spectral"),
    ("r3gan", "none"),
]
SIZES = [(8, 8), (28, 28), (32, 32), (64, 64), (30, 17), (4, 5), (4, 40)]
LATENT_DIM = 6

every_arch = pytest.mark.parametrize("arch", ARCHITECTURES)
every_discriminator = pytest.mark.parametrize(("arch", "norm"), DISCRIMINATORS)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def generator_of(arch: Architecture, shape: ImageShape, num_classes: int, *, settled: bool = False) -> nn.Module:
    """A tiny generator; `settled` stirs the weights that begin at zero and gives batch norms statistics."""
    generator = build_generator(arch, shape, latent_dim=LATENT_DIM, num_classes=num_classes, base_width=4)
    if settled:
        stir(generator)
        for _ in range(20):
            generator(torch.randn(16, LATENT_DIM), torch.arange(16) % num_classes if num_classes else None)
    return generator


@torch.no_grad()
def stir(network: nn.Module) -> None:
    """Moves every weight a little, so that none that begins at zero hides what is behind it."""
    for parameter in network.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.1)


@every_arch
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("num_classes", [0, 3])
def test_images_and_logits_have_the_promised_shape(
    arch: Architecture, size: tuple[int, int], channels: int, num_classes: int
) -> None:
    shape = ImageShape(*size, channels)
    generator = build_generator(arch, shape, latent_dim=LATENT_DIM, num_classes=num_classes, base_width=2)
    discriminator = build_discriminator(arch, shape, num_classes=num_classes, base_width=2, norm="none")
    labels = torch.tensor([0, 2, 1]) if num_classes else None
    images = generator(torch.randn(3, LATENT_DIM), labels)
    assert images.shape == (3, channels, *size)
    assert images.dtype == torch.float32
    assert images.abs().max() <= 1
    assert discriminator(images, labels).shape == (3,)


@pytest.mark.parametrize("arch", ["resnet", "r3gan"])
def test_images_too_small_for_a_family_are_refused(arch: Architecture) -> None:
    shape = ImageShape(3, 40, 1)
    with pytest.raises(ConfigError, match=f"--arch is '{arch}'.* 4 pixels a side or more.* 3×40"):
        build_generator(arch, shape, latent_dim=LATENT_DIM, num_classes=0, base_width=4)
    with pytest.raises(ConfigError, match="4 pixels a side"):
        build_discriminator(arch, shape, num_classes=0, base_width=4, norm="none")


@pytest.mark.parametrize("arch", ["mlp", "dcgan"])
@pytest.mark.parametrize("size", [(1, 40), (3, 2)])
def test_the_other_families_take_images_of_any_size(arch: Architecture, size: tuple[int, int]) -> None:
    shape = ImageShape(*size, 1)
    images = generator_of(arch, shape, 0)(torch.randn(3, LATENT_DIM), None)
    assert images.shape == (3, 1, *size)
    assert build_discriminator(arch, shape, num_classes=0, base_width=4, norm="none")(images, None).shape == (3,)


@pytest.mark.parametrize(
    ("arch", "norm"), [("mlp", "batch"), ("resnet", "batch"), ("r3gan", "batch"), ("r3gan", "spectral")]
)
def test_a_norm_that_a_discriminator_has_no_use_for_is_refused(arch: Architecture, norm: Norm) -> None:
    with pytest.raises(
        ConfigError, match=f"--discriminator-norm is '{norm}'; the discriminator of {arch} takes (spectral or )?none"
    ):
        build_discriminator(arch, ImageShape(8, 8, 1), num_classes=0, base_width=4, norm=norm)


@every_arch
@pytest.mark.parametrize("size", [(5, 5), (9, 16)])
def test_the_class_changes_the_image(arch: Architecture, size: tuple[int, int]) -> None:
    generator = generator_of(arch, ImageShape(*size, 1), 2, settled=True).eval()
    images = generator(torch.randn(1, LATENT_DIM).expand(2, -1), torch.tensor([0, 1]))
    assert (images[0] - images[1]).abs().max() > 1e-3


@every_discriminator
def test_the_class_changes_the_logit(arch: Architecture, norm: Norm) -> None:
    discriminator = build_discriminator(arch, ImageShape(8, 8, 1), num_classes=2, base_width=4, norm=norm)
    stir(discriminator)
    logits = discriminator.eval()(torch.randn(1, 1, 8, 8).expand(2, -1, -1, -1), torch.tensor([0, 1]))
    assert (logits[0] - logits[1]).abs() > 1e-5


@every_discriminator
def test_every_parameter_gets_a_gradient(arch: Architecture, norm: Norm) -> None:
    shape = ImageShape(9, 16, 3)
    generator = generator_of(arch, shape, 2)
    discriminator = build_discriminator(arch, shape, num_classes=2, base_width=4, norm=norm)
    stir(generator)
    stir(discriminator)
    labels = torch.tensor([0, 1, 0, 1])
    logits = discriminator(generator(torch.randn(4, LATENT_DIM), labels), labels)
    torch.autograd.backward((logits * torch.tensor([1.0, -2.0, 3.0, 0.5])).sum())
    for network in (generator, discriminator):
        still = [name for name, parameter in network.named_parameters() if not _moves(parameter.grad)]
        assert still == []


def _moves(gradient: Tensor | None) -> bool:
    return gradient is not None and bool(gradient.abs().max() > 0)


@every_arch
def test_a_generator_draws_each_image_alone(arch: Architecture) -> None:
    generator = generator_of(arch, ImageShape(9, 16, 3), 3, settled=True).eval()
    z, labels = torch.randn(5, LATENT_DIM), torch.tensor([0, 2, 1, 1, 0])
    torch.testing.assert_close(generator(z, labels)[1:2], generator(z[1:2], labels[1:2]))


@pytest.mark.parametrize(("arch", "norm"), [pair for pair in DISCRIMINATORS if pair[1] != "batch"])
def test_a_discriminator_without_batch_norm_judges_each_image_alone(arch: Architecture, norm: Norm) -> None:
    discriminator = build_discriminator(arch, ImageShape(12, 9, 3), num_classes=0, base_width=4, norm=norm).eval()
    assert not any(isinstance(module, _BatchNorm) for module in discriminator.modules())
    images = torch.randn(4, 3, 12, 9)
    torch.testing.assert_close(discriminator(images)[:1], discriminator(images[:1]))


def test_r3gan_has_no_norm_at_all() -> None:
    shape = ImageShape(16, 16, 3)
    networks = [
        generator_of("r3gan", shape, 2),
        build_discriminator("r3gan", shape, num_classes=2, base_width=4, norm="none"),
    ]
    for network in networks:
        assert not any("norm" in type(module).__name__.lower() for module in network.modules())


def test_r3gan_begins_without_its_residuals() -> None:
    generator = generator_of("r3gan", ImageShape(8, 8, 1), 0)
    z = torch.randn(3, LATENT_DIM)
    before = generator(z)
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if ".residual." in name and not name.endswith("residual.4.weight"):
                parameter.normal_()
    torch.testing.assert_close(generator(z), before)


@every_discriminator
def test_a_gradient_penalty_can_be_taken(arch: Architecture, norm: Norm) -> None:
    """The gradient of the squared gradient of the logits, against finite differences along the penalty's own slope."""
    discriminator = (
        build_discriminator(arch, ImageShape(9, 7, 1), num_classes=2, base_width=4, norm=norm).double().eval()
    )
    stir(discriminator)
    images, labels = torch.randn(3, 1, 9, 7, dtype=torch.float64), torch.tensor([0, 1, 0])

    def penalty() -> Tensor:
        points = images.clone().requires_grad_()
        (gradients,) = torch.autograd.grad(discriminator(points, labels).sum(), points, create_graph=True)
        return gradients.square().sum()

    parameters = list(discriminator.parameters())
    slopes = torch.autograd.grad(penalty(), parameters, allow_unused=True)
    pairs = [(parameter, slope) for parameter, slope in zip(parameters, slopes, strict=True) if slope is not None]
    length = torch.stack([slope.square().sum() for _, slope in pairs]).sum().sqrt()
    step = 1e-7

    def penalty_beside(distance: float) -> Tensor:
        with torch.no_grad():
            for parameter, slope in pairs:
                parameter.add_(slope / length, alpha=distance)
        result = penalty().detach()
        with torch.no_grad():
            for parameter, slope in pairs:
                parameter.sub_(slope / length, alpha=distance)
        return result

    assert length > 0
    torch.testing.assert_close((penalty_beside(step) - penalty_beside(-step)) / (2 * step), length, rtol=1e-3, atol=0)


@every_arch
def test_a_copy_and_a_saved_state_draw_the_same_images(arch: Architecture) -> None:
    generator = generator_of(arch, ImageShape(8, 8, 1), 2, settled=True).eval()
    fresh = generator_of(arch, ImageShape(8, 8, 1), 2).eval()
    fresh.load_state_dict(generator.state_dict())
    z, labels = torch.randn(3, LATENT_DIM), torch.tensor([0, 1, 1])
    images = generator(z, labels)
    assert torch.equal(copy.deepcopy(generator)(z, labels), images)
    assert torch.equal(fresh(z, labels), images)


@every_discriminator
def test_a_copied_or_restored_discriminator_goes_on_exactly(arch: Architecture, norm: Norm) -> None:
    shape = ImageShape(8, 8, 1)
    discriminator = build_discriminator(arch, shape, num_classes=2, base_width=4, norm=norm)
    images, labels = torch.randn(3, 1, 8, 8), torch.tensor([0, 1, 1])
    discriminator(images, labels)
    restored = build_discriminator(arch, shape, num_classes=2, base_width=4, norm=norm)
    restored.load_state_dict(discriminator.state_dict())
    copied = copy.deepcopy(discriminator)
    for _ in range(3):
        logits = discriminator(images, labels)
        assert torch.equal(restored(images, labels), logits)
        assert torch.equal(copied(images, labels), logits)
    for name, tensor in discriminator.state_dict().items():
        assert torch.equal(restored.state_dict()[name], tensor), name


def test_class_batch_norms_get_the_statistics_of_the_averaged_weights() -> None:
    generator = generator_of("resnet", ImageShape(8, 8, 1), 2, settled=True)
    ema = averaged_copy(generator)
    stir(ema)
    batches = [(torch.randn(64, LATENT_DIM), torch.arange(64) % 2) for _ in range(2)]
    estimate_batch_norm(ema, batches)
    images = ema(*batches[0])
    torch.testing.assert_close(images, ema.train()(*batches[0]), rtol=0, atol=0.2)
    first = next(module for module in ema.modules() if isinstance(module, _BatchNorm))
    theirs = next(module for module in generator.modules() if isinstance(module, _BatchNorm))
    assert first.running_mean is not None
    assert theirs.running_mean is not None
    assert not torch.equal(first.running_mean, theirs.running_mean)


@every_discriminator
@pytest.mark.parametrize("num_classes", [0, 3])
def test_the_logits_of_all_classes_are_those_that_each_label_gives(
    arch: Architecture, norm: Norm, num_classes: int
) -> None:
    discriminator = build_discriminator(arch, ImageShape(16, 12, 3), num_classes=num_classes, base_width=4, norm=norm)
    stir(discriminator)
    discriminator.eval()
    images = torch.randn(5, 3, 16, 12).clamp(-1, 1)
    with torch.inference_mode():
        labels = [torch.full((5,), label) if num_classes else None for label in range(max(1, num_classes))]
        expected = torch.stack([discriminator(images, label) for label in labels], dim=1)
        made = discriminator.class_logits(images)
    assert made.shape == (5, max(1, num_classes))
    torch.testing.assert_close(made, expected)
