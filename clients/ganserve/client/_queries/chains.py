"""Which other models samples pass: the scorer that chooses them, and the translators that transform them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypedDict

from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.scores import LEAST_CANDIDATES, MOST_CANDIDATES
from ganserve.v1.generator_pb2 import ModelSelector, SampleQuery
from ganserve.v1.model_pb2 import ModelIdentity

from .checks import whole_number
from .requests import model_selector, named

_USUAL_SCORER: Final = "{}-classifier"


class ChainArguments(TypedDict):
    """Arguments of `Client.generate` that name other models."""

    best_of: int | None
    scorer: str | None
    then: Sequence[str] | None


def set_chain(query: SampleQuery, best_of: int | None, scorer: str | None, then: str | Sequence[str] | None) -> None:
    """Has a query choose among candidates and pass through translators.

    Args:
        query: of an address.
        best_of: candidates a sample; None chooses nothing.
        scorer: chooses; None is the classifier that was exported beside the model.
        then: translators, in order.

    Raises:
        InvalidRequestError: a number or a name that cannot be used.
    """
    if best_of is not None:
        query.best_of.candidates = whole_number(
            best_of, "best_of", low=LEAST_CANDIDATES, high=MOST_CANDIDATES, field="query.best_of.candidates"
        )
        query.best_of.scorer.CopyFrom(further_model(scorer or _USUAL_SCORER.format(query.model.name)))
    elif scorer is not None:
        raise InvalidRequestError(
            "scorer says what chooses, and best_of among how many candidates; give best_of too", field="query.best_of"
        )
    if then is not None:
        names = [then] if isinstance(then, str) else list(then)
        query.then.extend(further_model(name) for name in names)


def further_model(name: str) -> ModelSelector:
    """A model by ``name``, ``name:version`` or ``name:alias``, each perhaps with ``@`` and its digest.

    Raises:
        InvalidRequestError: the text is none of these.
    """
    text, _, digest = str(name).partition("@")
    return named(model_selector(text, None, digest))


def chain_of(query: SampleQuery) -> ChainArguments:
    """What `set_chain` was told, of a query whose further models are known by version and digest."""
    has_choice = query.HasField("best_of")
    return ChainArguments(
        best_of=query.best_of.candidates if has_choice else None,
        scorer=further_name(query.best_of.scorer) if has_choice else None,
        then=[further_name(selector) for selector in query.then] or None,
    )


def further_name(model: ModelIdentity | ModelSelector) -> str:
    """The text by which `further_model` names this very model."""
    return f"{model.name}:{model.version}@{model.digest}"


def further_models(query: SampleQuery) -> Iterator[ModelSelector]:
    """Those that a query names beside its own, in the order in which they run; each can be written to."""
    if query.HasField("best_of"):
        yield query.best_of.scorer
    yield from query.then
