"""Which samples of a seed, and in which form: the arguments that `generate` spells out and other methods take too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypedDict

from ganserve.contract.images import ImageFormatName
from ganserve.contract.latents import NUM_INDICES
from ganserve.v1.generator_pb2 import ModelSelector, SampleQuery

from .chains import set_chain
from .labels import CountsLike, LabelsLike
from .requests import IndicesLike, address_query, image_encoding


class SampleOptions(TypedDict, total=False):
    """Arguments of `Client.generate`, whose docstring tells what they mean."""

    seed: int | None
    first_index: int
    indices: IndicesLike | None
    labels: LabelsLike | None
    counts: CountsLike | None
    truncation: float | None
    spread: float | None
    best_of: int | None
    scorer: str | None
    then: str | Sequence[str] | None
    format: ImageFormatName
    quality: int | None


def check_options(method: Callable[..., object], options: SampleOptions) -> None:
    """Raises TypeError, as the method's own signature would, where an option does not exist."""
    for name in options:
        if name not in SampleOptions.__annotations__:
            raise TypeError(f"{method.__qualname__}() got an unexpected keyword argument {name!r}")


def sample_query(
    model: ModelSelector,
    n: int | None,
    *,
    seed: int | None = None,
    first_index: int = 0,
    indices: IndicesLike | None = None,
    labels: LabelsLike | None = None,
    counts: CountsLike | None = None,
    truncation: float | None = None,
    spread: float | None = None,
    best_of: int | None = None,
    scorer: str | None = None,
    then: str | Sequence[str] | None = None,
    format: ImageFormatName = "raw",  # noqa: A002
    quality: int | None = None,
    endless: bool = False,
) -> SampleQuery:
    """Asks for samples of a seed, as `address_query` does, and as `set_chain` has it. Raises InvalidRequestError."""
    query = address_query(
        model,
        n,
        seed=seed,
        first_index=first_index,
        indices=indices,
        labels=labels,
        counts=counts,
        truncation=truncation,
        spread=spread,
        endless=endless,
        encoding=image_encoding(format, quality),
    )
    set_chain(query, best_of, scorer, then)
    if best_of is not None and n is None and query.address.count:
        left = NUM_INDICES // best_of - query.address.first_index
        query.address.count = min(query.address.count, max(1, left))
    return query
