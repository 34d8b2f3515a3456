"""Spectral norm: every linear map of a discriminator divided by its largest singular value."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import register_parametrization

from .conditioning import ProjectionHead

_REDRAWN_STD = 0.02


def normalise_spectrally(discriminator: nn.Module, *, gain: float = 1.0) -> None:
    """Divides the weight of every convolution, linear layer and embedding of `discriminator` by its spectral norm, in
    place.

    Miyato et al., Spectral Normalization for GANs, 2018, algorithm 1; class vectors too, as Miyato and Koyama 2018 have
    it. The norm is estimated by one power iteration at each forward in training mode. Its two vectors are buffers, so
    they travel with the state dict; ranks that hold equal weights keep them equal.

    The weights of the head, and with them all logits, are then multiplied by `gain`. Without one, bounded in every
    layer and shortened by every LeakyReLU, the logits of a deep discriminator stay within the hinge loss's margin of
    one: all images weigh alike in its loss, those of a kind that the generator has lost no more than others, and the
    samples of a class become alike.

    A weight of zeros, with which the class vectors begin, has no direction to keep, and dividing it gives NaN, so it is
    redrawn. The division bounds what is drawn: no class vector is longer than the weights of the linear layer beside it
    or drowns its logit, which is why they begin at zero elsewhere. They are drawn small because Adam's steps are of one
    size: of two weights that are divided by their norms, the smaller one turns faster.
    """
    for layer in _layers_of(discriminator):
        if not bool(layer.weight.any()):
            nn.init.normal_(layer.weight, std=_REDRAWN_STD)
        spectral_norm(layer)
    for head in [module for module in discriminator.modules() if isinstance(module, ProjectionHead)]:
        for layer in _layers_of(head):
            register_parametrization(layer, "weight", _Gain(gain))


class _Gain(nn.Module):
    """A weight times a constant."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, weight: Tensor) -> Tensor:
        return self.gain * weight


def _layers_of(module: nn.Module) -> list[nn.Conv2d | nn.Linear | nn.Embedding]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding)]
