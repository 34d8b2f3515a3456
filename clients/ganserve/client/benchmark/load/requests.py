"""Requests for samples as the bytes that travel, and how many samples are in the bytes that come back.

Replies stay bytes, so that whoever asks takes as little as possible from what is measured.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

import grpc

from ganserve.contract.images import FORMAT_NUMBERS, ImageFormatName
from ganserve.v1 import generator_pb2
from ganserve.v1.generator_pb2 import (
    GenerateManyRequest,
    GenerateManyResponse,
    GenerateRequest,
    ImageEncoding,
    ImageFormat,
    ModelSelector,
    SampleAddress,
    SampleQuery,
    StreamSamplesRequest,
    TimedRequest,
)
from ganserve.v1.model_pb2 import ModelIdentity

_SERVICE: Final = generator_pb2.DESCRIPTOR.services_by_name["GeneratorService"].full_name
GENERATE: Final = f"/{_SERVICE}/Generate"
GENERATE_MANY: Final = f"/{_SERVICE}/GenerateMany"
STREAM_SAMPLES: Final = f"/{_SERVICE}/StreamSamples"

_SEED_BITS: Final = 53
_STATUSES: Final = {status.value[0]: status.name for status in grpc.StatusCode}


@dataclass(frozen=True, kw_only=True)
class RequestKind:
    """What all requests of a load have in common.

    Attributes:
        model: whom to ask.
        num_samples: samples a request.
        format: form of the images.
        num_together: requests that travel in one call.
    """

    model: ModelSelector
    num_samples: int
    format: ImageFormat.ValueType = ImageFormat.IMAGE_FORMAT_RAW
    num_together: int = 1

    @classmethod
    def of(
        cls, model: ModelIdentity, num_samples: int, form: ImageFormatName = "raw", *, num_together: int = 1
    ) -> Self:
        """Of one model and no other that may have its name later."""
        selector = ModelSelector(name=model.name, version=model.version, digest=model.digest)
        return cls(model=selector, num_samples=num_samples, format=FORMAT_NUMBERS[form], num_together=num_together)

    @property
    def method(self) -> str:
        """The gRPC method that is called."""
        return GENERATE if self.num_together == 1 else GENERATE_MANY


class Answer(NamedTuple):
    """What came of a call.

    Attributes:
        num_samples: samples in it.
        refusal: status and text of the first request in it that was refused; None where none was.
    """

    num_samples: int
    refusal: tuple[str, str] | None = None


class Requests:
    """The calls of one kind, one after the other. None asks for the same samples as another."""

    def __init__(self, kind: RequestKind) -> None:
        self._kind = kind
        self._next_index = 0
        address = SampleAddress(seed=secrets.randbits(_SEED_BITS), count=kind.num_samples)
        query = SampleQuery(model=kind.model, address=address, encoding=ImageEncoding(format=kind.format))
        self._request = GenerateRequest(query=query)

    def take(self) -> bytes:
        """The next call, for `RequestKind.method`."""
        if self._kind.num_together == 1:
            return self._take_one().SerializeToString()
        together = [TimedRequest(request=self._take_one()) for _ in range(self._kind.num_together)]
        return GenerateManyRequest(requests=together).SerializeToString()

    def take_stream(self, num_samples: int) -> bytes:
        """A call for a stream of so many samples, for `STREAM_SAMPLES`."""
        request = StreamSamplesRequest(query=self._request.query)
        request.query.address.first_index, request.query.address.count = self._next_index, num_samples
        self._next_index += num_samples
        return request.SerializeToString()

    def read(self, reply: bytes) -> Answer:
        """What is in the reply to a call."""
        if self._kind.num_together == 1:
            return Answer(self._kind.num_samples)
        outcomes = GenerateManyResponse.FromString(reply).outcomes
        refusals = [outcome.refusal for outcome in outcomes if not outcome.HasField("response")]
        num_samples = self._kind.num_samples * (len(outcomes) - len(refusals))
        return Answer(num_samples, (_STATUSES[refusals[0].code], refusals[0].message) if refusals else None)

    def _take_one(self) -> GenerateRequest:
        self._request.query.address.first_index = self._next_index
        self._next_index += self._kind.num_samples
        return self._request
