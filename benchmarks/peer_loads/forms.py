"""In which form each server takes latents and gives images, as the bytes of its requests and replies."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from ganserve.contract.latents import sample_latents
from ganserve.v1.generator_pb2 import (
    ExplicitLatents,
    GenerateManyRequest,
    GenerateManyResponse,
    GenerateRequest,
    GenerateResponse,
    ModelSelector,
    SampleAddress,
    SampleQuery,
    TimedRequest,
)

from .errors import PeerError

SEED = 1
MODEL = "generator"


@dataclass(frozen=True)
class Rows:
    """Latents that a request asks the images of, which are those of an address."""

    first_index: int
    count: int
    dim: int

    def latents(self) -> npt.NDArray[np.float32]:
        return sample_latents(SEED, self.first_index, self.count, self.dim)

    def data(self) -> bytes:
        return self.latents().astype("<f4").tobytes()


class Form(Protocol):
    """How to speak with a kind of server.

    Attributes:
        transport: what carries the requests.
        target: gRPC's method, or HTTP's path and type of body.
    """

    @property
    def transport(self) -> Literal["grpc", "http"]: ...
    @property
    def target(self) -> str: ...

    def request(self, rows: Rows) -> bytes: ...
    def pixels(self, reply: bytes) -> bytes:
        """The images of a reply, one after the other."""
        ...


class Addressed:
    """Ours: the request says which samples, and the server draws the latents."""

    transport: Literal["grpc"] = "grpc"
    target = "/ganserve.v1.GeneratorService/Generate"

    def message(self, rows: Rows) -> GenerateRequest:
        address = SampleAddress(seed=SEED, first_index=rows.first_index, count=rows.count)
        return GenerateRequest(query=SampleQuery(model=ModelSelector(name=MODEL), address=address))

    def request(self, rows: Rows) -> bytes:
        return self.message(rows).SerializeToString()

    def pixels(self, reply: bytes) -> bytes:
        return GenerateResponse.FromString(reply).batch.pixels


class OwnLatents(Addressed):
    """Ours: the request holds the latents."""

    def message(self, rows: Rows) -> GenerateRequest:
        latents = ExplicitLatents(dim=rows.dim, values=rows.data())
        return GenerateRequest(query=SampleQuery(model=ModelSelector(name=MODEL), latents=latents))


class Coalesced(Addressed):
    """Ours: calls for one sample each that travel together, as those of a client with `coalesce` do."""

    target = "/ganserve.v1.GeneratorService/GenerateMany"

    def request(self, rows: Rows) -> bytes:
        singles = (Rows(rows.first_index + i, 1, rows.dim) for i in range(rows.count))
        requests = [TimedRequest(request=self.message(single)) for single in singles]
        return GenerateManyRequest(requests=requests).SerializeToString()

    def pixels(self, reply: bytes) -> bytes:
        outcomes = GenerateManyResponse.FromString(reply).outcomes
        return b"".join(outcome.response.batch.pixels for outcome in outcomes)


class Plain:
    """Latents and images as bytes and nothing else: what a server written by hand takes."""

    transport: Literal["grpc", "http"]
    target: str

    def __init__(self, transport: Literal["grpc", "http"], target: str) -> None:
        self.transport, self.target = transport, target

    def request(self, rows: Rows) -> bytes:
        return rows.data()

    def pixels(self, reply: bytes) -> bytes:
        return reply


class InJson:
    """Latents in base 64 as a value of JSON; images as bytes."""

    transport: Literal["http"] = "http"
    target = "/predict application/json"

    def request(self, rows: Rows) -> bytes:
        return json.dumps({"latents": base64.b64encode(rows.data()).decode()}).encode()

    def pixels(self, reply: bytes) -> bytes:
        return reply


class KServe:
    """Version 2 of KServe's inference protocol, with raw tensors: of numbers, or of bytes with an element a row."""

    transport: Literal["grpc"] = "grpc"
    target = "/inference.GRPCInferenceService/ModelInfer"

    def __init__(self, *, of_bytes: bool) -> None:
        self._of_bytes = of_bytes

    def request(self, rows: Rows) -> bytes:
        raw = rows.data()
        if self._of_bytes:
            raw = b"".join(_with_length(row) for row in _parts(raw, 4 * rows.dim))
        datatype, shape = ("BYTES", [rows.count]) if self._of_bytes else ("FP32", [rows.count, rows.dim])
        tensor = _field(1, b"latents") + _field(2, datatype.encode()) + _field(3, b"".join(map(_varint, shape)))
        return _field(1, MODEL.encode()) + _field(5, tensor) + _field(7, raw)

    def pixels(self, reply: bytes) -> bytes:
        raw = b"".join(value for number, value in _fields(reply) if number == 6)
        return b"".join(_without_lengths(raw)) if self._of_bytes else raw


FORMS: dict[str, Form] = {
    "by address": Addressed(),
    "own latents": OwnLatents(),
    "coalesced": Coalesced(),
    "threads": Plain("grpc", "/Images/Generate"),
    "pytriton": KServe(of_bytes=False),
    "mlserver": KServe(of_bytes=True),
    "litserve": InJson(),
    "ray": Plain("http", "/ application/octet-stream"),
}


def _parts(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def _with_length(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


def _without_lengths(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        end = start + 4 + int.from_bytes(data[start : start + 4], "little")
        yield data[start + 4 : end]
        start = end


def _field(number: int, data: bytes) -> bytes:
    """A field of a protobuf message that holds bytes."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of the fields of a protobuf message, all of which hold bytes."""
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        length, at = _read_varint(message, at)
        if tag & 7 != 2 or at + length > len(message):
            raise PeerError("the reply is no message of KServe's protocol")
        yield tag >> 3, message[at : at + length]
        at += length


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """A number, and where the message goes on after it."""
    value = 0
    for place, byte in enumerate(message[at : at + 10]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise PeerError("the reply is cut off")
