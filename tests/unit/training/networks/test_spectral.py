from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ganserve.training.config import Architecture
from ganserve.training.networks import ImageShape, build_discriminator
from ganserve.training.networks.spectral import normalise_spectrally

SHAPE = ImageShape(12, 9, 3)

every_arch = pytest.mark.parametrize("arch", ["mlp", "dcgan", "resnet"])


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def discriminator_of(arch: Architecture) -> nn.Module:
    return build_discriminator(arch, SHAPE, num_classes=3, base_width=4, norm="spectral")


def weights_of(discriminator: nn.Module) -> dict[str, Tensor]:
    """Weights as the layers use them, as matrices."""
    return {
        name: layer.weight.flatten(1)
        for name, layer in discriminator.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding)
    }


@every_arch
def test_every_weight_has_a_largest_singular_value_of_one_and_the_head_of_its_gain(arch: Architecture) -> None:
    discriminator = build_discriminator(arch, SHAPE, num_classes=3, base_width=4, norm="none")
    normalise_spectrally(discriminator, gain=5)
    for _ in range(50):
        discriminator(torch.randn(2, 3, 12, 9), torch.tensor([0, 2]))
    weights = weights_of(discriminator.eval())
    assert {"head.linear", "head.embedding"} < weights.keys()
    for name, weight in weights.items():
        expected = 5 if name.startswith("head.") else 1
        assert torch.linalg.matrix_norm(weight, 2).item() == pytest.approx(expected, rel=0.02), name


@every_arch
def test_the_size_of_the_weights_behind_it_does_not_matter(arch: Architecture) -> None:
    discriminator = discriminator_of(arch).eval()
    images, labels = torch.randn(2, 3, 12, 9), torch.tensor([0, 2])
    logits = discriminator(images, labels)
    with torch.no_grad():
        for name, parameter in discriminator.named_parameters():
            if name.endswith("original"):
                parameter.mul_(30)
    torch.testing.assert_close(discriminator(images, labels), logits)


def test_class_vectors_of_zero_are_redrawn_small_and_then_bounded() -> None:
    layer = nn.Embedding(3, 5)
    nn.init.zeros_(layer.weight)
    normalise_spectrally(nn.Sequential(layer))
    vectors = layer(torch.arange(3))
    assert torch.isfinite(vectors).all()
    assert torch.linalg.matrix_norm(vectors, 2).item() == pytest.approx(1, rel=0.02)
    assert next(layer.parameters()).abs().max() < 0.1


@every_arch
def test_evaluating_a_discriminator_changes_nothing_in_it(arch: Architecture) -> None:
    discriminator = discriminator_of(arch).eval()
    before = {name: tensor.clone() for name, tensor in discriminator.state_dict().items()}
    discriminator(torch.randn(2, 3, 12, 9), torch.tensor([0, 2]))
    for name, tensor in discriminator.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@every_arch
def test_two_forwards_before_one_backward_are_fine(arch: Architecture) -> None:
    discriminator = discriminator_of(arch)
    labels = torch.tensor([0, 2])
    loss = discriminator(torch.randn(2, 3, 12, 9), labels).sum() - discriminator(torch.randn(2, 3, 12, 9), labels).sum()
    torch.autograd.backward(loss)
    assert all(parameter.grad is not None for parameter in discriminator.parameters())


@every_arch
def test_a_penalty_on_gradients_is_fine_while_the_norm_is_estimated(arch: Architecture) -> None:
    discriminator = discriminator_of(arch)
    images, labels = torch.randn(2, 3, 12, 9, requires_grad=True), torch.tensor([0, 2])
    (gradients,) = torch.autograd.grad(discriminator(images, labels).sum(), images, create_graph=True)
    torch.autograd.backward(discriminator(images, labels).sum() + gradients.square().sum())
    for name, parameter in discriminator.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
