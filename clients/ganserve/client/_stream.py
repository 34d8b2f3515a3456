"""Where a stream stands: what came, what to ask for after a loss, and when to give up."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Final

from ganserve.contract.errors import ServerError, UnavailableError
from ganserve.v1.generator_pb2 import SampleBatch, SampleQuery, StreamSamplesRequest

from ._channel import MAX_ATTEMPTS
from ._checks import whole_number
from ._parts import num_samples, part, stream_request
from ._replies import next_reply
from ._samples import Samples

_MAX_ATTEMPTS_TO_RESUME: Final = 8
_FIRST_PAUSE_S: Final = 0.1
_MAX_PAUSE_S: Final = 2.0


class StreamCursor:
    """One stream of samples over as many StreamSamples calls as it takes.

    Every reply moves the cursor on, and the next call begins where it stands, on the same model. A server that was
    there is waited for longer (about 7 s) than one that never answered (about 1 s).
    """

    def __init__(self, query: SampleQuery, batch_size: int | None = None) -> None:
        """`query` names a sample address. Raises InvalidRequestError for a batch size that is not 1 or more."""
        self._query = query
        self._batch_size = None if batch_size is None else _check_batch_size(batch_size)
        self._total = num_samples(query)
        self._received = 0
        self._digest = ""
        self._failures = 0
        self._waiting: list[Samples] = []

    @property
    def unfinished(self) -> bool:
        """Whether samples are still to come."""
        return self._received < self._total

    def request(self) -> StreamSamplesRequest:
        """Asks for all that has not come."""
        rest = part(self._query, self._received, self._total - self._received, self._digest)
        return stream_request(rest, self._batch_size)

    def accept(self, batch: SampleBatch) -> Iterator[Samples]:
        """Takes a reply and gives the batches that it completes. Raises ServerError for samples not asked for."""
        first_index = self._query.address.first_index + self._received
        samples = next_reply(batch, first_index, self._total - self._received)
        self._received += len(samples)
        self._digest = samples.model.digest
        self._failures = 0
        if self._batch_size is None:
            yield samples
        else:
            yield from self._regroup(samples, self._batch_size)

    def pause_s(self, error: UnavailableError) -> float:
        """Seconds to wait before the next call. Raises `error` where enough calls were lost."""
        self._failures += 1
        limit = _MAX_ATTEMPTS_TO_RESUME if self._received else MAX_ATTEMPTS
        if self._failures >= limit:
            raise error
        backoff_s = math.ldexp(_FIRST_PAUSE_S, self._failures - 1)
        pause_s = min(max(backoff_s, error.retry_after_s or 0.0), _MAX_PAUSE_S)
        return pause_s * random.uniform(0.8, 1.2)  # noqa: S311 (spreads clients out, keeps no secret)

    def check_ended(self) -> None:
        """Call when the server closed the stream. Raises ServerError where samples are missing."""
        if self.unfinished:
            raise ServerError(f"the stream ended after {self._received} of {self._total} samples")

    def _regroup(self, samples: Samples, size: int) -> Iterator[Samples]:
        self._waiting.append(samples)
        num_waiting = sum(map(len, self._waiting))
        if num_waiting < size and self.unfinished:
            return
        joined = Samples.join(self._waiting)
        end = num_waiting - num_waiting % size if self.unfinished else num_waiting
        self._waiting = [joined.between(end, num_waiting)] if end < num_waiting else []
        for start in range(0, end, size):
            yield joined.between(start, min(start + size, end))


def _check_batch_size(batch_size: int) -> int:
    return whole_number(batch_size, "batch_size", low=1, high=2**32 - 1, field="max_batch_size")
