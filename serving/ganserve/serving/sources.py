"""Where the rows of a query come from: a range of addresses, or the caller's own latents."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ganserve.contract.card import is_conditional
from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.labels import Labels, LabelSampler, open_policy
from ganserve.contract.latents import NUM_INDICES, NUM_SEEDS, Latents, check_truncation, sample_latents
from ganserve.contract.tensors import unpack_latents
from ganserve.v1.generator_pb2 import SampleAddress, SampleQuery
from ganserve.v1.model_pb2 import ModelCard


class Rows(NamedTuple):
    """What the engine makes images from: latents float32 (N, latent_dim), labels int64 (N,) or None."""

    latents: Latents
    labels: Labels | None


class Source(Protocol):
    """A checked query: `count` samples from `first_index` on."""

    @property
    def seed(self) -> int | None: ...
    @property
    def first_index(self) -> int: ...
    @property
    def count(self) -> int: ...

    def rows(self, offset: int, count: int) -> Rows:
        """Rows `offset … offset + count - 1` of the query."""


@dataclass(frozen=True, kw_only=True)
class AddressSource:
    """Samples of a seed."""

    latent_dim: int
    labels: LabelSampler | None
    seed: int
    first_index: int
    count: int
    truncation: float | None

    def rows(self, offset: int, count: int) -> Rows:
        first_index = self.first_index + offset
        return Rows(
            sample_latents(self.seed, first_index, count, self.latent_dim, self.truncation),
            None if self.labels is None else self.labels.sample(self.seed, first_index, count),
        )


@dataclass(frozen=True, kw_only=True)
class LatentsSource:
    """The caller's own latents; sample `i` is row `i`."""

    latents: Latents
    labels: LabelSampler | None
    seed: None = None
    first_index: int = 0

    @property
    def count(self) -> int:
        return len(self.latents)

    def rows(self, offset: int, count: int) -> Rows:
        return Rows(
            self.latents[offset : offset + count],
            None if self.labels is None else self.labels.sample(None, offset, count),
        )


def open_source(query: SampleQuery, card: ModelCard) -> Source:
    """Checks a query against the model's card. A query without a seed gets one drawn.

    Raises:
        InvalidRequestError: naming the field at fault and how to mend it.
    """
    labels = _open_labels(query, card)
    kind = query.WhichOneof("source")
    if kind == "address":
        return _open_address(query.address, labels, card)
    if kind == "latents":
        latents = unpack_latents(query.latents, card.latent_dim)
        if labels is not None:
            labels.check_seedless()
        return LatentsSource(latents=latents, labels=labels)
    raise InvalidRequestError("give a sample address or latents", field="query")


def _open_labels(query: SampleQuery, card: ModelCard) -> LabelSampler | None:
    if not is_conditional(card):
        if query.HasField("labels"):
            raise InvalidRequestError("this generator is unconditional: it takes no labels", field="query.labels")
        return None
    if query.HasField("labels") and query.labels.WhichOneof("policy") is None:
        raise InvalidRequestError(
            "the label policy is none that this server knows; leave it out for balanced labels", field="query.labels"
        )
    return open_policy(query.labels, card.class_names)


def _open_address(address: SampleAddress, labels: LabelSampler | None, card: ModelCard) -> AddressSource:
    if address.count == 0:
        raise InvalidRequestError("count is 0; ask for at least one sample", field="query.address.count")
    if address.first_index + address.count > NUM_INDICES:
        raise InvalidRequestError(
            f"indices {address.first_index} to {address.first_index + address.count - 1} go beyond the last one, "
            f"{NUM_INDICES - 1}",
            field="query.address.first_index",
        )
    truncation = address.truncation if address.HasField("truncation") else None
    if truncation is not None:
        check_truncation(truncation)
    return AddressSource(
        latent_dim=card.latent_dim,
        labels=labels,
        seed=address.seed if address.HasField("seed") else secrets.randbelow(NUM_SEEDS),
        first_index=address.first_index,
        count=address.count,
        truncation=truncation,
    )
