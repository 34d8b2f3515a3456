"""Chains of served models: what bounds one, and what its models are told of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ganserve.runtime.chain import Chain, Stages

from .limits import Limits
from .model import Model

ServedChain = Chain[Model]


@contextmanager
def in_use(stages: Stages[Model], *, streaming: bool = False) -> Iterator[None]:
    """Around a call that uses the models, none of which is freed meanwhile."""
    with ExitStack() as stack:
        for model, _ in stages.loads(1):
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


def rows_by_model(chain: ServedChain) -> Counter[Model]:
    """Every model, and the rows that it runs for all samples."""
    rows: Counter[Model] = Counter()
    for model, num_rows in chain.loads:
        rows[model] += num_rows * chain.source.count
    return rows
