"""How long replies of 1, 8 and 32 MiB take as a stream, where the images themselves cost nothing.

    python benchmarks/replies.py

The server remembers what its model made, so what is left is drawing, batching, framing and gRPC, on both sides.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from unittest.mock import patch

import grpc
from rich.console import Console

from command import run
from ganserve.client.benchmark.load import RequestKind, streams
from ganserve.contract.errors import GanserveError
from ganserve.contract.measurements import Spread
from ganserve.contract.rows import Rows
from ganserve.flags import Rounds
from ganserve.runtime.runners import CpuRunner
from ganserve.serving.config import ServingConfig
from ganserve.serving.server import Server
from ganserve.v1.generator_pb2 import ModelSelector
from servers import export_untrained

SHAPE: Final = (256, 256, 3)
MIB: Final = 1024**2


class RememberingServer(Server):
    """Makes the images of each size of batch once."""

    async def _main_loop(self) -> None:
        make, made = CpuRunner.run, dict[int, Rows]()

        def remember(runner: CpuRunner, rows: Rows) -> Rows:
            if len(rows) not in made:
                made[len(rows)] = make(runner, rows)
            return made[len(rows)]

        with patch.object(CpuRunner, "run", remember):
            await super()._main_loop()


def serve(models: Path, ready_file: Path) -> None:
    config = ServingConfig(models=models, listen="127.0.0.1:0", ready_file=ready_file, device="cpu")
    asyncio.run(RememberingServer(config).serve())


@contextmanager
def serving(models: Path) -> Iterator[str]:
    """The address of such a server."""
    ready_file = models / "address"
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(models, ready_file))
    server.start()
    try:
        while not ready_file.exists():
            if not server.is_alive():
                raise GanserveError("the server ended as it started")
            time.sleep(0.1)
        yield ready_file.read_text().strip()
    finally:
        server.terminate()
        server.join(60)


async def measure(address: str, rounds: int) -> list[str]:
    """A line for each size."""
    image_bytes = SHAPE[0] * SHAPE[1] * SHAPE[2]
    kind = RequestKind(model=ModelSelector(name="dcgan"), num_samples=1)
    lines = []
    async with grpc.aio.insecure_channel(address) as channel:
        for size in (1, 8, 32):
            waits_ms = []
            for round_number in range(rounds + 1):
                outcomes = await streams(channel, kind, num_samples=size * MIB // image_bytes, turn_s=0, timeout_s=60)
                if round_number:
                    waits_ms.append(statistics.median(wait_s for _, wait_s in outcomes.answered) * 1e3)
            lines.append(f"{size:2} MiB  {Spread.of(waits_ms):,.1f} ms")
    return lines


def main(*, rounds: Rounds = 9) -> None:
    """Measure streams of samples of 256×256 RGB pixels.

    Args:
        rounds: Streams of each size, after one that is not counted.
    """
    with tempfile.TemporaryDirectory() as models:
        export_untrained(Path(models), "dcgan", SHAPE, width=4)
        with serving(Path(models)) as address:
            lines = asyncio.run(measure(address, rounds))
    Console().print("\n".join(lines), highlight=False)


if __name__ == "__main__":
    run(main)
