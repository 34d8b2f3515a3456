from __future__ import annotations

import pytest
import torch
from torch import nn

from ganserve.training.config import Architecture
from ganserve.training.networks import ImageShape, build_critic, build_generator
from ganserve.training.networks.shape import Size, halvings

ARCHITECTURES: list[Architecture] = ["mlp", "dcgan"]
SIZES = [(8, 8), (28, 28), (32, 32), (64, 64), (30, 17), (5, 3), (1, 40)]


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("num_classes", [0, 3])
def test_images_and_logits_have_the_promised_shape(
    arch: Architecture, size: tuple[int, int], channels: int, num_classes: int
) -> None:
    shape = ImageShape(*size, channels)
    generator = build_generator(arch, shape, latent_dim=6, num_classes=num_classes, base_width=2)
    critic = build_critic(arch, shape, num_classes=num_classes, base_width=2, norm="batch")
    labels = torch.tensor([0, 2, 1]) if num_classes else None
    images = generator(torch.randn(3, 6), labels)
    assert images.shape == (3, channels, *size)
    assert images.dtype == torch.float32
    assert images.abs().max() <= 1
    assert critic(images, labels).shape == (3,)


def test_sizes_are_halved_and_rounded_up() -> None:
    assert halvings(ImageShape(28, 28, 1)) == [Size(28, 28), Size(14, 14), Size(7, 7)]
    assert halvings(ImageShape(30, 17, 1)) == [Size(30, 17), Size(15, 9), Size(8, 5), Size(4, 3)]
    assert halvings(ImageShape(8, 8, 1)) == [Size(8, 8), Size(4, 4)]
    assert halvings(ImageShape(5, 7, 1)) == [Size(5, 7)]


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_class_changes_image_and_logit(arch: Architecture) -> None:
    shape = ImageShape(8, 8, 1)
    generator = build_generator(arch, shape, latent_dim=6, num_classes=2, base_width=4).eval()
    critic = build_critic(arch, shape, num_classes=2, base_width=4, norm="none").eval()
    z = torch.randn(1, 6).expand(2, 6)
    images = generator(z, torch.tensor([0, 1]))
    assert not torch.equal(images[0], images[1])
    nn.init.normal_(critic.get_parameter("head.embedding.weight"))
    logits = critic(images[:1].expand(2, -1, -1, -1), torch.tensor([0, 1]))
    assert logits[0] != logits[1]


def test_a_critic_without_norm_judges_each_image_alone() -> None:
    shape = ImageShape(12, 12, 3)
    critic = build_critic("dcgan", shape, num_classes=0, base_width=4, norm="none")
    assert not any(isinstance(module, nn.BatchNorm2d) for module in critic.modules())
    images = torch.randn(4, 3, 12, 12)
    torch.testing.assert_close(critic(images)[:1], critic(images[:1]))


def test_every_parameter_gets_a_gradient() -> None:
    for arch in ARCHITECTURES:
        shape = ImageShape(9, 16, 3)
        generator = build_generator(arch, shape, latent_dim=6, num_classes=2, base_width=4)
        critic = build_critic(arch, shape, num_classes=2, base_width=4, norm="batch")
        labels = torch.tensor([0, 1, 0])
        torch.autograd.backward(critic(generator(torch.randn(3, 6), labels), labels).square().sum())
        for network in (generator, critic):
            assert all(parameter.grad is not None for parameter in network.parameters())
