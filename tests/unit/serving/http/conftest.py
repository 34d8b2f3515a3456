"""A server of one tiny model over HTTP, on a free port of the loopback."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ganserve.serving.access import Access
from ganserve.serving.answers import Answers
from ganserve.serving.batcher import Batcher
from ganserve.serving.health import Health
from ganserve.serving.http.app import build_app
from ganserve.serving.http.gate import HttpGate
from ganserve.serving.http.listener import Listener
from ganserve.serving.metrics import Metrics
from ganserve.serving.model import Model
from ganserve.serving.model_watch import ModelWatch
from ganserve.serving.repository import Repository
from ganserve.serving.service import SERVICE_NAME
from ganserve.v1.generator_pb2 import ModelSelector
from ganserve.v1.model_pb2 import ModelState

GRPC_ADDRESS = "127.0.0.1:50051"


@dataclass(frozen=True)
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Stage:
    """A server, and a client that asks it.

    Attributes:
        address: `host:port` of the HTTP server.
        models: folder of bundles, in which others may be opened.
    """

    def __init__(
        self,
        answers: Answers,
        repository: Repository,
        metrics: Metrics,
        watch: ModelWatch,
        gate: HttpGate,
        models: Path,
    ) -> None:
        self.answers = answers
        self.repository = repository
        self.metrics = metrics
        self.watch = watch
        self.gate = gate
        self.models = models
        self.address = ""

    @property
    def model(self) -> Model:
        return self.repository.resolve(ModelSelector(name="tiny"), field="model")

    @property
    def batcher(self) -> Batcher:
        return self.model.batcher

    @property
    def digest(self) -> str:
        return self.model.identity.digest

    async def get(self, path: str, *, method: str = "GET", **headers: str) -> Reply:
        """Asks; the names of headers are written with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await asyncio.to_thread(self._ask, method, path, named)

    async def post(self, path: str, body: bytes, **headers: str) -> Reply:
        """Sends a body."""
        return await asyncio.to_thread(self._ask, "POST", path, headers, body)

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"ganserve_{name}", labels)

    def num_runs(self) -> float:
        return self.value("batch_rows_count", model="tiny", version="1") or 0

    def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> Reply:
        connection = http.client.HTTPConnection(self.address, timeout=60)
        try:
            connection.request(method, path, body, headers)
            reply = connection.getresponse()
            return Reply(reply.status, reply.headers, reply.read())
        finally:
            connection.close()


Story = Callable[[Stage], Awaitable[None]]
Play = Callable[..., None]


@pytest.fixture
def play(tmp_path: Path, make_bundle: Callable[..., Path]) -> Play:
    """Plays a story with a server of its own."""

    async def run(
        story: Story,
        max_queued_rows: int,
        max_reply_bytes: int,
        max_calls: int,
        stall_s: float,
        access: Access | None,
        bundle: dict[str, Any],
    ) -> None:
        metrics, health = Metrics(), Health()
        repository = Repository(
            device="cpu", num_lanes=1, max_batch=8, max_queued_rows=max_queued_rows, max_wait_s=30.0, metrics=metrics
        )
        await repository.open(make_bundle(tmp_path, **bundle))
        with ThreadPoolExecutor(1) as workers:
            watch = ModelWatch(repository, health, SERVICE_NAME)
            answers = Answers(
                repository, workers=workers, max_reply_bytes=max_reply_bytes, check_model=watch.check, metrics=metrics
            )
            answers.state = ModelState.MODEL_STATE_SERVING
            watch.start()
            gate = build_app(
                answers, metrics, health, lambda: GRPC_ADDRESS, access=access, max_calls=max_calls, stall_s=stall_s
            )
            listener = Listener("127.0.0.1:0", gate)
            await listener.open()
            stage = Stage(answers, repository, metrics, watch, gate, tmp_path)
            stage.address = listener.address
            try:
                await story(stage)
            finally:
                await listener.close()
        await repository.close()

    def start(
        story: Story,
        *,
        max_queued_rows: int = 10_000,
        max_reply_bytes: int = 2**20,
        max_calls: int = 100,
        stall_s: float = 60,
        access: Access | None = None,
        **bundle: Any,
    ) -> None:
        asyncio.run(
            asyncio.wait_for(run(story, max_queued_rows, max_reply_bytes, max_calls, stall_s, access, bundle), 120)
        )

    return start


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what changes it tells nobody
            await asyncio.sleep(0.001)
