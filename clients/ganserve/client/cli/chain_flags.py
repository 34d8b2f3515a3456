"""The flags that say what chooses samples and what transforms them, for every command that asks for samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Group, Parameter

from ganserve.client._queries.chains import ChainArguments

_CHAIN = Group("Better and other images", sort_key=3)


@dataclass(frozen=True, kw_only=True)
class ChainOptions:
    """Which other models the samples pass."""

    best_of: int | None = None
    """Of how many candidates each sample is the best, 2 to 64, as a scorer has it."""

    scorer: str | None = None
    """Name of the scorer; the classifier of the model's images, MODEL-classifier, by default."""

    then: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    """A translator that the samples pass through, such as sr2x. Give it several times for several, in order."""


ChainFlags = Annotated[ChainOptions | None, Parameter(name="*", group=_CHAIN)]


def chain_arguments(chain: ChainOptions | None) -> ChainArguments:
    """What the flags say, for a source of samples."""
    given = chain or ChainOptions()
    return ChainArguments(best_of=given.best_of, scorer=given.scorer, then=given.then or None)
