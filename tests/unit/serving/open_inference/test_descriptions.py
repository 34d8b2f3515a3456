"""What the protocol tells of the server and its models."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Any

import grpc
import pytest

from ganserve.serving.open_inference.inference_pb2 import (
    DataType,
    ModelConfigRequest,
    ModelInstanceGroup,
    ModelMetadataRequest,
    ModelReadyRequest,
    ModelStatisticsRequest,
    RepositoryIndexRequest,
    RepositoryModelLoadRequest,
    RepositoryModelUnloadRequest,
    ServerLiveRequest,
    ServerMetadataRequest,
    ServerReadyRequest,
)
from ganserve.v1.model_pb2 import ModelState

from .conftest import Play, Stage
from .test_infer import fields_of, request_of

TINY = ModelMetadataRequest(name="tiny")


async def readiness(stage: Stage) -> tuple[bool, bool, bool]:
    live = await stage.inference.ServerLive(ServerLiveRequest())
    ready = await stage.inference.ServerReady(ServerReadyRequest())
    model = await stage.inference.ModelReady(ModelReadyRequest(name="tiny"))
    return live.live, ready.ready, model.ready


def test_it_is_ready_while_it_serves(play: Play) -> None:
    async def story(stage: Stage) -> None:
        for state, ready in (("LOADING", False), ("SERVING", True), ("DRAINING", False)):
            stage.answers.state = ModelState.Value(f"MODEL_STATE_{state}")
            assert await readiness(stage) == (True, ready, ready)

    play(story)


def test_a_model_is_ready_by_version_and_one_that_there_is_not_is_not(play: Play) -> None:
    async def story(stage: Stage) -> None:
        for name, number, ready in (("tiny", "1", True), ("tiny", "9", False), ("faces", "", False)):
            reply = await stage.inference.ModelReady(ModelReadyRequest(name=name, version=number))
            assert reply.ready == ready
        with pytest.raises(grpc.aio.AioRpcError, match=r"the version is '1\.5'") as caught:
            await stage.inference.ModelReady(ModelReadyRequest(name="tiny", version="1.5"))
        assert fields_of(caught.value) == ["version"]

    play(story)


def test_a_model_that_fails_is_unavailable_with_its_reason(play: Play) -> None:
    async def story(stage: Stage) -> None:
        for model in stage.repository:
            model.fault = f"{model.title} fails to run" if model.identity.name == "tiny" else ""
        assert await readiness(stage) == (True, True, False)
        index = (await stage.inference.RepositoryIndex(RepositoryIndexRequest())).models
        assert [(entry.name, entry.version, entry.state) for entry in index] == [
            ("plain", "1", "READY"),
            ("tiny", "1", "UNAVAILABLE"),
            ("tiny", "2", "UNAVAILABLE"),
        ]
        assert index[1].reason == "tiny:1 fails to run"
        ready = (await stage.inference.RepositoryIndex(RepositoryIndexRequest(ready=True))).models
        assert [entry.name for entry in ready] == ["plain"]
        for model in stage.repository:
            model.fault = "it fails to run"
        assert await readiness(stage) == (True, False, False)

    play(story)


def test_the_server_says_what_it_is(play: Play) -> None:
    async def story(stage: Stage) -> None:
        reply = await stage.inference.ServerMetadata(ServerMetadataRequest())
        assert (reply.name, reply.version) == ("ganserve", version("ganserve"))
        assert "statistics" in reply.extensions

    play(story)


def test_tensors_have_the_batch_as_their_first_axis(play: Play) -> None:
    async def story(stage: Stage) -> None:
        reply = await stage.inference.ModelMetadata(TINY)
        assert (reply.name, list(reply.versions), reply.platform) == ("tiny", ["1", "2"], "onnxruntime_onnx")
        assert [(t.name, t.datatype, list(t.shape)) for t in reply.inputs] == [
            ("latents", "FP32", [-1, 7]),
            ("labels", "INT64", [-1, 1]),
        ]
        assert [(t.name, t.datatype, list(t.shape)) for t in reply.outputs] == [
            ("images", "UINT8", [-1, 6, 5, 3]),
            ("labels", "INT64", [-1, 1]),
        ]
        plain = await stage.inference.ModelMetadata(ModelMetadataRequest(name="plain"))
        assert [tensor.name for tensor in (*plain.inputs, *plain.outputs)] == ["latents", "images"]

    play(story)


def test_the_configuration_agrees_with_the_tensors(play: Play) -> None:
    async def story(stage: Stage) -> None:
        metadata = await stage.inference.ModelMetadata(TINY)
        config = (await stage.inference.ModelConfig(ModelConfigRequest(name="tiny", version="1"))).config
        (model,) = [model for model in stage.repository if model.identity.version == 1 and model.card.class_names]
        assert config.max_batch_size == model.limits.samples_per_request
        for published, configured in ((metadata.inputs, config.input), (metadata.outputs, config.output)):
            assert [(t.name, f"TYPE_{t.datatype}", list(t.shape)) for t in published] == [
                (t.name, DataType.Name(t.data_type), [-1, *t.dims]) for t in configured
            ]
            assert [t.name for t in configured if t.HasField("reshape")] == ["labels"]
        assert config.instance_group[0].kind == ModelInstanceGroup.KIND_CPU
        assert config.dynamic_batching.priority_levels == 2
        assert json.loads(config.parameters["class_names"].string_value) == ["cat", "dog", "emu"]
        assert config.parameters["digest"].string_value == model.identity.digest
        assert not config.model_transaction_policy.decoupled

    play(story)


def test_statistics_count_requests_batches_and_their_time(play: Play) -> None:
    async def story(stage: Stage) -> None:
        (before,) = (await stage.inference.ModelStatistics(ModelStatisticsRequest(name="plain"))).model_stats
        assert (before.inference_count, before.execution_count, before.last_inference) == (0, 0, 0)
        for count in (1, 3, 20):
            await stage.inference.ModelInfer(request_of({"count": count}, model="plain"))
        with pytest.raises(grpc.aio.AioRpcError):
            await stage.inference.ModelInfer(request_of({"count": 0}, model="plain"))
        (after,) = (await stage.inference.ModelStatistics(ModelStatisticsRequest(name="plain"))).model_stats
        assert (
            after.inference_count
            == sum(batch.batch_size * batch.compute_infer.count for batch in after.batch_stats)
            == 24
        )
        assert after.execution_count == sum(batch.compute_infer.count for batch in after.batch_stats) >= 5
        stats = after.inference_stats
        assert (stats.success.count, stats.fail.count, stats.queue.count, stats.compute_infer.count) == (3, 1, 3, 3)
        assert abs(stats.success.ns - stats.queue.ns - stats.compute_infer.ns) < 10
        assert stats.compute_infer.ns > 0
        assert after.last_inference > 1_600_000_000_000

    play(story)


@pytest.mark.parametrize(
    ("name", "number", "expected"),
    [("", "", ["plain 1", "tiny 1", "tiny 2"]), ("tiny", "", ["tiny 1", "tiny 2"]), ("tiny", "1", ["tiny 1"])],
)
def test_statistics_of_all_models_or_of_some(play: Play, name: str, number: str, expected: list[str]) -> None:
    async def story(stage: Stage) -> None:
        reply = await stage.inference.ModelStatistics(ModelStatisticsRequest(name=name, version=number))
        assert [f"{entry.name} {entry.version}" for entry in reply.model_stats] == expected

    play(story)


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("ModelMetadata", ModelMetadataRequest(name="faces")),
        ("ModelConfig", ModelConfigRequest(name="faces")),
        ("ModelStatistics", ModelStatisticsRequest(name="faces")),
    ],
)
def test_a_model_that_there_is_not(play: Play, method: str, request_: Any) -> None:
    async def story(stage: Stage) -> None:
        with pytest.raises(grpc.aio.AioRpcError, match="there is no model 'faces'; this server has") as caught:
            await getattr(stage.inference, method)(request_)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND

    play(story)


def test_a_version_may_be_an_alias(play: Play) -> None:
    async def story(stage: Stage) -> None:
        stage.repository.aliases = {"tiny": {"stable": 1}}
        request = ModelStatisticsRequest(name="tiny", version="stable")
        (told,) = (await stage.inference.ModelStatistics(request)).model_stats
        assert told.version == "1"

    play(story)


def test_models_are_not_loaded_or_unloaded_by_request(play: Play) -> None:
    async def story(stage: Stage) -> None:
        load = stage.inference.RepositoryModelLoad(RepositoryModelLoadRequest(model_name="tiny"))
        unload = stage.inference.RepositoryModelUnload(RepositoryModelUnloadRequest(model_name="tiny"))
        for call in (load, unload):
            with pytest.raises(grpc.aio.AioRpcError, match="'tiny' is left as it is") as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

    play(story)


def test_the_one_repository_has_no_name(play: Play) -> None:
    async def story(stage: Stage) -> None:
        with pytest.raises(grpc.aio.AioRpcError, match="there is one repository here") as caught:
            await stage.inference.RepositoryIndex(RepositoryIndexRequest(repository_name="x"))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT

    play(story)


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("SystemSharedMemoryRegister", "no shared memory"),
        ("CudaSharedMemoryStatus", "no shared memory"),
        ("TraceSetting", "no trace settings"),
        ("LogSettings", "no log settings"),
    ],
)
def test_what_is_not_offered_is_said_in_words(play: Play, method: str, text: str) -> None:
    async def story(stage: Stage) -> None:
        call: Any = stage.channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
        with pytest.raises(grpc.aio.AioRpcError, match=text) as caught:
            await call(b"\x0a\x01x")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

    play(story)
