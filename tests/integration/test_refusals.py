"""What a server says to requests that no ganserve client would send: a status, a clear line, and the field at fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status

from ganserve.contract.tensors import pack_latents
from ganserve.v1.generator_pb2 import (
    Balanced,
    ClassReference,
    ExplicitLatents,
    GenerateRequest,
    GetModelRequest,
    ImageEncoding,
    LabelPolicy,
    ModelSelector,
    SampleAddress,
    SampleQuery,
    StreamSamplesRequest,
)
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub

from ..servers import ServerProcess

DIGITS = ModelSelector(name="digits")
PLAIN = ModelSelector(name="plain")
ONE = SampleAddress(seed=1, count=1)
NAN = np.full((2, 16), np.nan)


@pytest.fixture(scope="module")
def stub(server: ServerProcess) -> Iterator[GeneratorServiceStub]:
    with grpc.insecure_channel(server.address) as channel:
        yield GeneratorServiceStub(channel)


def refusal(error: Any) -> tuple[str, str, list[str]]:
    """Status name, text and the fields of a call's error."""
    status = Status()
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status.ParseFromString(value)
    bad_request = BadRequest()
    for detail in status.details:
        detail.Unpack(bad_request)
    return error.code().name, error.details() or "", [entry.field for entry in bad_request.field_violations]


def labelled(reference: ClassReference) -> SampleQuery:
    return SampleQuery(model=DIGITS, address=ONE, labels=LabelPolicy(one=reference))


BAD_QUERIES = {
    "no source": (SampleQuery(model=DIGITS), "INVALID_ARGUMENT", "give a sample address or latents", "query"),
    "no model": (SampleQuery(address=ONE), "INVALID_ARGUMENT", "name a model", "query.model.name"),
    "unknown model": (
        SampleQuery(model=ModelSelector(name="faces"), address=ONE),
        "NOT_FOUND",
        "no model 'faces'; this server has 'digits', 'plain'",
        "",
    ),
    "unknown version": (
        SampleQuery(model=ModelSelector(name="digits", version=9), address=ONE),
        "NOT_FOUND",
        "no version 9; this server has 1, 2",
        "",
    ),
    "another digest": (
        SampleQuery(model=ModelSelector(name="digits", digest="beef"), address=ONE),
        "FAILED_PRECONDITION",
        "no version with the digest beef",
        "query.model.digest",
    ),
    "n = 0": (
        SampleQuery(model=DIGITS, address=SampleAddress()),
        "INVALID_ARGUMENT",
        "count is 0",
        "query.address.count",
    ),
    "label -1": (labelled(ClassReference(label=-1)), "INVALID_ARGUMENT", "label -1 is not one of", "query.labels.one"),
    "unknown class": (labelled(ClassReference(name="cat")), "INVALID_ARGUMENT", "no class 'cat'", "query.labels.one"),
    "labels for an unconditional model": (
        SampleQuery(model=PLAIN, address=ONE, labels=LabelPolicy(balanced=Balanced())),
        "INVALID_ARGUMENT",
        "unconditional",
        "query.labels",
    ),
    "truncation 0": (
        SampleQuery(model=DIGITS, address=SampleAddress(count=1, truncation=0)),
        "INVALID_ARGUMENT",
        "truncation is 0.0",
        "query.address.truncation",
    ),
    "spread 0": (
        SampleQuery(model=DIGITS, address=SampleAddress(count=1, spread=0)),
        "INVALID_ARGUMENT",
        "spread is 0.0",
        "query.address.spread",
    ),
    "NaN latents": (
        SampleQuery(model=PLAIN, latents=pack_latents(NAN)),
        "INVALID_ARGUMENT",
        "row 0 holds a value that is not finite",
        "query.latents.values",
    ),
    "latents of the wrong size": (
        SampleQuery(model=PLAIN, latents=pack_latents(NAN[:, :5])),
        "INVALID_ARGUMENT",
        "5 values a row, and this model takes 16",
        "query.latents.dim",
    ),
    "torn latents": (
        SampleQuery(model=PLAIN, latents=ExplicitLatents(dim=16, values=b"\0" * 70)),
        "INVALID_ARGUMENT",
        "70 bytes long",
        "query.latents.values",
    ),
    "unknown format": (
        SampleQuery(model=DIGITS, address=ONE, encoding=ImageEncoding(format=99)),  # type: ignore[arg-type]
        "INVALID_ARGUMENT",
        "image format 99 does not exist",
        "query.encoding.format",
    ),
}


@pytest.mark.parametrize(("query", "status", "message", "field"), BAD_QUERIES.values(), ids=BAD_QUERIES.keys())
@pytest.mark.parametrize("method", ["Generate", "StreamSamples"])
def test_a_bad_query_is_refused(
    stub: GeneratorServiceStub, method: str, query: SampleQuery, status: str, message: str, field: str
) -> None:
    calls: dict[str, Callable[[], object]] = {
        "Generate": lambda: stub.Generate(GenerateRequest(query=query), timeout=10),
        "StreamSamples": lambda: list(stub.StreamSamples(StreamSamplesRequest(query=query), timeout=10)),
    }
    with pytest.raises(grpc.RpcError) as caught:
        calls[method]()
    found_status, text, fields = refusal(caught.value)
    assert found_status == status
    assert message in text
    assert fields == ([field] if field else [])


def test_more_than_one_reply_holds_is_refused(stub: GeneratorServiceStub) -> None:
    limit = stub.GetModel(GetModelRequest(model=DIGITS), timeout=10).model.max_samples_per_request
    query = SampleQuery(model=DIGITS, address=SampleAddress(seed=1, count=limit))
    assert stub.Generate(GenerateRequest(query=query), timeout=30).batch.count == limit
    query.address.count += 1
    with pytest.raises(grpc.RpcError) as caught:
        stub.Generate(GenerateRequest(query=query), timeout=10)
    status, text, fields = refusal(caught.value)
    assert (status, fields) == ("INVALID_ARGUMENT", ["query.address.count"])
    assert f"makes 1 to {limit:,} at once" in text


def test_a_deadline_that_cannot_be_met_is_refused(stub: GeneratorServiceStub) -> None:
    query = SampleQuery(model=DIGITS, address=SampleAddress(seed=1, count=5000))
    with pytest.raises(grpc.RpcError) as caught:
        stub.Generate(GenerateRequest(query=query), timeout=0.01)
    assert refusal(caught.value)[0] == "DEADLINE_EXCEEDED"


def test_a_stream_of_no_samples_a_reply_is_refused(stub: GeneratorServiceStub) -> None:
    request = StreamSamplesRequest(query=SampleQuery(model=DIGITS, address=ONE), max_batch_size=0)
    with pytest.raises(grpc.RpcError) as caught:
        list(stub.StreamSamples(request, timeout=10))
    assert refusal(caught.value) == (
        "INVALID_ARGUMENT",
        "max_batch_size is 0; give at least 1, or leave it out",
        ["max_batch_size"],
    )


def test_the_server_is_unharmed(stub: GeneratorServiceStub) -> None:
    """Runs last in this file: after all those refusals the server still serves."""
    assert stub.Generate(GenerateRequest(query=SampleQuery(model=DIGITS, address=ONE)), timeout=10).batch.count == 1
