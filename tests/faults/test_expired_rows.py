"""Deadlines that are shorter than the queue: what can no longer be of use is never computed."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest

from ganserve.contract.rows import Rows
from ganserve.contract.tensors import pack_latents
from ganserve.runtime.engine import Engine
from ganserve.serving.config import ServingConfig
from ganserve.serving.server import Server
from ganserve.v1.generator_pb2 import (
    ClassReference,
    GenerateRequest,
    LabelPolicy,
    ModelSelector,
    SampleQuery,
)
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub

from .conftest import Note, Size

if TYPE_CHECKING:
    from ganserve.v1.generator_pb2_grpc import GeneratorServiceAsyncStub

DEADLINE_S = 0.4
RUN_S = 0.1


class SlowedEngine:
    """Makes every run take `RUN_S` once the server serves, and tells of each row when it began to run.

    Callers are told apart by the first latent of their rows.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.began_s: dict[int, float] = {}
        self.slow = False
        run = Engine.run

        def run_slowly(engine: Engine, rows: Rows) -> Rows:
            if self.slow:
                now_s = time.monotonic()
                self.began_s.update((int(first), now_s) for first in rows.columns["latents"][:, 0])
                time.sleep(RUN_S)
            return run(engine, rows)

        monkeypatch.setattr(Engine, "run", run_slowly)


def wait_for_address(ready_file: Path) -> str:
    end_s = time.monotonic() + 60
    while not ready_file.exists():
        assert time.monotonic() < end_s
        time.sleep(0.01)
    return ready_file.read_text().strip()


def request(caller: int, latent_dim: int = 16) -> GenerateRequest:
    latents = np.zeros((1, latent_dim), np.float32)
    latents[0, 0] = caller
    return GenerateRequest(
        query=SampleQuery(
            model=ModelSelector(name="digits"),
            latents=pack_latents(latents),
            labels=LabelPolicy(one=ClassReference(label=1)),
        )
    )


def test_rows_whose_deadline_has_passed_are_never_computed(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: Size, note: Note
) -> None:
    """The server is slower than it had measured, so it takes on more than it can do in time."""
    num_callers, num_waves = 40, size(3, 30)
    engine = SlowedEngine(monkeypatch)
    ends_s: dict[int, float] = {}
    codes: Counter[str] = Counter()

    async def call(stub: GeneratorServiceAsyncStub, caller: int) -> None:
        ends_s[caller] = time.monotonic() + DEADLINE_S
        try:
            await stub.Generate(request(caller), timeout=DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            codes[error.code().name] += 1
        else:
            codes["OK"] += 1

    async def story() -> None:
        config = ServingConfig(
            models=models, listen="127.0.0.1:0", ready_file=tmp_path / "ready", device="cpu", lanes=1, max_batch=1
        )
        server = Server(config)
        serving = asyncio.create_task(server.serve())
        address = await asyncio.to_thread(wait_for_address, tmp_path / "ready")
        async with grpc.aio.insecure_channel(address) as channel:
            engine.slow = True
            for wave in range(num_waves):
                callers = range(wave * num_callers, (wave + 1) * num_callers)
                await asyncio.gather(*(call(GeneratorServiceStub(channel), caller) for caller in callers))
        server.stop()
        await serving

    asyncio.run(story())
    late = [caller for caller, began_s in engine.began_s.items() if began_s > ends_s[caller] + RUN_S / 2]
    note(
        fault="deadlines shorter than the queue",
        load=f"{num_callers} callers at once, {num_waves} times, {DEADLINE_S:g} s each, of rows of {RUN_S:g} s each",
        expected="0 expired rows computed",
        seen=f"{len(late)} of {len(engine.began_s)} computed rows had expired; "
        + ", ".join(f"{count} {status}" for status, count in sorted(codes.items())),
    )
    assert codes["DEADLINE_EXCEEDED"] > num_waves  # the queue was longer than the deadline
    assert codes["OK"]
    assert late == []
