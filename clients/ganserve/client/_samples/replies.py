"""Replies held against what was asked."""

from __future__ import annotations

from ganserve.client._queries.chains import further_models
from ganserve.client._queries.parts import num_samples
from ganserve.contract.errors import ServerError, UnsupportedError
from ganserve.contract.text import counted
from ganserve.v1.generator_pb2 import SampleAddress, SampleBatch, SampleQuery

from .samples import Samples


def whole_reply(query: SampleQuery, batch: SampleBatch) -> Samples:
    """The samples that answer `query`.

    Raises:
        ServerError: they are others, fewer, or of another model.
        UnsupportedError: the server overlooked the spread, or other models than its own.
    """
    first_index = query.address.indices[0] if query.address.indices else query.address.first_index
    _check_span(batch, first_index)
    _check_model(batch, query.model.digest)
    _check_spread(batch, query.address)
    _check_chain(batch, query)
    if list(batch.indices) != list(query.address.indices):
        raise ServerError("the reply holds samples of other indices than were asked for")
    if batch.count != num_samples(query):
        raise ServerError(f"the reply holds {counted(batch.count, 'sample')} in place of {num_samples(query):,}")
    return Samples.from_batch(batch, query.address)


def next_reply(batch: SampleBatch, query: SampleQuery, num_received: int, digest: str) -> Samples:
    """The next samples of a stream, at least one.

    Args:
        batch: the reply.
        query: for the whole stream, a range.
        num_received: how many of them came before.
        digest: the model that was asked for; empty for any.

    Raises:
        ServerError: they are others, or of another model.
        UnsupportedError: the server overlooked the spread, or other models than its own.
    """
    address = query.address
    num_left = address.count - num_received
    _check_span(batch, address.first_index + num_received)
    _check_model(batch, digest)
    _check_spread(batch, address)
    _check_chain(batch, query)
    if not 0 < batch.count <= num_left:
        raise ServerError(f"a reply of the stream holds {counted(batch.count, 'sample')} in place of 1 to {num_left:,}")
    return Samples.from_batch(batch, address)


def _check_span(batch: SampleBatch, first_index: int) -> None:
    if batch.first_index != first_index:
        raise ServerError(f"the reply begins at index {batch.first_index} where {first_index} was asked for")


def _check_model(batch: SampleBatch, digest: str) -> None:
    if digest and batch.model.digest != digest:
        raise ServerError(f"the reply is by the model {batch.model.digest} where {digest} was asked for")


def _check_spread(batch: SampleBatch, address: SampleAddress) -> None:
    """A server that knows nothing of spread makes samples without it, and says nothing of it either."""
    if address.HasField("spread") and not batch.HasField("spread"):
        raise UnsupportedError(
            "the server knows nothing of spread, so these are not the samples that were asked for; "
            "ask a server of this version, or leave spread out",
            field="query.address.spread",
        )
    if address.HasField("spread") and batch.spread != address.spread:
        raise ServerError(f"the reply holds samples of spread {batch.spread} where {address.spread} was asked for")


def _check_chain(batch: SampleBatch, query: SampleQuery) -> None:
    """A server that knows nothing of chains makes samples without them, and says nothing of them either."""
    asked = [selector.digest for selector in further_models(query)]
    told = [model.digest for model in ((batch.scorer,) if batch.HasField("best_of") else ()) + tuple(batch.then)]
    if asked and not told:
        raise UnsupportedError(
            "the server knows nothing of best_of and then, so these are not the samples that were asked for; ask a "
            "server of this version, or leave them out",
            field="query.best_of" if query.HasField("best_of") else "query.then",
        )
    if len(asked) != len(told) or any(digest not in ("", by) for digest, by in zip(asked, told, strict=True)):
        raise ServerError("the reply holds samples that passed other models than was asked for")
    if batch.best_of != query.best_of.candidates:
        raise ServerError(
            f"the reply holds the best of {batch.best_of} where that of {query.best_of.candidates} was asked for"
        )
