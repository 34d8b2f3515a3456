"""What the forms of layers for a CPU bring: the graph that is exported, against the one as PyTorch has it.

    python benchmarks/rewrites.py
    python benchmarks/rewrites.py --batch-size 1 --rounds 15

Both run in the server's engine on one lane, in turns, with fresh weights; speed does not depend on them. Operations
are those of the network as it is written.
"""

from __future__ import annotations

import statistics
from contextlib import ExitStack, closing
from typing import Annotated

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import nn

from command import run
from ganserve.exporter.benchmark import Spread
from ganserve.exporter.benchmark.contestants import Bundle, flops_per_image
from ganserve.exporter.benchmark.turns import in_turns
from ganserve.exporter.onnx_graph import to_onnx
from ganserve.flags import Rounds, Seconds, within
from ganserve.runtime.device import Device
from ganserve.runtime.lanes import BATCH_ROWS
from ganserve.training.config import Architecture
from ganserve.training.networks import ImageShape, build_generator
from ganserve.v1.model_pb2 import ModelCard

DEVICES: tuple[Device, ...] = ("cuda", "cpu")
LATENT_DIM = 128
NUM_CLASSES = 10
GENERATORS: list[tuple[Architecture, ImageShape, int]] = [
    ("dcgan", ImageShape(28, 28, 1), 32),
    ("dcgan", ImageShape(32, 32, 3), 64),
    ("dcgan", ImageShape(64, 64, 3), 64),
    ("resnet", ImageShape(28, 28, 1), 32),
    ("resnet", ImageShape(32, 32, 3), 64),
    ("r3gan", ImageShape(32, 32, 3), 64),
]


def main(
    *, batch_size: Annotated[tuple[int, ...], within(BATCH_ROWS)] = (1, 16), rounds: Rounds = 9, seconds: Seconds = 0.3
) -> None:
    """Measure both graphs of some generators on one core.

    Parameters
    ----------
    batch_size
        Images a run; may be given several times.
    rounds
        Turns of each.
    seconds
        Length of a turn.
    """
    torch.set_num_threads(1)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("generator")
    for heading in ("width", "batch", "plain", "for a CPU", "ratio", "G/s"):
        table.add_column(heading, justify="right")
    cells = [(*generator, rows) for generator in GENERATORS for rows in batch_size]
    for arch, shape, width, rows in track(cells, "measuring", console=Console(stderr=True), transient=True):
        generator, card = generator_of(arch, shape, width)
        plain, for_cpu = measure(generator, card, rows, rounds, seconds)
        flops = flops_per_image(generator, card) * statistics.median(for_cpu)
        table.add_row(
            f"{arch} {shape.height}×{shape.width}×{shape.channels}",
            str(width),
            str(rows),
            f"{statistics.median(plain):,.0f}",
            f"{statistics.median(for_cpu):,.0f}",
            f"{Spread.of_ratios(for_cpu, plain):.2f}",
            f"{flops / 1e9:,.0f}",
        )
    Console().print(table)


def generator_of(arch: Architecture, shape: ImageShape, width: int) -> tuple[nn.Module, ModelCard]:
    """A conditional generator with fresh weights, and its card."""
    generator = build_generator(arch, shape, latent_dim=LATENT_DIM, num_classes=NUM_CLASSES, base_width=width)
    card = ModelCard(architecture=arch, latent_dim=LATENT_DIM, class_names=map(str, range(NUM_CLASSES)))
    card.image.height, card.image.width, card.image.channels = shape
    return generator.eval(), card


def measure(generator: nn.Module, card: ModelCard, rows: int, rounds: int, seconds: float) -> list[list[float]]:
    """Images/s of the graph as PyTorch has it and of the one for a CPU, a value a round."""
    with ExitStack() as engines:
        contestants = []
        for device in DEVICES:
            graph = to_onnx(generator, card, device=device)
            engine = Bundle(graph.model, card, device="cpu", num_lanes=1, batch_size=rows)
            contestants.append(engines.enter_context(closing(engine)))
        return [[rate * rows for rate in rates] for rates in in_turns(contestants, rounds, seconds)]


if __name__ == "__main__":
    run(main)
