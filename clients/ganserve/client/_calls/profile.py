"""Where the milliseconds of a call go."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Final, NamedTuple

from ganserve.client._queries.checks import whole_number
from ganserve.client._queries.parts import num_samples
from ganserve.client._samples.model_info import short_name
from ganserve.client._samples.replies import whole_reply
from ganserve.client._samples.samples import Samples
from ganserve.contract.errors import UnsupportedError
from ganserve.contract.grpc_keys import CALL_TIMES_KEY
from ganserve.contract.images import FORMAT_NUMBERS
from ganserve.v1.generator_pb2 import CallTimes, GenerateResponse, SampleQuery

_MOST_REPEATS: Final = 100_000

Trailers = Iterable[tuple[str, str | bytes]] | None


@dataclass(frozen=True, kw_only=True)
class CallProfile:
    """Where the milliseconds of one call went. The phases follow one another, and add up to the whole.

    Attributes:
        queue_ms: on the server, from the arrival of the request until its first sample began to be made.
        compute_ms: on the server, until all samples were made.
        encode_ms: on the server, until the reply was encoded.
        wire_ms: all that passed outside the server: gRPC on both sides, and the network.
        decode_ms: in the client, until the reply was an array of pixels.
    """

    queue_ms: float
    compute_ms: float
    encode_ms: float
    wire_ms: float
    decode_ms: float

    @property
    def total_ms(self) -> float:
        """From the call to its array."""
        return self.queue_ms + self.compute_ms + self.encode_ms + self.wire_ms + self.decode_ms


@dataclass(frozen=True, repr=False, kw_only=True)
class Profile:
    """Where the milliseconds of repeated calls went: the median of each phase, and of the whole.

    Attributes:
        description: what was asked for, for people.
        calls: the calls, in order.
    """

    description: str
    calls: Sequence[CallProfile]

    @property
    def queue_ms(self) -> float:
        """Median wait on the server until the first sample began to be made."""
        return self._median("queue_ms")

    @property
    def compute_ms(self) -> float:
        """Median time in which the server made the samples."""
        return self._median("compute_ms")

    @property
    def encode_ms(self) -> float:
        """Median time in which the server encoded the reply."""
        return self._median("encode_ms")

    @property
    def wire_ms(self) -> float:
        """Median of what passed outside the server: gRPC on both sides, and the network."""
        return self._median("wire_ms")

    @property
    def decode_ms(self) -> float:
        """Median time in which the client made the reply an array of pixels."""
        return self._median("decode_ms")

    @property
    def total_ms(self) -> float:
        """Median of whole calls, which is not quite the sum of the other medians."""
        return self._median("total_ms")

    def __repr__(self) -> str:
        calls = "1 call" if len(self.calls) == 1 else f"{len(self.calls)} calls"
        rows = [f"{self.description}, {calls}, ms", f"{'':<9}{'median':>9}{'fastest':>9}{'slowest':>9}"]
        for name in (*(field.name for field in fields(CallProfile)), "total_ms"):
            values_ms = self._values_ms(name)
            figures = (statistics.median(values_ms), min(values_ms), max(values_ms))
            rows.append(f"{name.removesuffix('_ms'):<9}" + "".join(f"{figure:>9.2f}" for figure in figures))
        return "\n".join(rows)

    def _median(self, name: str) -> float:
        return statistics.median(self._values_ms(name))

    def _values_ms(self, name: str) -> list[float]:
        return [getattr(call, name) for call in self.calls]


class TimedReply(NamedTuple):
    """A reply that was read, and when it came and when it had been read, as `time.perf_counter` tells."""

    samples: Samples
    came_s: float
    read_s: float

    @classmethod
    def reader(cls, query: SampleQuery) -> Callable[[GenerateResponse], TimedReply]:
        """Reads the reply to a query, down to its pixels."""

        def read(reply: GenerateResponse) -> TimedReply:
            came_s = time.perf_counter()
            samples = whole_reply(query, reply.batch)
            samples.numpy()
            return cls(samples, came_s, time.perf_counter())

        return read

    def profile(self, sent_s: float, trailers: Trailers) -> CallProfile:
        """The call's profile. Raises UnsupportedError where the server says nothing of its own times."""
        packed = next((value for key, value in trailers or () if key == CALL_TIMES_KEY), None)
        if not isinstance(packed, bytes):
            raise UnsupportedError("the server does not tell where its time goes; is it of this version?")
        times = CallTimes.FromString(packed)
        on_server_ms = times.queue_ms + times.compute_ms + times.encode_ms
        return CallProfile(
            queue_ms=times.queue_ms,
            compute_ms=times.compute_ms,
            encode_ms=times.encode_ms,
            wire_ms=(self.came_s - sent_s) * 1e3 - on_server_ms,
            decode_ms=(self.read_s - self.came_s) * 1e3,
        )


def describe(query: SampleQuery, samples: Samples) -> str:
    """What is profiled, such as ``64 samples of digits:1 as raw``."""
    form = next(name for name, number in FORMAT_NUMBERS.items() if number == query.encoding.format)
    count = num_samples(query)
    return f"{count} sample{'' if count == 1 else 's'} of {short_name(samples.model)} as {form}"


def check_repeats(repeats: int) -> int:
    """Calls to measure. Raises InvalidRequestError unless it is 1 or more."""
    return whole_number(repeats, "repeats", low=1, high=_MOST_REPEATS, field="")
