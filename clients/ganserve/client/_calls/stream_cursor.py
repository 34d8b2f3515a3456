"""Where a stream stands: what came, and what to ask for next."""

from __future__ import annotations

from collections.abc import Iterator

from ganserve.client._queries.checks import whole_number
from ganserve.client._queries.parts import num_samples, part, stream_request
from ganserve.client._samples.replies import next_reply
from ganserve.client._samples.samples import Samples
from ganserve.client._transport.errors import is_lack
from ganserve.contract.errors import RequestError, ServerError
from ganserve.contract.text import counted
from ganserve.v1.generator_pb2 import Priority, SampleBatch, SampleQuery, StreamSamplesRequest


class StreamCursor:
    """One stream of samples over as many StreamSamples calls as it takes.

    Every reply moves the cursor on, and the next call begins where it stands, on the same model.

    Attributes:
        query: the whole.
    """

    def __init__(
        self,
        query: SampleQuery,
        batch_size: int | None = None,
        known_digest: str = "",
        priority: Priority.ValueType = Priority.PRIORITY_UNSPECIFIED,
    ) -> None:
        """Nothing has come yet.

        Args:
            query: names a sample address.
            batch_size: samples a batch; None for as many as come at once.
            known_digest: the model to begin with, as far as is known.
            priority: how urgent the samples are.

        Raises:
            InvalidRequestError: a batch size that is not 1 or more.
        """
        self.query = query
        self._batch_size = None if batch_size is None else _check_batch_size(batch_size)
        self._priority = priority
        self._total = num_samples(query)
        self._received = 0
        self._digest = query.model.digest or known_digest
        self._waiting: list[Samples] = []

    @property
    def unfinished(self) -> bool:
        """Whether samples are still to come."""
        return self._received < self._total

    @property
    def digest(self) -> str:
        """The only model that may answer; empty where any may."""
        return self._digest

    @property
    def may_change(self) -> bool:
        """Whether another model may still answer: the caller named none, and nothing has come."""
        return not self.query.model.digest and not self._received

    def request(self) -> StreamSamplesRequest:
        """Asks for all that has not come."""
        rest = part(self.query, self._received, self._total - self._received, self._digest)
        return stream_request(rest, self._batch_size, self._priority)

    def accept(self, batch: SampleBatch) -> Iterator[Samples]:
        """Takes a reply and gives the batches that it completes. Raises ServerError for samples not asked for."""
        samples = next_reply(batch, self.query, self._received, self._digest)
        self._received += len(samples)
        self._digest = samples.model.digest
        if self._batch_size is None:
            yield samples
        else:
            yield from self._regroup(samples, self._batch_size)

    def take_any_model(self, error: RequestError) -> None:
        """After a refusal, asks for whatever model there is now. Raises `error` where that is no help."""
        if not (is_lack(error) and self.may_change and self._digest):
            raise error from None
        self._digest = ""

    def cut_short(self) -> ServerError:
        """The error of a stream that the server closed although samples are missing."""
        return ServerError(f"the stream ended after {self._received} of {counted(self._total, 'sample')}")

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
