from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset, default_collate

from ganserve.client.torch import _collation
from ganserve.client.torch._collation import Item

LARGE = 600  # pixels a side, of which two images are too many to be sent as bytes


class Items(Dataset[Any]):
    """Images that differ, with a label and a flag."""

    def __init__(self, side: int, dtype: torch.dtype) -> None:
        self._side = side
        self._dtype = dtype

    def __len__(self) -> int:
        return 5

    def __getitem__(self, place: int) -> Item:
        return Item((torch.full((1, self._side, self._side), place, dtype=self._dtype), place * 3, place % 2 == 0))


@pytest.fixture
def as_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Collates as a worker does. A real fork would hang where a server of another test is in this process."""
    monkeypatch.setattr(_collation, "get_worker_info", lambda: True)


@pytest.mark.parametrize("side", [8, LARGE])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.usefixtures("as_worker")
def test_batches_are_those_of_plain_tuples(side: int, dtype: torch.dtype) -> None:
    items = list(map(Items(side, dtype).__getitem__, range(5)))
    received = copy.copy(default_collate(items))  # by what a pickle would hold
    expected = default_collate([tuple(item) for item in items])
    assert type(received) is type(expected) is list
    for column, wanted in zip(received, expected, strict=True):
        assert column.dtype == wanted.dtype
        assert torch.equal(column, wanted)


@pytest.mark.parametrize("change", ["half", "named", "grown"])
@pytest.mark.usefixtures("as_worker")
def test_a_collation_of_ones_own_may_change_the_batch(change: str) -> None:
    batch = default_collate(list(map(Items(2, torch.uint8).__getitem__, range(5))))
    if change == "half":
        batch[0] = batch[0].to(torch.bfloat16)
    elif change == "named":
        batch.append("a name")
    else:
        batch[0] = batch[0].repeat(1, 1, LARGE, LARGE)
    received = copy.copy(batch)
    assert type(received) is list
    assert all(column is same for column, same in zip(received, batch, strict=True))
