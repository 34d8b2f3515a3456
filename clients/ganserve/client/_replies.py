"""Replies held against what was asked."""

from __future__ import annotations

from ganserve.contract.errors import ServerError
from ganserve.v1.generator_pb2 import SampleBatch, SampleQuery

from ._parts import num_samples
from ._samples import Samples


def whole_reply(query: SampleQuery, batch: SampleBatch) -> Samples:
    """The samples that answer `query`. Raises ServerError where they are others, fewer, or of another model."""
    first_index = query.address.indices[0] if query.address.indices else query.address.first_index
    _check_span(batch, first_index)
    _check_model(batch, query.model.digest)
    if list(batch.indices) != list(query.address.indices):
        raise ServerError("the reply holds samples of other indices than were asked for")
    if batch.count != num_samples(query):
        raise ServerError(f"the reply holds {batch.count} samples where {num_samples(query)} were asked for")
    return Samples.from_batch(batch, query.address)


def next_reply(query: SampleQuery, batch: SampleBatch, first_index: int, most: int, digest: str) -> Samples:
    """Samples of a stream, at least one and at most `most`, from `first_index` on. Raises ServerError for others.

    Args:
        query: what the whole stream is asked for.
        batch: the reply.
        first_index: index that is to come next.
        most: samples that are still to come.
        digest: the model that was asked for; empty for any.
    """
    _check_span(batch, first_index)
    _check_model(batch, digest)
    if not 0 < batch.count <= most:
        raise ServerError(f"a reply of the stream holds {batch.count} samples where 1 to {most} were left to send")
    return Samples.from_batch(batch, query.address)


def _check_span(batch: SampleBatch, first_index: int) -> None:
    if batch.first_index != first_index:
        raise ServerError(f"the reply begins at index {batch.first_index} where {first_index} was asked for")


def _check_model(batch: SampleBatch, digest: str) -> None:
    if digest and batch.model.digest != digest:
        raise ServerError(f"the reply is by the model {batch.model.digest} where {digest} was asked for")
