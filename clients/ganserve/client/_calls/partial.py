"""What has come of a call that is made of many requests, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ganserve.client._queries.parts import Span, num_samples
from ganserve.client._queries.requests import describe_selector
from ganserve.client._samples.model_info import ModelInfo
from ganserve.client._samples.samples import Samples
from ganserve.contract.errors import InvalidRequestError, RequestError
from ganserve.v1.generator_pb2 import ModelSelector, SampleQuery

_MOST_GAPS_TOLD: Final = 3

Pieces = dict[int, Samples]
"""Samples that came, by the position of their first in the whole."""


@dataclass(frozen=True, eq=False, repr=False)
class Partial:
    """What came of a call before it failed. `resume` of a client of the same servers fetches the rest of it.

    It can be pickled, together with its error.

    Attributes:
        query: what was asked for.
        digest: of the model that made the samples that came.
        pieces: the samples that came, by the position of their first in what was asked for.
    """

    query: SampleQuery
    digest: str
    pieces: Pieces

    @property
    def samples(self) -> Samples | None:
        """The samples that came, in the order asked for; None where none did."""
        if not self.pieces:
            return None
        joined = Samples.join([self.pieces[start] for start in sorted(self.pieces)])
        positions = [np.arange(start, start + len(self.pieces[start])) for start in sorted(self.pieces)]
        return replace(joined, indices=self._indices(np.concatenate(positions)))

    @property
    def missing(self) -> NDArray[np.uint64]:
        """Indices of the samples that did not come, uint64 (M,), in the order asked for; for explicit latents, rows."""
        return np.concatenate([self._indices(np.arange(start, start + count)) for start, count in self.gaps()])

    def gaps(self) -> list[Span]:
        """Positions at which samples are missing."""
        return list(_gaps(self.pieces, num_samples(self.query)))

    def __repr__(self) -> str:
        num_there = sum(map(len, self.pieces.values()))
        return f"<{num_there:,} of {num_samples(self.query):,} samples; missing: {self.describe_missing()}>"

    def describe_missing(self) -> str:
        """Such as ``indices 10–19, 30–39``."""
        kind = "indices" if self.query.HasField("address") else "rows"
        gaps = self.gaps()
        told = [self._describe_gap(start, count) for start, count in gaps[:_MOST_GAPS_TOLD]]
        more = [f"… ({sum(count for _, count in gaps):,} in all)"] if len(gaps) > _MOST_GAPS_TOLD else []
        return f"{kind} {', '.join(told + more)}"

    def _describe_gap(self, start: int, count: int) -> str:
        first, last = self._indices(np.array([start, start + count - 1])).tolist()
        if count == 1:
            return f"{first}"
        return f"{first}, …, {last}" if self.query.address.indices else f"{first}–{last}"

    def _indices(self, positions: NDArray[np.int64]) -> NDArray[np.uint64]:
        address = self.query.address
        if address.indices:
            return np.array(address.indices, np.uint64)[positions]
        return np.uint64(address.first_index) + positions.astype(np.uint64)


class Assembly:
    """The samples of a query, as they come in. All are by one model."""

    def __init__(self, query: SampleQuery) -> None:
        """Nothing has come yet."""
        self.query = query
        self.digest = ""
        self._pieces: Pieces = {}
        self._keeps_model = False

    @classmethod
    def of_rest(cls, partial: Partial) -> Assembly:
        """Goes on where a call failed, by the same model."""
        assembly = cls(partial.query)
        assembly._pieces = dict(partial.pieces)
        assembly._keeps_model = bool(partial.pieces)
        assembly.digest = partial.digest
        return assembly

    def take_model(self, model: ModelInfo) -> None:
        """The model that there is. It is the one asked, unless the query names another, or a call goes on with one.

        Samples of another one are dropped.
        """
        digest = self.query.model.digest or model.digest
        if not self._keeps_model and self.digest != digest:
            self.digest = digest
            self._pieces = {}

    def add(self, start: int, samples: Samples) -> None:
        """Takes samples that came, of which the first is at position `start` of the whole."""
        self._pieces[start] = samples

    def gaps(self) -> list[Span]:
        """Positions at which samples are missing."""
        return list(_gaps(self._pieces, num_samples(self.query)))

    def whole(self) -> Samples:
        """All samples, when nothing is missing."""
        return Samples.join([self._pieces[start] for start in sorted(self._pieces)])

    def failed(self, error: RequestError) -> RequestError:
        """The error that ends the call, with what came."""
        partial = Partial(self.query, self.digest, dict(self._pieces))
        if self._pieces and not self.query.HasField("images"):  # of which tiles would be told
            num_there = sum(map(len, self._pieces.values()))
            text = (
                f"{error}; {num_there:,} of {num_samples(self.query):,} samples came, and {partial.describe_missing()} "
                "are missing: resume(error) fetches these alone"
            )
            error = type(error)(text, field=error.field, retry_after_s=error.retry_after_s)
        error.partial = partial
        return error


def partial_of(error: RequestError, model: ModelSelector) -> Partial:
    """What came before a call for a model failed with `error`.

    Raises InvalidRequestError for another thing than a RequestError and for one of another model's call, and `error`
    itself where it does not tell what was asked for.
    """
    given: object = error
    if not isinstance(given, RequestError):
        raise InvalidRequestError(
            f"{given!r} is not the error of a call for samples; give the RequestError that generate or a future raised",
            field="error",
        )
    if not isinstance(error.partial, Partial):
        raise error
    _check_model(error.partial, model)
    return error.partial


def _check_model(partial: Partial, model: ModelSelector) -> None:
    """Raises InvalidRequestError where a call was for another model, and samples of this one do not go on with it."""
    asked = partial.query.model
    digest = partial.digest if partial.pieces else asked.digest
    if (
        asked.name != model.name
        or (asked.HasField("version") and model.HasField("version") and asked.version != model.version)
        or (digest and model.digest and digest != model.digest)
    ):
        raise InvalidRequestError(
            f"the call that failed was for {describe_selector(asked, digest)}, and this client is for "
            f"{describe_selector(model, model.digest)}; resume it with a client for that model",
            field="error",
        )


def _gaps(pieces: Pieces, total: int) -> Iterator[Span]:
    at = 0
    for start in sorted(pieces):
        if start > at:
            yield at, start - at
        at = start + len(pieces[start])
    if at < total:
        yield at, total - at
