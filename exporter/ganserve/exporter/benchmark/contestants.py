"""Those who make images in turns: the bundle in the server's engine, and the same generator in PyTorch."""

from __future__ import annotations

import copy
from typing import Final, Protocol

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ganserve.contract.bundle import Dtype, golden_rows, signature_of
from ganserve.contract.card import is_conditional
from ganserve.exporter.onnx_graph import PixelGenerator
from ganserve.runtime.device import Device
from ganserve.runtime.engine import Engine
from ganserve.runtime.lanes import Lanes
from ganserve.training.device import allow_tf32
from ganserve.training.networks import build_generator
from ganserve.training.state import image_shape_of
from ganserve.v1.model_pb2 import ModelCard

_SEED: Final = 0
_WIDE_BATCH: Final = 16
_WIDE_CHANNELS: Final = 512
_WIDE_SIDE: Final = 8


class Contestant(Protocol):
    """Makes batches of one size as fast as it can."""

    def make(self, num_batches: int) -> None:
        """Makes uint8 images on the CPU, this many batches, and waits for them."""


class Bundle:
    """The server's engine, with a lane's worth of batches under way on each lane."""

    def __init__(self, model: bytes, card: ModelCard, *, device: Device, num_lanes: int, batch_size: int) -> None:
        self._lanes = Lanes(device, num_lanes)
        self._engine = Engine(model, signature_of(card), lanes=self._lanes, max_batch=batch_size)
        self._rows = golden_rows(card, _SEED, batch_size)

    def make(self, num_batches: int) -> None:
        runs = [self._lanes.submit(self._engine.run, self._rows) for _ in range(num_batches)]
        for run in runs:
            run.result()

    def close(self) -> None:
        """Frees the lanes."""
        self._lanes.close()


class PyTorch:
    """The bundle's arithmetic in inference mode, channels last, eager or compiled, on CUDA without TF32."""

    def __init__(
        self,
        generator: nn.Module,
        card: ModelCard,
        *,
        dtype: Dtype,
        device: Device,
        num_threads: int,
        batch_size: int,
        compiled: bool = False,
    ) -> None:
        allow_tf32(False)
        self._device = torch.device(device)
        self._num_threads = num_threads
        pixels = PixelGenerator(copy.deepcopy(generator), dtype).eval()
        pixels = pixels.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._generator = torch.compile(pixels, mode="reduce-overhead") if compiled else pixels
        rows = golden_rows(card, _SEED, batch_size)
        self._inputs = {name: torch.from_numpy(column) for name, column in rows.columns.items()}

    def make(self, num_batches: int) -> None:
        torch.set_num_threads(self._num_threads)
        with torch.inference_mode():
            for _ in range(num_batches):
                images, _ = self._generator(**{name: tensor.to(self._device) for name, tensor in self._inputs.items()})
                images.cpu().numpy()


class WideConvolution:
    """About the best that the machine does: a convolution of 3×3 over 512 channels, in PyTorch and fp32."""

    flops: Final = 2 * _WIDE_BATCH * _WIDE_SIDE**2 * _WIDE_CHANNELS**2 * 9
    """Floating-point operations of one run."""

    def __init__(self, *, device: Device, num_threads: int) -> None:
        allow_tf32(False)
        self._num_threads = num_threads
        self._layer = nn.Conv2d(_WIDE_CHANNELS, _WIDE_CHANNELS, 3, padding=1, bias=False).to(device)
        self._images = torch.randn(_WIDE_BATCH, _WIDE_CHANNELS, _WIDE_SIDE, _WIDE_SIDE, device=device)

    def make(self, num_batches: int) -> None:
        torch.set_num_threads(self._num_threads)
        with torch.inference_mode():
            for _ in range(num_batches):
                images = self._layer(self._images)
            images[0, 0, 0, 0].item()


def fresh_generator(card: ModelCard) -> nn.Module | None:
    """A generator as the card describes it, with fresh weights, which speed does not depend on.

    None where the card is of a generator that was not trained here.
    """
    if "base_width" not in card.training_config:
        return None
    return build_generator(
        card.architecture,  # type: ignore[arg-type]
        image_shape_of(card),
        latent_dim=card.latent_dim,
        num_classes=len(card.class_names),
        base_width=int(card.training_config["base_width"]),  # type: ignore[arg-type]
    ).eval()


def flops_per_image(generator: nn.Module, card: ModelCard) -> int:
    """Floating-point operations of its matrix products and convolutions, a multiplication and an addition being two.

    As the network is written; the bundle may need fewer for the same map.
    """
    latents = torch.zeros(1, card.latent_dim)
    labels = torch.zeros(1, dtype=torch.int64) if is_conditional(card) else None
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        generator(latents, labels)
    return int(counter.get_total_flops())
