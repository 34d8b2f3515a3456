"""Servers to measure, each a process of its own, and untrained models for them to serve."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from torch import nn

from ganserve.contract.card import LATENT_SCHEME
from ganserve.contract.errors import GanserveError
from ganserve.exporter import Target, export
from ganserve.runtime.device import Device
from ganserve.training.networks import ImageShape, build_generator
from ganserve.v1.model_pb2 import ModelCard

GANSERVE = (sys.executable, "-m", "ganserve.cli")


def export_untrained(
    models: Path,
    name: str,
    shape: tuple[int, int, int] = (32, 32, 3),
    *,
    width: int = 64,
    device: Device | None = None,
) -> None:
    """A DCGAN of images (height, width, channels), whose layers are written for a device; None is the CPU.

    Speed does not depend on what the weights have learnt. They are so large that images depend on their latents.
    """
    card = ModelCard(latent_dim=128, latent_scheme=LATENT_SCHEME, architecture="dcgan", loss="none")
    card.image.height, card.image.width, card.image.channels = shape
    generator = build_generator(
        "dcgan", ImageShape(*shape), latent_dim=card.latent_dim, num_classes=0, base_width=width
    )
    for weights in generator.parameters():
        if weights.ndim > 1:
            nn.init.kaiming_normal_(weights)
    export(generator, card, Target(models=models, name=name), device=device)


class Server(NamedTuple):
    """A server that takes requests, and its process."""

    address: str
    pid: int


@contextmanager
def serving(models: Path, *flags: str, program: Sequence[str] = GANSERVE) -> Iterator[Server]:
    """A server on a free port, of `ganserve` or a program that is called like it. Raises GanserveError without one."""
    command = [*program, "serve", "--models", str(models), "--listen", "127.0.0.1:0"]
    server = subprocess.Popen([*command, *flags], stderr=subprocess.PIPE, text=True)
    try:
        yield Server(_address(server), server.pid)
    finally:
        server.terminate()
        server.communicate(timeout=60)


def _address(server: subprocess.Popen[str]) -> str:
    """Where a server says that it listens."""
    line = "it ended without a word"
    for line in server.stderr or ():
        if match := re.search(r"serving on (\S+)", line):
            return match[1]
    raise GanserveError(line.strip().removeprefix("ganserve: error: "))
