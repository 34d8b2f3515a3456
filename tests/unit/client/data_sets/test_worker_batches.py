from __future__ import annotations

import itertools
from typing import Any

import pytest

from ganserve.client.torch._worker_batches import WorkerBatches
from ganserve.contract.errors import UnavailableError


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_error_of_a_worker_is_one_line(source: Any, num_workers: int) -> None:
    source.failures[0] = UnavailableError("nowhere:1 is not there: it has gone")
    loader = WorkerBatches(source, size=4, num_workers=num_workers, prefetch=2, seed=7)
    with pytest.raises(UnavailableError) as caught:
        next(loader.take())
    assert str(caught.value) == "nowhere:1 is not there: it has gone"


def test_no_turn_takes_the_samples_of_another(source: Any) -> None:
    loader = WorkerBatches(source, size=4, num_workers=0, prefetch=2, seed=7)
    for _ in range(2):
        turn = loader.take()
        assert list(itertools.islice(turn, 3)) == [4, 4, 4]
        turn.close()
    asked = list(itertools.chain(*source.indices))
    assert asked == list(range(len(asked)))
