"""The service over real gRPC, with a model of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from ganserve.serving.answers import Answers
from ganserve.serving.call_gate import CallGate
from ganserve.serving.health import Health
from ganserve.serving.model_watch import ModelWatch
from ganserve.serving.open_inference.service import OpenInferenceService
from ganserve.serving.repository import Repository
from ganserve.serving.service import GeneratorService
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub
from ganserve.v1.model_pb2 import ModelCard, ModelState


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A server with the models `tiny`, conditional, in the versions 1 and 2, and `plain`.

    Attributes:
        inference: the protocol's methods.
        generator: those of our own service, over the same answers.
    """

    inference: Any
    generator: Any
    channel: grpc.aio.Channel
    answers: Answers
    repository: Repository
    gate: CallGate
    watch: ModelWatch


Story = Callable[[Stage], Awaitable[None]]
Play = Callable[[Story], None]


@pytest.fixture(scope="session")
def bundles(
    tmp_path_factory: pytest.TempPathFactory, make_bundle: Callable[..., Path], tiny_card: ModelCard
) -> list[Path]:
    """Folders of bundles."""
    models = tmp_path_factory.mktemp("models")
    plain = ModelCard()
    plain.CopyFrom(tiny_card)
    plain.ClearField("class_names")
    return [make_bundle(models), make_bundle(models, version=2), make_bundle(models, "plain", card=plain)]


@pytest.fixture
def play(bundles: list[Path], inference_stub: Callable[[Any], Any]) -> Play:
    """Plays a story on a stage."""

    async def run(story: Story) -> None:
        repository = Repository(device="cpu", num_lanes=1, max_batch=8, max_queued_rows=10_000, max_wait_s=30.0)
        for bundle in bundles:
            await repository.open(bundle)
        with ThreadPoolExecutor(1) as workers:
            watch = ModelWatch(repository, Health(), OpenInferenceService.name)
            answers = Answers(repository, workers=workers, max_reply_bytes=2**26, check_model=watch.check)
            answers.state = ModelState.MODEL_STATE_SERVING
            gate = CallGate(OpenInferenceService.name, max_calls=100, stall_s=60)
            server = grpc.aio.server(interceptors=(gate,))
            services = (OpenInferenceService(answers), GeneratorService(answers))
            server.add_generic_rpc_handlers([service.rpc_handler() for service in services])
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            try:
                async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                    stage = Stage(
                        inference=inference_stub(channel),
                        generator=GeneratorServiceStub(channel),
                        channel=channel,
                        answers=answers,
                        repository=repository,
                        gate=gate,
                        watch=watch,
                    )
                    await story(stage)
            finally:
                await server.stop(0)
        await repository.close()

    return lambda story: asyncio.run(asyncio.wait_for(run(story), 60))
