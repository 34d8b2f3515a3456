"""Health over real gRPC, and the watch over models whose runs fail."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from ganserve.contract.errors import ArtifactError, ServerError, UnavailableError
from ganserve.contract.tensors import pack_latents
from ganserve.runtime.sources import open_source
from ganserve.serving.call_gate import CallGate
from ganserve.serving.health import Health
from ganserve.serving.metrics import Metrics
from ganserve.serving.model import Model
from ganserve.serving.model_watch import _FAILURES_TO_DOUBT, ModelWatch
from ganserve.serving.repository import Repository
from ganserve.serving.scheduler import Caller
from ganserve.v1.generator_pb2 import ClassReference, LabelPolicy, SampleQuery

SERVICE = "test.Service"
MODEL = f"{SERVICE}/picky:1"
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


def play(story: Callable[[Health, Any], Awaitable[None]]) -> None:
    """Plays a story with a health service and a stub for it."""

    async def run() -> None:
        health = Health()
        server = grpc.aio.server(interceptors=(CallGate(SERVICE, max_calls=1, stall_s=60),))
        health_pb2_grpc.add_HealthServicer_to_server(health, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                await story(health, health_pb2_grpc.HealthStub(channel))
        finally:
            await server.stop(0)

    asyncio.run(asyncio.wait_for(run(), 60))


async def status_of(stub: Any, service: str) -> int:
    reply: HealthCheckResponse = await stub.Check(HealthCheckRequest(service=service))
    return reply.status


def test_a_service_that_is_not_there_is_not_found() -> None:
    async def story(health: Health, stub: Any) -> None:
        health.set(["here"], SERVING)
        assert await status_of(stub, "here") == SERVING
        with pytest.raises(grpc.aio.AioRpcError, match="there is no service 'elsewhere' here") as caught:
            await status_of(stub, "elsewhere")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND

    play(story)


def test_every_watcher_hears_of_every_change_though_others_leave() -> None:
    async def story(health: Health, stub: Any) -> None:
        health.set(["here"], SERVING)
        watchers = [stub.Watch(HealthCheckRequest(service="here")) for _ in range(3)]
        assert [(await watcher.read()).status for watcher in watchers] == [SERVING] * 3
        watchers[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await watchers[0].read()
        health.set(["here"], NOT_SERVING)
        assert [(await watcher.read()).status for watcher in watchers[1:]] == [NOT_SERVING] * 2
        unknown = stub.Watch(HealthCheckRequest(service="later"))
        assert (await unknown.read()).status == HealthCheckResponse.SERVICE_UNKNOWN
        health.set(["later"], SERVING)
        assert (await unknown.read()).status == SERVING

    play(story)


class Patient:
    """A model under watch, whose runs can be made to fail."""

    def __init__(self, model: Model, health: Health, watch: ModelWatch) -> None:
        self.model = model
        self.watch = watch
        self._health = health

    async def generate(self, largest_latent: float) -> None:
        latents = np.full((1, self.model.card.latent_dim), largest_latent, np.float32)
        source = open_source(
            SampleQuery(latents=pack_latents(latents), labels=LabelPolicy(one=ClassReference(label=0))), self.model.card
        )
        await self.model.batcher.run(source, 0, 1, Caller(client="a"))

    async def status(self, service: str) -> int:
        reply: HealthCheckResponse = await self._health.Check(HealthCheckRequest(service=service), None)
        return reply.status

    async def becomes(self, status: int) -> None:
        async for reply in self._health.Watch(HealthCheckRequest(service=MODEL), None):
            if reply.status == status:
                return


@pytest.fixture
def examine(
    tmp_path: Path, make_picky_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[Patient], Awaitable[None]]], None]:
    """Plays a story with a model on which ONNX Runtime fails where a latent exceeds 9."""
    monkeypatch.setattr("ganserve.serving.model_watch._CHECK_EVERY_S", 0.01)

    async def run(story: Callable[[Patient], Awaitable[None]]) -> None:
        repository = Repository(device="cpu", num_lanes=1, max_batch=2, max_queued_rows=10, max_wait_s=30.0)
        model = await repository.open(make_picky_bundle(tmp_path, fails_where="Greater", bound=9.0))
        health = Health()
        watch = ModelWatch(repository, health, SERVICE)
        watch.start()
        watching = asyncio.create_task(watch.run())
        await story(Patient(model, health, watch))
        watching.cancel()
        watch.stop()
        assert [await Patient(model, health, watch).status(name) for name in ("", SERVICE, MODEL)] == [NOT_SERVING] * 3
        await repository.close()

    return lambda story: asyncio.run(asyncio.wait_for(run(story), 60))


def test_rows_that_fail_do_not_make_a_model_suspect(
    examine: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    async def story(patient: Patient) -> None:
        for _ in range(10):
            with pytest.raises(ServerError, match="could not make these samples"):
                await patient.generate(10.0)
        for _ in range(3_000):  # until the watch has tried it; a few failures may have come since
            if patient.model.loaded.engine.num_failures < _FAILURES_TO_DOUBT:
                break
            await asyncio.sleep(0.01)
        assert patient.model.loaded.engine.num_failures < _FAILURES_TO_DOUBT
        assert [await patient.status(name) for name in ("", SERVICE, MODEL)] == [SERVING] * 3
        await patient.generate(1.0)

    examine(story)
    failures = [record for record in caplog.records if "a batch of 1 rows failed" in record.getMessage()]
    assert len(failures) <= 1
    assert not [record for record in caplog.records if record.exc_info]


def test_a_model_that_cannot_run_shows_and_comes_back(
    examine: Callable[..., None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def story(patient: Patient) -> None:
        runner = patient.model.loaded.engine._runner

        def fail(_: object) -> None:
            raise RuntimeError("CUDA failure 700:\nan illegal memory access")

        with monkeypatch.context() as patch:
            patch.setattr(runner, "run", fail, raising=True)
            for _ in range(3):
                with pytest.raises(ServerError):
                    await patient.generate(1.0)
            await patient.becomes(NOT_SERVING)
            assert [await patient.status(name) for name in ("", SERVICE)] == [NOT_SERVING] * 2
            with pytest.raises(UnavailableError, match="picky:1 fails to run on this server"):
                patient.watch.check(patient.model)
        await patient.becomes(SERVING)
        assert [await patient.status(name) for name in ("", SERVICE)] == [SERVING] * 2
        patient.watch.check(patient.model)
        await patient.generate(1.0)

    examine(story)
    messages = [record.getMessage() for record in caplog.records if record.name.endswith("model_watch")]
    assert messages == [
        "picky:1 fails to run, and is not served until it does: CUDA failure 700: an illegal memory access",
        "picky:1 runs again, and is served",
    ]


def test_models_that_come_are_refused_and_go_are_known(tmp_path: Path, make_bundle: Callable[..., Path]) -> None:
    async def run() -> None:
        health, metrics = Health(), Metrics()
        repository = Repository(
            device="cpu", num_lanes=1, max_batch=1, max_queued_rows=1, max_wait_s=30.0, linger_s=0, metrics=metrics
        )
        watch = ModelWatch(repository, health, SERVICE)
        watch.start()
        watching = asyncio.create_task(watch.run())

        async def becomes(service: str, status: int) -> None:
            async for reply in health.Watch(HealthCheckRequest(service=service), None):
                if reply.status == status:
                    return

        def shown(name: str) -> float | None:
            return metrics.registry.get_sample_value("ganserve_model_serving", {"model": name, "version": "1"})

        torn = make_bundle(tmp_path, "torn")
        (torn / "model.onnx").write_bytes(b"")
        with pytest.raises(ArtifactError):
            await repository.open(torn)
        await becomes(f"{SERVICE}/torn:1", NOT_SERVING)
        assert shown("torn") == 0
        await repository.open(make_bundle(tmp_path, "good"))
        await becomes(f"{SERVICE}/good:1", SERVING)
        await becomes("", SERVING)
        assert shown("good") == 1
        await repository.unload("good", 1)
        await repository.unload("torn", 1)
        await becomes(f"{SERVICE}/good:1", HealthCheckResponse.SERVICE_UNKNOWN)
        await becomes("", NOT_SERVING)
        await repository.freed()
        assert (shown("good"), shown("torn")) == (None, None)
        watching.cancel()
        await repository.close()

    asyncio.run(asyncio.wait_for(run(), 60))
