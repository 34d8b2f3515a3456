"""The parts that a query is cut into, so that no request or reply reaches gRPC's limit of 4 MiB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from ganserve.contract.errors import InvalidRequestError
from ganserve.v1.generator_pb2 import (
    ExplicitLatents,
    GenerateRequest,
    LabelPolicy,
    Priority,
    SampleAddress,
    SampleQuery,
    StreamSamplesRequest,
)

from .labels import part_of_list

Span = tuple[int, int]
"""Position of the first sample, and how many there are."""

MAX_IN_FLIGHT: Final = 4
_MAX_SAMPLES: Final = 1024  # of one request, so that one caller's requests do not fill a server's queue
_MAX_REQUEST_BYTES: Final = 4 * 2**20
_MAX_ROW_BYTES: Final = 3 * 2**20  # latents or images of one request; the rest is for labels


def num_samples(query: SampleQuery) -> int:
    """How many samples a query asks for."""
    if query.HasField("address"):
        return len(query.address.indices) or query.address.count
    if query.HasField("images"):
        return len(query.images.pixels) // _image_bytes(query)
    return len(query.latents.values) // _row_bytes(query)


def part(query: SampleQuery, start: int, count: int, digest: str = "") -> SampleQuery:
    """The query for samples `start … start + count - 1` of those that `query` asks for, in the same classes.

    Args:
        query: the whole.
        start: position of the first sample, from 0.
        count: at least 1.
        digest: the only model that may answer; empty leaves the query's own choice.
    """
    return _Cutter(query, digest).part(start, count)


def spans(query: SampleQuery, max_samples: int, gaps: Iterable[Span] | None = None) -> Iterator[Span]:
    """Start and count of the parts, in order, that `query` is sent in: each small, and well under 4 MiB either way.

    Args:
        query: the whole.
        max_samples: the model's `max_samples_per_request`.
        gaps: where only these samples of the whole are wanted: their starts and counts, in order.
    """
    size = most_samples(max_samples)
    if query.HasField("latents"):
        size = max(1, min(size, _MAX_ROW_BYTES // _row_bytes(query)))
    if query.HasField("images"):
        size = max(1, min(size, _MAX_ROW_BYTES // (_image_bytes(query) + _mask_bytes(query))))
    for first, total in [(0, num_samples(query))] if gaps is None else gaps:
        for start in range(first, first + total, size):
            yield start, min(size, first + total - start)


def most_samples(max_samples: int) -> int:
    """Most samples that one request asks for, of a model that takes so many."""
    return max(1, min(max_samples, _MAX_SAMPLES))


def parts(
    query: SampleQuery, max_samples: int, digest: str, gaps: Iterable[Span] | None = None
) -> Iterator[tuple[int, SampleQuery]]:
    """The parts, in order, that `query` is sent in, each behind its start. Only the model `digest` may answer.

    Args:
        query: the whole.
        max_samples: the model's `max_samples_per_request`.
        digest: the model's own.
        gaps: as in `spans`.
    """
    cutter = _Cutter(query, digest)
    for start, count in spans(query, max_samples, gaps):
        yield start, cutter.part(start, count)


def generate_request(
    query: SampleQuery, priority: Priority.ValueType = Priority.PRIORITY_UNSPECIFIED
) -> GenerateRequest:
    """Wraps a query. Raises InvalidRequestError where no server would take it for its size."""
    request = GenerateRequest(query=query, priority=priority)
    _check_size(request)
    return request


def stream_request(query: SampleQuery, batch_size: int | None, priority: Priority.ValueType) -> StreamSamplesRequest:
    """Wraps a query. Raises InvalidRequestError where no server would take it for its size."""
    request = StreamSamplesRequest(query=query, max_batch_size=batch_size, priority=priority)
    _check_size(request)
    return request


class _Cutter:
    """Cuts one query. Protobuf copies bytes on every access, so that they are looked at once."""

    def __init__(self, query: SampleQuery, digest: str) -> None:
        """Only the model `digest` may answer; empty leaves the query's own choice."""
        self._query = query
        self._digest = digest or query.model.digest
        self._latents = memoryview(query.latents.values)
        self._pixels = memoryview(query.images.pixels)
        self._mask_pixels = memoryview(query.images.mask_pixels)

    def part(self, start: int, count: int) -> SampleQuery:
        """Samples `start … start + count - 1` of the query's, in the same classes."""
        query = self._query
        cut = SampleQuery(model=query.model, encoding=query.encoding)
        cut.model.digest = self._digest
        if query.HasField("address"):
            cut.address.CopyFrom(_part_of_address(query.address, start, count))
        elif query.HasField("latents"):
            values = _rows(self._latents, _row_bytes(query), start, count)
            cut.latents.CopyFrom(ExplicitLatents(dim=query.latents.dim, values=values))
        if query.HasField("images"):
            cut.images.shape.CopyFrom(query.images.shape)
            cut.images.pixels = _rows(self._pixels, _image_bytes(query), start, count)
            cut.images.mask_pixels = _rows(self._mask_pixels, _mask_bytes(query), start, count)
        if query.HasField("labels"):
            cut.labels.CopyFrom(_part_of_policy(query, start, count))
        if query.HasField("best_of"):
            cut.best_of.CopyFrom(query.best_of)
        cut.then.extend(query.then)
        return cut


def _rows(values: memoryview, row_bytes: int, start: int, count: int) -> bytes:
    return bytes(values[start * row_bytes : (start + count) * row_bytes])


def _part_of_address(address: SampleAddress, start: int, count: int) -> SampleAddress:
    cut = SampleAddress(
        seed=address.seed if address.HasField("seed") else None,
        truncation=address.truncation if address.HasField("truncation") else None,
        spread=address.spread if address.HasField("spread") else None,
    )
    if address.indices:
        cut.indices.extend(address.indices[start : start + count])
    else:
        cut.first_index = address.first_index + start
        cut.count = count
    return cut


def _part_of_policy(query: SampleQuery, start: int, count: int) -> LabelPolicy:
    if query.labels.WhichOneof("policy") != "list" or query.address.indices:
        return query.labels
    first_index = query.address.first_index if query.HasField("address") else None
    return LabelPolicy(list=part_of_list(query.labels.list.classes, start, count, first_index))


def _row_bytes(query: SampleQuery) -> int:
    return query.latents.dim * np.dtype(np.float32).itemsize


def _image_bytes(query: SampleQuery) -> int:
    shape = query.images.shape
    return shape.height * shape.width * shape.channels


def _mask_bytes(query: SampleQuery) -> int:
    shape = query.images.shape
    return shape.height * shape.width if query.images.mask_pixels else 0


def _check_size(request: GenerateRequest | StreamSamplesRequest) -> None:
    if request.ByteSize() > _MAX_REQUEST_BYTES:
        raise InvalidRequestError(
            f"the request is {request.ByteSize()} bytes long, over the {_MAX_REQUEST_BYTES} that servers take; "
            "give a shorter list of classes, or labels in place of names",
            field="query.labels.list",
        )
