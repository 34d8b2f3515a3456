"""The latents between two addresses, as the arguments of a call name them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ganserve.contract.card import is_conditional
from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.interpolation import SeedAndIndex, latents_between
from ganserve.contract.labels import list_names
from ganserve.contract.latents import NUM_INDICES, NUM_SEEDS, Latents, check_spread, check_truncation
from ganserve.v1.model_pb2 import ModelCard

from .checks import real_number, whole_number
from .labels import LabelsLike, label_policy

_MOST_STEPS: Final = 2**20


def interpolated_latents(
    card: ModelCard,
    start: SeedAndIndex,
    stop: SeedAndIndex,
    n: int,
    *,
    labels: LabelsLike | None,
    truncation: float | None,
    spread: float | None,
) -> Latents:
    """Latents on the way from one address to another, both included: float32 (n, latent_dim).

    Args:
        card: of the generator that they are for.
        start: seed and index of the first.
        stop: seed and index of the last.
        n: number of latents, at least 2.
        labels: the class of all of them, which is only checked.
        truncation: of the latents of both addresses.
        spread: of the latents of both addresses.

    Raises:
        InvalidRequestError: an address, a number, a truncation, a spread or labels that cannot be used.
    """
    num = whole_number(n, "n", low=2, high=_MOST_STEPS, field="query.latents.values")
    _check_class(card, labels)
    if truncation is not None:
        truncation = real_number(truncation, "truncation", field="query.address.truncation")
        check_truncation(truncation)
    if spread is not None:
        spread = real_number(spread, "spread", field="query.address.spread")
        check_spread(spread)
    return latents_between(
        _check_address(start, "start"), _check_address(stop, "stop"), num, card.latent_dim, truncation, spread
    )


def _check_class(card: ModelCard, labels: LabelsLike | None) -> None:
    """One class for all steps: an image between two classes is between two labels, and there is none."""
    if labels is None:
        if is_conditional(card):
            raise InvalidRequestError(
                f"this generator is conditional; give labels, one class for all images: {list_names(card.class_names)}",
                field="query.labels",
            )
        return
    policy = label_policy(labels)
    kind = policy.WhichOneof("policy") if policy else None
    if policy and kind != "one" and not (kind == "list" and len(policy.list.classes) == 1):
        raise InvalidRequestError(
            f"labels are {labels!r}, and all images of an interpolation are of one class; give a class, such as 3",
            field="query.labels",
        )


def _check_address(address: SeedAndIndex, name: str) -> SeedAndIndex:
    if not isinstance(address, Sequence) or isinstance(address, str) or len(address) != 2:
        raise InvalidRequestError(
            f"{name} is {address!r}; give a seed and an index, such as (7, 3)", field="query.latents"
        )
    seed, index = address
    return (
        whole_number(seed, f"the seed of {name}", low=0, high=NUM_SEEDS - 1, field="query.latents"),
        whole_number(index, f"the index of {name}", low=0, high=NUM_INDICES - 1, field="query.latents"),
    )
