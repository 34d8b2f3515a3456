"""Inception's features, where somebody has put its weights: the file that $GANSERVE_INCEPTION names."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganserve.contract.errors import ArtifactError, ConfigError

VARIABLE = "GANSERVE_INCEPTION"


class Inception:
    """A TorchScript network from uint8 (N, 3, H, W) to features (N, F), of 2,048 for Inception v3.

    The network resizes by itself. One that can return class scores too, as the one published with StyleGAN does, is
    asked for features.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        """Loads the file. Raises ConfigError where there is none and ArtifactError for one that is no TorchScript."""
        if not path.is_file():
            raise ConfigError(f"{VARIABLE}: there is no file {path}; name Inception's TorchScript file, or unset it")
        self._path = path
        try:
            with warnings.catch_warnings():
                # TorchScript is on its way out; published weights still come in it.
                warnings.simplefilter("ignore", DeprecationWarning)
                self._network: Any = torch.jit.load(path, map_location=device).eval()  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError) as error:
            raise ArtifactError(f"{VARIABLE}: {path} is not a TorchScript file; get it again, or unset it") from error
        takes_flag = "return_features" in str(self._network.forward.schema)
        self._options = {"return_features": True} if takes_flag else {}

    @classmethod
    def at_hand(cls, device: torch.device) -> Inception | None:
        """The network that the environment names; None where it names none."""
        path = os.environ.get(VARIABLE)
        return cls(Path(path).expanduser(), device) if path else None

    @torch.no_grad()
    def features(self, levels: Tensor) -> Tensor:
        """levels: uint8 (N, H, W, C), grey or RGB -> float32 (N, F). Raises ArtifactError for another network."""
        images = levels.permute(0, 3, 1, 2).expand(-1, 3, -1, -1).contiguous()
        try:
            features = self._network(images, **self._options)
        except RuntimeError as error:
            reason = str(error).strip().rpartition("\n")[2]
            raise ArtifactError(f"{VARIABLE}: {self._path} does not take uint8 images ({reason})") from error
        if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != len(levels):
            raise ArtifactError(f"{VARIABLE}: {self._path} does not return features of shape (N, F)")
        return features.float()
