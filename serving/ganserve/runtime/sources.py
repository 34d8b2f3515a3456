"""Sources: checked queries, of which any rows can be drawn; rows of many sources in one draw.

Another input of a model is another kind of column here.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ganserve.contract.bundle import LABELS_INPUT, LATENTS_INPUT
from ganserve.contract.card import is_conditional, kind_of
from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.labels import LabelSampler, draw_labels, open_policy
from ganserve.contract.latents import (
    NUM_INDICES,
    NUM_SEEDS,
    IndexList,
    IndexRange,
    Indices,
    check_spread,
    check_truncation,
    draw_latents,
)
from ganserve.contract.rows import Column, Rows
from ganserve.contract.scores import candidate_indices
from ganserve.contract.tensors import unpack_latents
from ganserve.v1.generator_pb2 import SampleAddress, SampleQuery
from ganserve.v1.model_pb2 import ModelCard

from .input_images import read_images


class InputColumn(Protocol):
    """What one input of a model is fed, for every row of a source."""

    @classmethod
    def draw(cls, parts: Sequence[tuple[Self, int, int]]) -> Column:
        """Rows `start … start + count - 1` of each column, in order: an array (N, …) from (column, start, count)."""


@dataclass(frozen=True, kw_only=True)
class AddressedLatents:
    """Latents of the indices of a seed."""

    indices: Indices
    dim: int
    truncation: float | None
    spread: float | None

    @classmethod
    def draw(cls, parts: Sequence[tuple[Self, int, int]]) -> Column:
        ranges = [(one, column) for column, start, count in parts for one in column.indices.part(start, count)]
        truncations = [column.truncation for _, column in ranges]
        spreads = [column.spread for _, column in ranges]
        return draw_latents([one for one, _ in ranges], parts[0][0].dim, truncations, spreads)


@dataclass(frozen=True, kw_only=True)
class PolicyLabels:
    """Labels of the indices of a seed under a policy."""

    sampler: LabelSampler
    indices: Indices

    @classmethod
    def draw(cls, parts: Sequence[tuple[Self, int, int]]) -> Column:
        return draw_labels(
            [(column.sampler, one) for column, start, count in parts for one in column.indices.part(start, count)]
        )


@dataclass(frozen=True)
class GivenColumn:
    """The caller's own values (N, …)."""

    values: Column

    @classmethod
    def draw(cls, parts: Sequence[tuple[Self, int, int]]) -> Column:
        return np.concatenate([column.values[start : start + count] for column, start, count in parts])


@dataclass(frozen=True, kw_only=True)
class RepeatedColumn:
    """Each row of another column several times, one after the other."""

    column: InputColumn
    times: int

    @classmethod
    def draw(cls, parts: Sequence[tuple[Self, int, int]]) -> Column:
        return np.concatenate([column._rows(start, count) for column, start, count in parts])

    def _rows(self, start: int, count: int) -> Column:
        first, last = start // self.times, (start + count - 1) // self.times
        drawn = self.column.draw([(self.column, first, last - first + 1)])
        return np.repeat(drawn, self.times, axis=0)[start - first * self.times :][:count]


@dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """A checked query.

    Attributes:
        columns: by name of the model's input.
        count: number of rows.
        count_field: the field of the query that says how many there are.
        seed: where the rows have one.
        first_index: index of row 0.
        scattered: index of every row, uint64 (count,), where they need not follow one another.
        spread: what the latents are multiplied by, where the query says so.
    """

    columns: Mapping[str, InputColumn]
    count: int
    count_field: str
    seed: int | None = None
    first_index: int = 0
    scattered: NDArray[np.uint64] | None = None
    spread: float | None = None

    @property
    def reported(self) -> Sequence[str]:
        """Inputs that the caller is told beside the outputs."""
        return (LABELS_INPUT,) if LABELS_INPUT in self.columns else ()


class Span(NamedTuple):
    """Rows `start … start + num_rows - 1` of a source."""

    source: Source
    start: int
    num_rows: int


def draw_rows(spans: Sequence[Span]) -> Rows:
    """The rows of all spans in order, which are for one model."""
    return Rows({name: _draw_column(name, spans) for name in spans[0].source.columns})


def _draw_column(name: str, spans: Sequence[Span]) -> Column:
    parts: list[Any] = [(source.columns[name], start, count) for source, start, count in spans]
    drawn = [kind.draw(list(alike)) for kind, alike in itertools.groupby(parts, key=lambda part: type(part[0]))]
    return drawn[0] if len(drawn) == 1 else np.concatenate(drawn)


def open_source(query: SampleQuery, card: ModelCard) -> Source:
    """Checks a query against the model's card. A query without a seed gets one drawn.

    Raises:
        InvalidRequestError: naming the field at fault and how to mend it.
    """
    images = {name: GivenColumn(values) for name, values in read_images(query, card).items()}
    sampler = _open_labels(query, card)
    kind = query.WhichOneof("source")
    if kind == "address":
        source = _open_address(query.address, sampler, card)
    elif kind == "latents":
        latents = GivenColumn(unpack_latents(query.latents, card.latent_dim))
        source = _without_seed(latents, len(latents.values), "query.latents.values", sampler)
    elif images and not card.latent_dim:
        source = _without_seed(None, len(next(iter(images.values())).values), "query.images", sampler)
    else:
        raise InvalidRequestError("give a sample address or latents", field="query")
    for column in images.values():
        if len(column.values) != source.count:
            raise InvalidRequestError(
                f"there are {len(column.values)} images and {source.count} samples; give one image a sample",
                field="query.images",
            )
    return replace(source, columns={**source.columns, **images})


def candidates_of(source: Source, candidates: int) -> Source:
    """The candidates of addressed samples: latents of their own, and all else as the sample that they are of has it.

    Raises:
        InvalidRequestError: their indices go beyond the last one.
    """
    columns: dict[str, InputColumn] = {}
    for name, column in source.columns.items():
        if isinstance(column, AddressedLatents):
            columns[name] = replace(column, indices=_candidates(column.indices, candidates))
        else:
            columns[name] = RepeatedColumn(column=column, times=candidates)
    return replace(source, columns=columns, count=source.count * candidates)


def _candidates(indices: Indices, candidates: int) -> Indices:
    if isinstance(indices, IndexList):
        return IndexList(indices.seed, candidate_indices(indices.values, candidates))
    ends = np.array([indices.first_index, indices.first_index + indices.num_indices - 1], np.uint64)
    first = int(candidate_indices(ends, candidates)[0])
    return IndexRange(indices.seed, first, indices.num_indices * candidates)


def _without_seed(latents: InputColumn | None, count: int, count_field: str, sampler: LabelSampler | None) -> Source:
    """Rows that have no address: what is not given cannot be drawn."""
    if sampler is not None:
        sampler.check_seedless()
    columns = _columns(latents, sampler, IndexRange(0, 0, count))
    return Source(columns=columns, count=count, count_field=count_field)


def _columns(latents: InputColumn | None, sampler: LabelSampler | None, indices: Indices) -> Mapping[str, InputColumn]:
    columns: dict[str, InputColumn] = {}
    if latents is not None:
        columns[LATENTS_INPUT] = latents
    if sampler is not None:
        columns[LABELS_INPUT] = PolicyLabels(sampler=sampler, indices=indices)
    return columns


def _open_labels(query: SampleQuery, card: ModelCard) -> LabelSampler | None:
    if not is_conditional(card):
        if query.HasField("labels"):
            raise InvalidRequestError(
                f"this {kind_of(card)} is unconditional: it takes no labels", field="query.labels"
            )
        return None
    if query.HasField("labels") and query.labels.WhichOneof("policy") is None:
        raise InvalidRequestError(
            "the label policy is none that this server knows; leave it out for balanced labels", field="query.labels"
        )
    return open_policy(query.labels, card.class_names)


def _open_address(address: SampleAddress, sampler: LabelSampler | None, card: ModelCard) -> Source:
    seed = address.seed if address.HasField("seed") else secrets.randbelow(NUM_SEEDS)
    indices = _open_indices(address, seed) if address.indices else _open_range(address, seed)
    truncation = address.truncation if address.HasField("truncation") else None
    if truncation is not None:
        check_truncation(truncation)
    spread = address.spread if address.HasField("spread") else None
    if spread is not None:
        check_spread(spread)
    latents = None
    if card.latent_dim:
        latents = AddressedLatents(indices=indices, dim=card.latent_dim, truncation=truncation, spread=spread)
    return Source(
        columns=_columns(latents, sampler, indices),
        count=indices.num_indices,
        count_field="query.address.indices" if address.indices else "query.address.count",
        seed=seed,
        first_index=indices.first_index,
        scattered=indices.values if isinstance(indices, IndexList) else None,
        spread=spread,
    )


def _open_range(address: SampleAddress, seed: int) -> IndexRange:
    if address.count == 0:
        raise InvalidRequestError("count is 0; ask for at least one sample", field="query.address.count")
    if address.first_index + address.count > NUM_INDICES:
        raise InvalidRequestError(
            f"indices {address.first_index} to {address.first_index + address.count - 1} go beyond the last one, "
            f"{NUM_INDICES - 1}",
            field="query.address.first_index",
        )
    return IndexRange(seed, address.first_index, address.count)


def _open_indices(address: SampleAddress, seed: int) -> IndexList:
    if address.count or address.first_index:
        raise InvalidRequestError(
            "indices say which samples and how many; leave first_index and count out", field="query.address.indices"
        )
    return IndexList(seed, np.array(address.indices, np.uint64))
