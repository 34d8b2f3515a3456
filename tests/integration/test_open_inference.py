"""The Open Inference Protocol of a whole server, on the port of our own service."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from ganserve.client import Client
from ganserve.serving.open_inference import inference_pb2
from ganserve.serving.open_inference.inference_pb2 import InferParameter, ModelInferRequest

from ..servers import ServerProcess, StartServer

MakeStub = Callable[[Any], Any]
SERVICE = "inference.GRPCInferenceService"
BOTH_SERVICES = ("ganserve.v1.GeneratorService", SERVICE)


@pytest.fixture(scope="module")
def channel(server: ServerProcess) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.address) as channel:
        yield channel


InferInputTensor = ModelInferRequest.InferInputTensor


def digits_request(**parameters: int) -> ModelInferRequest:
    values = {name: InferParameter(int64_param=value) for name, value in parameters.items()}
    return ModelInferRequest(model_name="digits", model_version="1", parameters=values)


def reflect(channel: grpc.Channel, **question: Any) -> ServerReflectionResponse:
    stub: Any = ServerReflectionStub(channel)
    (reply,) = stub.ServerReflectionInfo(iter([ServerReflectionRequest(**question)]), timeout=30)
    assert isinstance(reply, ServerReflectionResponse)
    return reply


def test_it_makes_the_samples_that_the_client_gets(
    server: ServerProcess, channel: grpc.Channel, inference_stub: MakeStub
) -> None:
    reply = inference_stub(channel).ModelInfer(digits_request(seed=7, index=2, count=6), timeout=30)
    with Client(server.address, model="digits", version=1) as client:
        samples = client.generate(6, seed=7, first_index=2)
    images = np.frombuffer(reply.raw_output_contents[0], np.uint8).reshape(tuple(reply.outputs[0].shape))
    labels = np.frombuffer(reply.raw_output_contents[1], np.int64)
    assert np.array_equal(images, samples.numpy())
    assert labels.tolist() == np.asarray(samples.labels).tolist()
    assert reply.parameters["digest"].string_param == samples.model.digest


def test_reflection_describes_both_services_so_that_a_stranger_can_call_them(channel: grpc.Channel) -> None:
    listed = [service.name for service in reflect(channel, list_services="").list_services_response.service]
    assert set(BOTH_SERVICES) < set(listed)
    for name in BOTH_SERVICES:
        pool = DescriptorPool()
        files = reflect(channel, file_containing_symbol=name).file_descriptor_response.file_descriptor_proto
        for file in reversed(files):
            pool.Add(FileDescriptorProto.FromString(file))
        assert pool.FindServiceByName(name).methods
    told = reflect(channel, file_by_filename=inference_pb2.DESCRIPTOR.name).file_descriptor_response
    assert told.file_descriptor_proto[0] == inference_pb2.DESCRIPTOR.serialized_pb


def test_health_knows_the_service_and_its_models(channel: grpc.Channel) -> None:
    health: Any = HealthStub(channel)
    for service in ("", *BOTH_SERVICES, f"{SERVICE}/digits:2"):
        assert health.Check(HealthCheckRequest(service=service), timeout=30).status == HealthCheckResponse.SERVING


def test_a_stream_that_is_kept_open_does_not_hold_up_the_stop(
    models: Path, start_server: StartServer, inference_stub: MakeStub
) -> None:
    requests: queue.SimpleQueue[ModelInferRequest | None] = queue.SimpleQueue()
    requests.put(digits_request(seed=1))
    with start_server(models, "--grace-s", "60") as server, grpc.insecure_channel(server.address) as channel:
        replies = inference_stub(channel).ModelStreamInfer(iter(requests.get, None), timeout=60)
        assert next(replies).error_message == ""
        assert server.stop() == 0
        assert "the server is stopping" in replies.details()
        assert replies.code() is grpc.StatusCode.UNAVAILABLE
    requests.put(None)
