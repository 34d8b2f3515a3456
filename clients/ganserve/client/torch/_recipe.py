"""Which samples a data set is made of, and how they are fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ganserve.client._async_client import AsyncClient
from ganserve.client._queries.checks import whole_number
from ganserve.client._queries.labels import CountsLike, LabelsLike, label_policy
from ganserve.client._queries.requests import address_query
from ganserve.client._samples.model_info import ModelInfo, short_name
from ganserve.client._samples.samples import Samples
from ganserve.client._source import SampleSource
from ganserve.contract.errors import ConfigError, InvalidRequestError, PreconditionError
from ganserve.contract.labels import open_policy
from ganserve.contract.latents import NUM_INDICES
from ganserve.v1.generator_pb2 import ImageEncoding, LabelPolicy, ModelSelector

MAX_LENGTH: Final = 2**63 - 1
_MAX_EPOCH: Final = 2**62
_ANY: Final = ModelSelector(name="any")


@dataclass(frozen=True, eq=False, kw_only=True)
class Recipe:
    """Samples of one seed of one model, of which any index can be fetched.

    Attributes:
        source: where they come from.
        model: the model that the data set was begun with; no other may answer.
        seed: 0 to 2^64 - 1.
        labels: as in `Client.generate`.
        counts: as in `Client.generate`.
        truncation: as in `Client.generate`.
        spread: as in `Client.generate`.
        chain: the other models that samples pass, pinned: `best_of`, `scorer` and `then` as in `Client.generate`.
        shape: height, width and channels of an image.
        policy: what labels and counts come to.
    """

    source: SampleSource
    model: ModelInfo
    seed: int
    labels: LabelsLike | None
    counts: CountsLike | None
    truncation: float | None
    spread: float | None
    chain: Mapping[str, Any]
    shape: tuple[int, int, int]
    policy: LabelPolicy = field(repr=False)

    @classmethod
    def open(
        cls,
        source: SampleSource,
        *,
        seed: int | None,
        labels: LabelsLike | None = None,
        counts: CountsLike | None = None,
        truncation: float | None = None,
        spread: float | None = None,
        best_of: int | None = None,
        scorer: str | None = None,
        then: str | Sequence[str] | None = None,
    ) -> Recipe:
        """Asks for the model, and checks the rest against its card.

        Raises:
            ConfigError: no source.
            InvalidRequestError: a seed, labels, counts, a truncation or a spread that cannot be used.
            RequestError: the source does not answer.
        """
        seed = _check_seed(seed)
        source = _check_source(source).pinned()
        model = source.get_model()
        query = address_query(
            _ANY,
            None,
            seed=seed,
            first_index=0,
            labels=labels,
            counts=counts,
            truncation=truncation,
            spread=spread,
            encoding=ImageEncoding(),
            endless=True,
        )
        if model.class_names:
            open_policy(query.labels, model.class_names)
        elif query.HasField("labels"):
            raise InvalidRequestError(
                f"{short_name(model.identity)} is unconditional: it takes no labels", field="query.labels"
            )
        recipe = cls(
            source=source,
            model=model,
            seed=seed,
            labels=labels,
            counts=counts,
            truncation=truncation,
            spread=spread,
            chain={},
            shape=model.image_shape,
            policy=query.labels,
        )
        if best_of is None and scorer is None and then is None:
            return recipe
        recipe = replace(recipe, chain={"best_of": best_of, "scorer": scorer, "then": then})
        first = recipe.fetch([0])  # which tells the very models that there are, and what they make
        return replace(recipe, chain=first.chain, shape=first.shape)

    def with_labels(self, labels: Sequence[int]) -> Recipe:
        """The same samples, of which index `i` has entry `i` of the labels, modulo their number."""
        return replace(self, labels=list(labels), counts=None, policy=label_policy(list(labels)) or LabelPolicy())

    def fetch(self, indices: Sequence[int]) -> Samples:
        """Samples of these indices, in one call. Raises RequestError; PreconditionError where the model has changed."""
        first, count = indices[0], len(indices)
        in_a_row = self.counts is None and list(indices) == list(range(first, first + count))
        which: dict[str, Any] = {"n": count, "first_index": first} if in_a_row else {"indices": indices}
        samples = self.source.generate(
            **which,
            seed=self.seed,
            labels=self.labels,
            counts=self.counts,
            truncation=self.truncation,
            spread=self.spread,
            **self.chain,
        )
        if samples.model.digest != self.model.digest:
            raise PreconditionError(
                f"the data set was begun with {short_name(self.model.identity)}, and now {short_name(samples.model)} "
                "answers; make the data set anew, or ask for the former model by its version or digest"
            )
        return samples

    @property
    def num_counted(self) -> int | None:
        """What the counts add up to; None without counts."""
        return sum(block.count for block in self.policy.blocks.blocks) or None

    def check_length(self, length: int | None) -> int:
        """The samples of an epoch.

        Raises InvalidRequestError for no whole number from 1, or another one than the counts add up to.
        """
        length = whole_number(length, "length", low=1, high=MAX_LENGTH, field="length")
        if self.num_counted not in (None, length):
            raise InvalidRequestError(
                f"length is {length}, and the counts add up to {self.num_counted}; leave length out", field="length"
            )
        return length

    def labels_of(self, first_index: int, count: int) -> NDArray[np.int64]:
        """The labels that samples `first_index … first_index + count - 1` of a conditional generator have."""
        return open_policy(self.policy, self.model.class_names).sample(self.seed, first_index, count)

    def identity(self, **more: Any) -> dict[str, Any]:
        """What must not change between the saving of a state and its loading: of the samples, and `more`."""
        return {
            "digest": self.model.digest,
            "seed": self.seed,
            "labels": self.policy.SerializeToString(deterministic=True).hex(),
            "truncation": self.truncation,
            "spread": self.spread,
            **{name: self.chain.get(name) for name in ("best_of", "scorer", "then")},
            **more,
        }

    def check_identity(self, saved: Mapping[str, Any], **more: Any) -> None:
        """Raises ConfigError where a state was saved of other samples, or of another `more`."""
        for name, value in self.identity(**more).items():
            if saved.get(name) != value:
                raise ConfigError(
                    f"the state was saved with another {name} ({saved.get(name)!r}) than the data set has ({value!r}), "
                    "so that it would go on with other samples; make the data set as it was"
                )


def check_epoch(epoch: int) -> int:
    """`epoch` as an int. Raises InvalidRequestError for anything but a whole number from 0."""
    return whole_number(epoch, "epoch", low=0, high=_MAX_EPOCH, field="epoch")


def check_reach(epoch: int, indices: int) -> None:
    """Raises InvalidRequestError where the indices of an epoch, up to `indices`, go beyond the last one."""
    if indices > NUM_INDICES:
        raise InvalidRequestError(
            f"epoch {epoch} reaches index {indices - 1}, beyond the last one, {NUM_INDICES - 1}; begin with a new seed",
            field="query.address.indices",
        )


def _check_source(source: SampleSource) -> SampleSource:
    kind: object = source
    if isinstance(kind, AsyncClient):
        raise ConfigError("an AsyncClient cannot feed a data set, whose items are not awaited; give a Client")
    if not callable(getattr(source, "generate", None)) or not callable(getattr(source, "get_model", None)):
        raise ConfigError(f"{source!r} is no source of samples; give a Client or a LocalGenerator")
    return source


def _check_seed(seed: int | None) -> int:
    if seed is None:
        raise InvalidRequestError("give a seed, so that the data set can be made again, as in seed=7", field="seed")
    return seed
