"""Spectral norm: every linear map of a critic divided by its largest singular value."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

_REDRAWN_STD = 0.02


def normalise_spectrally(critic: nn.Module) -> None:
    """Divides the weight of every convolution, linear layer and embedding of `critic` by its spectral norm, in place.

    Miyato et al., Spectral Normalization for GANs, 2018, algorithm 1; class vectors too, as Miyato and Koyama 2018 have
    it. The norm is estimated by one power iteration at each forward in training mode. Its two vectors are buffers, so
    they travel with the state dict; ranks that hold equal weights keep them equal.

    A weight of zeros, with which the class vectors begin, has no direction to keep, and dividing it gives NaN, so it is
    redrawn. The division bounds what is drawn: no class vector is longer than the weights of the linear layer beside it
    or drowns its logit, which is why they begin at zero elsewhere. They are drawn small because Adam's steps are of one
    size: of two weights that are divided by their norms, the smaller one turns faster.
    """
    layers = [layer for layer in critic.modules() if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding)]
    for layer in layers:
        if not bool(layer.weight.any()):
            nn.init.normal_(layer.weight, std=_REDRAWN_STD)
        spectral_norm(layer)
