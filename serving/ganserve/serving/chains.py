"""Chains of served models: what bounds one, and what its models are told of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager

from ganserve.runtime.chain import Chain, Stages

from .limits import Limits
from .model import Model

ServedChain = Chain[Model]


def in_use(stages: Stages[Model], *, streaming: bool = False) -> AbstractContextManager[None]:
    """Around a call that uses the models, none of which is freed meanwhile."""
    loads = stages.loads(1)
    if len(loads) == 1 and not streaming:
        return stages.model.in_use
    return _all_in_use([model for model, _ in loads], streaming=streaming)


@contextmanager
def _all_in_use(models: Sequence[Model], *, streaming: bool) -> Iterator[None]:
    with ExitStack() as stack:
        for model in models:
            stack.enter_context(model.in_use)
            if streaming:
                stack.enter_context(model.streaming)
        yield


def limits_of(stages: Stages[Model], candidates: int) -> Limits:
    """What bounds requests, so that no model runs more rows for one than it would by itself."""
    loads = stages.loads(candidates)
    if len(loads) == 1:
        return stages.model.limits
    return Limits.shared([(model.limits, num_rows) for model, num_rows in loads])


def rows_by_model(chain: ServedChain) -> Mapping[Model, int]:
    """Every model, and the rows that it runs for all samples."""
    rows: dict[Model, int] = {}
    for model, num_rows in chain.loads:
        rows[model] = rows.get(model, 0) + num_rows * chain.source.count
    return rows
