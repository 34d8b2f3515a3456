"""Images/s of a bundle, taken in turns with PyTorch, so that what else the machine does meets both alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ganserve.contract.bundle import MODEL_FILE, Dtype, read_verified
from ganserve.contract.manifest import digest_of, dtype_of, read_manifest
from ganserve.contract.measurements import Spread
from ganserve.runtime.device import Device
from ganserve.runtime.onnx_file import read_card

from .contestants import Bundle, Contestant, PyTorch, WideConvolution, flops_per_image, fresh_generator
from .turns import in_turns


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Speed at one batch size on so many lanes, one value a round."""

    batch_size: int
    num_lanes: int
    bundle: list[float]
    """Images/s."""
    eager: list[float] | None
    """Images/s of PyTorch; None where the generator was not trained here."""
    peak_flops: list[float]
    """Operations/s of a wide convolution."""

    def ratio(self) -> Spread | None:
        """How many times as fast as PyTorch the bundle is, from the two values of each round."""
        return None if self.eager is None else Spread.of_ratios(self.bundle, self.eager)

    def peak_share(self, flops_per_image: int) -> Spread:
        """Operations/s of the bundle as a share of those of a wide convolution, from each round."""
        return Spread.of_ratios([images_per_s * flops_per_image for images_per_s in self.bundle], self.peak_flops)


@dataclass(frozen=True, kw_only=True)
class ModelSpeed:
    """What was measured, and where."""

    model: str
    dtype: Dtype
    """What both compute in; the wide convolution in fp32."""
    device: Device
    flops_per_image: int | None
    """None where the generator was not trained here."""
    figures: list[Figure]

    def peak_flops(self) -> dict[int, float]:
        """Operations/s of a wide convolution by number of lanes, the best of all rounds."""
        lane_counts = sorted({figure.num_lanes for figure in self.figures})
        return {
            num_lanes: max(max(figure.peak_flops) for figure in self.figures if figure.num_lanes == num_lanes)
            for num_lanes in lane_counts
        }

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return dataclasses.asdict(self)


def measure(
    folder: Path,
    *,
    device: Device,
    batch_sizes: Sequence[int],
    lane_counts: Sequence[int],
    num_rounds: int,
    turn_s: float,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ModelSpeed:
    """Has the bundle in `folder` and PyTorch make images in turns of about `turn_s` seconds.

    Args:
        folder: of the bundle.
        device: what both run on.
        batch_sizes: to measure.
        lane_counts: to measure; PyTorch gets as many threads. On CUDA there is one.
        num_rounds: turns of each.
        turn_s: seconds.
        on_progress: told how many figures are found, and of how many.

    Raises:
        ArtifactError: the bundle is not whole, or cannot be run.
    """
    manifest = read_manifest(folder)
    model = read_verified(folder, MODEL_FILE, manifest)
    card = read_card(model, source=str(folder / MODEL_FILE))
    generator = fresh_generator(card)
    cells = [(lanes, rows) for lanes in ([1] if device == "cuda" else lane_counts) for rows in batch_sizes]
    num_threads = torch.get_num_threads()
    figures: list[Figure] = []
    try:
        for num_lanes, batch_size in cells:
            on_progress(len(figures), len(cells))
            peak = WideConvolution(device=device, num_threads=num_lanes)
            bundle = Bundle(model, card, device=device, num_lanes=num_lanes, batch_size=batch_size)
            contestants: list[Contestant] = [bundle, peak]
            if generator is not None:
                dtype = dtype_of(manifest)
                contestants.append(
                    PyTorch(generator, card, dtype=dtype, device=device, num_threads=num_lanes, batch_size=batch_size)
                )
            with closing(bundle):
                rates = in_turns(contestants, num_rounds, turn_s)
            figures.append(
                Figure(
                    batch_size=batch_size,
                    num_lanes=num_lanes,
                    bundle=[rate * batch_size for rate in rates[0]],
                    peak_flops=[rate * peak.flops for rate in rates[1]],
                    eager=None if generator is None else [rate * batch_size for rate in rates[2]],
                )
            )
    finally:
        torch.set_num_threads(num_threads)
    return ModelSpeed(
        model=f"{manifest.name}:{manifest.version}@{digest_of(manifest)[:12]}",
        dtype=dtype_of(manifest),
        device=device,
        flops_per_image=None if generator is None else flops_per_image(generator, card),
        figures=figures,
    )
