"""Traces of calls, as a collector gets them."""

from __future__ import annotations

import http.client
import queue
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from ganserve.v1.generator_pb2 import GenerateRequest, ModelSelector, SampleAddress, SampleQuery, StreamSamplesRequest
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub

from ..servers import RunCommand, StartServer

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = (("traceparent", f"00-{TRACE}-{PARENT}-01"),)
PHASES = ("queue", "compute", "encode")
SLACK_NS = 1_000_000  # between the clocks that tell time and duration


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the spans that it gets."""

    def __init__(self) -> None:
        self.spans: queue.Queue[Any] = queue.Queue()
        self.services: set[str] = set()

    def Export(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        for resource in request.resource_spans:
            self.services.add(attributes(resource.resource)["service.name"])
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.put(span)
        return trace_service_pb2.ExportTraceServiceResponse()


class Collecting(NamedTuple):
    """A collector, and where it listens."""

    collector: Collector
    endpoint: str


@pytest.fixture
def collecting() -> Iterator[Collecting]:
    server = grpc.server(ThreadPoolExecutor(2))
    collector = Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield Collecting(collector, f"http://127.0.0.1:{port}")
    server.stop(0).wait()


def query(name: str = "digits", count: int = 3) -> SampleQuery:
    return SampleQuery(model=ModelSelector(name=name), address=SampleAddress(seed=1, count=count))


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def test_every_call_is_a_span_however_it_ends(models: Path, start_server: StartServer, collecting: Collecting) -> None:
    with start_server(models, "--otlp-endpoint", collecting.endpoint) as server:
        with grpc.insecure_channel(server.address) as channel:
            stub = GeneratorServiceStub(channel)
            stub.Generate(GenerateRequest(query=query()), metadata=TRACEPARENT)
            with pytest.raises(grpc.RpcError):
                stub.Generate(GenerateRequest(query=query("cats")), metadata=(("x-request-id", "mine"),))
            stream = stub.StreamSamples(StreamSamplesRequest(query=query(count=2**40)))
            next(iter(stream))
            stream.cancel()
        assert server.stop() == 0
    assert collecting.collector.services == {"ganserve"}
    spans = [collecting.collector.spans.get_nowait() for _ in range(collecting.collector.spans.qsize())]
    calls = {attributes(span).get("error.type", "OK"): span for span in spans if attributes(span)}
    assert calls.keys() == {"OK", "NOT_FOUND", "CANCELLED"}
    assert not any(span.status.code for span in calls.values())

    good, told = calls["OK"], attributes(calls["OK"])
    assert (good.trace_id.hex(), good.parent_span_id.hex()) == (TRACE, PARENT)
    assert good.name == "ganserve.v1.GeneratorService/Generate"
    assert (told["rpc.service"], told["rpc.method"]) == ("ganserve.v1.GeneratorService", "Generate")
    assert (told["ganserve.model"], told["ganserve.version"], told["ganserve.request_id"]) == ("digits", "2", TRACE)

    phases = {span.name: span for span in spans if span.parent_span_id == good.span_id}
    assert phases.keys() == set(PHASES)
    bounds = [(phases[name].start_time_unix_nano, phases[name].end_time_unix_nano) for name in PHASES]
    moments = [good.start_time_unix_nano, *(moment for bound in bounds for moment in bound), good.end_time_unix_nano]
    assert all(later >= earlier - SLACK_NS for earlier, later in pairwise(moments))

    assert not calls["NOT_FOUND"].parent_span_id
    assert attributes(calls["NOT_FOUND"])["ganserve.request_id"] == "mine"


def test_a_request_of_http_is_a_span_of_its_route(
    models: Path, start_server: StartServer, collecting: Collecting
) -> None:
    with start_server(models, "--otlp-endpoint", collecting.endpoint, "--http", "127.0.0.1:0") as server:
        address = next(match[1] for line in server.log if (match := re.search(r"HTTP on http://(\S+)", line)))
        for path in ("/v1/models/cats", "/nowhere"):
            connection = http.client.HTTPConnection(address, timeout=60)
            connection.request("GET", path)
            assert connection.getresponse().status == 404
            connection.close()
        assert server.stop() == 0
    assert collecting.collector.services == {"ganserve"}
    spans = [collecting.collector.spans.get_nowait() for _ in range(collecting.collector.spans.qsize())]
    assert {span.name: attributes(span).get("http.route") for span in spans} == {
        "GET /v1/models/{model}": "/v1/models/{model}",
        "HTTP other": None,
    }


def test_a_collector_that_is_not_there_holds_nobody_up(models: Path, start_server: StartServer) -> None:
    with start_server(models, "--otlp-endpoint", "http://127.0.0.1:1") as server:
        with grpc.insecure_channel(server.address) as channel:
            for _ in range(20):
                GeneratorServiceStub(channel).Generate(GenerateRequest(query=query()), timeout=30)
        assert server.stop() == 0
    assert not [line for line in server.log if "Traceback" in line]


def test_an_endpoint_that_is_none_is_refused(run_command: RunCommand, models: Path) -> None:
    done = run_command("serve", "--models", models, "--otlp-endpoint", "127.0.0.1:4317")
    assert done.returncode == 2
    assert "--otlp-endpoint '127.0.0.1:4317' is no http://host:port or https://host:port" in done.stderr
