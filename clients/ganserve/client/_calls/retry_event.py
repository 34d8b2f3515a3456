"""What a client tells of a question before it asks again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import iscoroutinefunction

from google.protobuf.message import Message

from ganserve.client._queries.parts import num_samples
from ganserve.contract.errors import ConfigError, RequestError
from ganserve.contract.latents import NUM_INDICES
from ganserve.contract.text import counted
from ganserve.v1.generator_pb2 import GenerateRequest, GetModelRequest, SampleQuery, StreamSamplesRequest


@dataclass(frozen=True, kw_only=True)
class RetryEvent:
    """A question that was not answered and is about to be asked again.

    Attributes:
        asked: what was asked for, such as ``64 samples of digits, seed 7, indices 0 to 63``.
        address: the server that did not answer.
        attempt: how many times this has been asked so far, of whatever server, 1 or more.
        error: why it was not answered. Its `retry_after_s` is the wait that the server advised, or None.
        pause_s: seconds until it is asked again; 0 where another server is asked at once.
    """

    asked: str
    address: str
    attempt: int
    error: RequestError
    pause_s: float

    def __str__(self) -> str:
        then = f"again in {self.pause_s:.2f} s" if self.pause_s else "another server"
        return f"attempt {self.attempt} for {self.asked} at {self.address}: {self.error}; asking {then}"


OnRetry = Callable[[RetryEvent], object]


def check_on_retry(on_retry: OnRetry | None) -> OnRetry | None:
    """Raises ConfigError unless it can be called, by a client of either kind, without waiting for it."""
    if on_retry is not None and (not callable(on_retry) or iscoroutinefunction(on_retry)):
        raise ConfigError(f"on_retry is {on_retry!r}; give a function, not a coroutine, that takes a RetryEvent")
    return on_retry


def describe_request(request: Message) -> str:
    """What a request asks for, in words."""
    match request:
        case GenerateRequest() | StreamSamplesRequest():
            return _describe_query(request.query)
        case GetModelRequest():
            return f"the model {request.model.name}"
        case _:
            return "the list of models"


def _describe_query(query: SampleQuery) -> str:
    count = num_samples(query)
    samples = counted(count, "sample")
    of_model = f"of {query.model.name}"
    if not query.HasField("address"):
        return f"{samples} {of_model}, explicit latents"
    address = query.address
    of_seed = f"{of_model}, seed {address.seed}"
    first = address.indices[0] if address.indices else address.first_index
    if count == 1:
        return f"{samples} {of_seed}, index {first}"
    if address.indices:
        return f"{samples} {of_seed}, {count:,} indices from {first} to {address.indices[-1]}"
    if first + count >= NUM_INDICES - 1:
        return f"samples {of_seed}, from index {first} on"
    return f"{samples} {of_seed}, indices {first} to {first + count - 1}"
