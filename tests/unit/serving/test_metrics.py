"""What is counted, while a real server answers over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from ganserve.contract.errors import ArtifactError
from ganserve.serving.answers import Answers
from ganserve.serving.call_gate import CallGate
from ganserve.serving.health import Health
from ganserve.serving.metrics import Metrics
from ganserve.serving.model_watch import ModelWatch
from ganserve.serving.repository import Repository
from ganserve.serving.scheduler import Caller
from ganserve.serving.service import SERVICE_NAME, GeneratorService
from ganserve.v1.generator_pb2 import (
    GenerateManyRequest,
    GenerateRequest,
    ImageEncoding,
    ImageFormat,
    ListModelsRequest,
    ModelSelector,
    SampleAddress,
    SampleQuery,
    StreamSamplesRequest,
    TimedRequest,
)
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub
from ganserve.v1.model_pb2 import ModelState

if TYPE_CHECKING:
    from ganserve.v1.generator_pb2_grpc import GeneratorServiceAsyncStub

TINY = {"model": "tiny", "version": "1"}
NONE = {"model": "", "version": ""}


class Stage:
    """A server of one tiny model, and what it counts."""

    def __init__(self, stub: GeneratorServiceAsyncStub, repository: Repository, metrics: Metrics, watch: ModelWatch):
        self.stub = stub
        self.repository = repository
        self.metrics = metrics
        self.watch = watch

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"ganserve_{name}", labels)

    def calls(self, method: str, code: str, **labels: str) -> float | None:
        return self.value("calls_total", method=f"{SERVICE_NAME}/{method}", code=code, **(labels or TINY))

    def rows(self, method: str, code: str) -> float | None:
        return self.value("rows_total", method=f"{SERVICE_NAME}/{method}", code=code, **TINY)


Story = Callable[[Stage], Awaitable[None]]
Play = Callable[..., None]


@pytest.fixture
def play(tmp_path: Path, make_bundle: Callable[..., Path]) -> Play:
    """Plays a story with a server of its own."""

    async def run(story: Story, max_queued_rows: int, max_reply_bytes: int, max_calls: int) -> None:
        metrics = Metrics()
        repository = Repository(
            linger_s=0,
            device="cpu",
            num_lanes=1,
            max_batch=8,
            max_queued_rows=max_queued_rows,
            max_wait_s=30.0,
            metrics=metrics,
        )
        await repository.open(make_bundle(tmp_path))
        with ThreadPoolExecutor(1) as workers:
            watch = ModelWatch(repository, Health(), SERVICE_NAME)
            answers = Answers(
                repository,
                workers=workers,
                max_reply_bytes=max_reply_bytes,
                check_model=watch.check,
                metrics=metrics,
            )
            answers.state = ModelState.MODEL_STATE_SERVING
            gate = CallGate(SERVICE_NAME, max_calls=max_calls, stall_s=60, metrics=metrics)
            server = grpc.aio.server(interceptors=(gate,))
            server.add_generic_rpc_handlers((GeneratorService(answers).rpc_handler(),))
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                await story(Stage(GeneratorServiceStub(channel), repository, metrics, watch))
            await server.stop(0)
        await repository.close()

    def start(
        story: Story, *, max_queued_rows: int = 10_000, max_reply_bytes: int = 2**20, max_calls: int = 100
    ) -> None:
        asyncio.run(asyncio.wait_for(run(story, max_queued_rows, max_reply_bytes, max_calls), 60))

    return start


def generate_request(count: int = 1, model: str = "tiny", **of_address: Any) -> GenerateRequest:
    return GenerateRequest(
        query=SampleQuery(
            model=ModelSelector(name=model), address=SampleAddress(**{"seed": 1, "count": count, **of_address})
        )
    )


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what changes it tells nobody
            await asyncio.sleep(0.001)


def test_calls_and_rows_by_model_method_and_code(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.stub.Generate(generate_request(3))
        await stage.stub.Generate(generate_request(4))
        await stage.stub.ListModels(ListModelsRequest())
        for wrong in (generate_request(1, truncation=-1), generate_request(1, model="huge"), generate_request(10**6)):
            with pytest.raises(grpc.aio.AioRpcError):
                await stage.stub.Generate(wrong)
        stream = stage.stub.StreamSamples(StreamSamplesRequest(query=generate_request(20).query, max_batch_size=8))
        assert [part.batch.count async for part in stream] == [8, 8, 4]
        await until(lambda: stage.calls("StreamSamples", "OK"))
        assert stage.calls("Generate", "OK") == 2
        assert stage.rows("Generate", "OK") == 7
        assert stage.calls("Generate", "INVALID_ARGUMENT") == 2
        assert stage.rows("Generate", "INVALID_ARGUMENT") == 10**6
        assert stage.calls("Generate", "NOT_FOUND", **NONE) == 1
        assert stage.calls("ListModels", "OK", **NONE) == 1
        assert stage.calls("StreamSamples", "OK") == 1
        assert stage.rows("StreamSamples", "OK") == 20
        assert stage.value("call_seconds_count", method=f"{SERVICE_NAME}/Generate") == 5

    play(story)


def test_of_a_joint_call_each_request_counts_its_rows(play: Play) -> None:
    async def story(stage: Stage) -> None:
        requests = [TimedRequest(request=generate_request(count)) for count in (1, 2, 10**6)]
        await stage.stub.GenerateMany(GenerateManyRequest(requests=requests))
        assert stage.calls("GenerateMany", "OK") == 1
        assert stage.rows("GenerateMany", "OK") == 3
        assert stage.rows("GenerateMany", "INVALID_ARGUMENT") == 10**6

    play(story)


def test_what_a_batch_went_through(play: Play) -> None:
    async def story(stage: Stage) -> None:
        request = generate_request(20)
        request.query.encoding.CopyFrom(ImageEncoding(format=ImageFormat.IMAGE_FORMAT_PNG))
        await stage.stub.Generate(request)
        assert stage.value("queue_wait_seconds_count", priority="interactive", **TINY) == 1
        assert stage.value("queue_wait_seconds_count", priority="bulk", **TINY) == 0
        assert stage.value("batch_rows_sum", **TINY) == 20
        num_batches = stage.value("batch_rows_count", **TINY)
        cuts = [stage.value("batches_total", cut=cut, **TINY) or 0 for cut in ("full", "drained", "sized", "divided")]
        assert sum(cuts) == num_batches
        assert stage.value("compute_seconds_count", **TINY) == num_batches
        assert stage.value("encode_seconds_count", format="png") == 1

    play(story)


def test_bytes_are_those_of_the_messages(play: Play) -> None:
    async def story(stage: Stage) -> None:
        request = generate_request(5)
        reply = await stage.stub.Generate(request)
        method = f"{SERVICE_NAME}/Generate"
        assert stage.value("request_bytes_total", method=method) == request.ByteSize()
        assert stage.value("reply_bytes_total", method=method) == reply.ByteSize()
        listed = await stage.stub.ListModels(ListModelsRequest())
        assert stage.value("reply_bytes_total", method=f"{SERVICE_NAME}/ListModels") == listed.ByteSize()

    play(story)


def test_a_call_whose_caller_leaves_is_cancelled_and_one_whose_time_is_up_has_expired(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go = asyncio.Event()

    async def wait(*_: object) -> None:
        await may_go.wait()

    monkeypatch.setattr(GeneratorService, "_serialise", wait)

    async def story(stage: Stage) -> None:
        call = stage.stub.Generate(generate_request())
        await until(lambda: stage.value("calls_in_progress", protocol="grpc"))
        call.cancel()
        await until(lambda: stage.calls("Generate", "CANCELLED"))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stage.stub.Generate(generate_request(), timeout=0.5)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: stage.calls("Generate", "DEADLINE_EXCEEDED"))

    play(story)


def test_refusals_by_the_limit_that_was_reached(play: Play) -> None:
    async def story(stage: Stage) -> None:
        batcher = stage.repository.resolve(ModelSelector(name="tiny"), field="model").batcher
        with batcher.admitted(95, Caller(client="another")), pytest.raises(grpc.aio.AioRpcError) as caught:
            await stage.stub.Generate(generate_request(10))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert stage.value("refusals_total", limit="queued_rows") == 1
        assert stage.rows("Generate", "RESOURCE_EXHAUSTED") == 10
        assert stage.value("queued_rows_limit", **TINY) == 100

    play(story, max_queued_rows=100)


def test_a_model_tells_what_it_runs_on_and_whether_it_serves(play: Play) -> None:
    async def story(stage: Stage) -> None:
        model = stage.repository.resolve(ModelSelector(name="tiny"), field="model")
        (info,) = [
            sample.labels
            for metric in stage.metrics.registry.collect()
            for sample in metric.samples
            if sample.name == "ganserve_model_info"
        ]
        assert info["digest"] == model.identity.digest
        assert (info["device"], info["provider"], info["fallback"]) == ("cpu", "CPUExecutionProvider", "false")
        assert info["reproducibility"] == "identical"
        assert stage.value("model_serving", **TINY) == 0
        stage.watch.start()
        assert stage.value("model_serving", **TINY) == 1
        stage.watch.stop()
        assert stage.value("model_serving", **TINY) == 0

    play(story)


def test_loads_are_counted_and_what_a_retired_model_counted_is_dropped(
    play: Play, tmp_path: Path, make_bundle: Callable[..., Path]
) -> None:
    async def story(stage: Stage) -> None:
        second = await stage.repository.open(make_bundle(tmp_path, "tiny", 2))
        await stage.stub.Generate(generate_request())
        torn = make_bundle(tmp_path, "torn")
        (torn / "model.onnx").write_bytes(b"")
        with pytest.raises(ArtifactError):
            await stage.repository.open(torn)
        assert stage.value("model_loads_total", model="tiny", outcome="loaded") == 2
        assert stage.value("model_loads_total", model="torn", outcome="failed") == 1
        assert stage.value("model_load_seconds_count", model="tiny") == 2
        await stage.repository.unload("tiny", second.identity.version)
        await stage.repository.freed()
        left = {
            sample.labels["version"]
            for metric in stage.metrics.registry.collect()
            for sample in metric.samples
            if sample.labels.get("model") == "tiny" and "version" in sample.labels
        }
        assert left == {"1"}

    play(story)


def test_who_shares_a_models_numbers_keeps_them_until_both_are_closed() -> None:
    metrics = Metrics()
    old, new = metrics.of_model("tiny", 1), metrics.of_model("tiny", 1)
    old.close()
    new.failed_rows.add()
    assert metrics.registry.get_sample_value("ganserve_failed_rows_total", TINY) == 1
    new.close()
    assert metrics.registry.get_sample_value("ganserve_failed_rows_total", TINY) is None
    new.count_rows("late", "OK", 3)
    assert metrics.registry.get_sample_value("ganserve_rows_total", {**TINY, "method": "late", "code": "OK"}) is None


def test_the_process_and_the_server_are_shown() -> None:
    registry = Metrics().registry
    names = {sample.name for metric in registry.collect() for sample in metric.samples}
    assert {"process_resident_memory_bytes", "process_cpu_seconds_total", "ganserve_server_info"} <= names
