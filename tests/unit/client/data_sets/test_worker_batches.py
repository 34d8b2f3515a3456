from __future__ import annotations

import itertools
from typing import Any

import pytest
from torch._utils import ExceptionWrapper

from ganserve.client.torch._worker_batches import WorkerBatches, _without_traceback
from ganserve.contract.errors import UnavailableError


def test_an_error_is_one_line(source: Any) -> None:
    source.failures[0] = UnavailableError("nowhere:1 is not there: it has gone")
    with pytest.raises(UnavailableError) as caught:
        next(WorkerBatches(source, size=4, num_workers=0, prefetch=2, seed=7).take())
    assert str(caught.value) == "nowhere:1 is not there: it has gone"


def test_an_error_of_a_worker_is_one_line() -> None:
    try:
        raise UnavailableError("nowhere:1 is not there: it has gone")
    except UnavailableError:
        wrapped = ExceptionWrapper(where="in DataLoader worker process 0")  # type: ignore[no-untyped-call]
    with pytest.raises(UnavailableError) as caught:
        wrapped.reraise()  # type: ignore[no-untyped-call]
    assert len(str(caught.value).splitlines()) > 1
    assert str(_without_traceback(caught.value)) == "nowhere:1 is not there: it has gone"


def test_no_turn_takes_the_samples_of_another(source: Any) -> None:
    loader = WorkerBatches(source, size=4, num_workers=0, prefetch=2, seed=7)
    for _ in range(2):
        turn = loader.take()
        assert list(itertools.islice(turn, 3)) == [4, 4, 4]
        turn.close()
    asked = list(itertools.chain(*source.indices))
    assert asked == list(range(len(asked)))
