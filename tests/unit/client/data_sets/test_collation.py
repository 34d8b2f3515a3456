from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

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


@pytest.mark.parametrize("side", [8, LARGE])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_batches_are_those_of_plain_tuples(side: int, dtype: torch.dtype, num_workers: int) -> None:
    items = Items(side, dtype)
    context = "fork" if num_workers else None
    batches = list(DataLoader(items, batch_size=2, num_workers=num_workers, multiprocessing_context=context))
    assert [len(batch[0]) for batch in batches] == [2, 2, 1]
    for number, batch in enumerate(batches):
        expected = default_collate([tuple(items[place]) for place in range(number * 2, min(5, number * 2 + 2))])
        assert type(batch) is type(expected) is list
        for column, wanted in zip(batch, expected, strict=True):
            assert column.dtype == wanted.dtype
            assert torch.equal(column, wanted)
            column.zero_()  # it is the reader's own


@pytest.mark.parametrize("change", ["half", "named", "grown"])
def test_a_collation_of_ones_own_may_change_the_batch(change: str) -> None:
    def changed(items: list[Any]) -> Any:
        batch = default_collate(items)
        if change == "half":
            batch[0] = batch[0].to(torch.bfloat16)
        elif change == "named":
            batch.append("a name")
        else:
            batch[0] = batch[0].repeat(1, 1, LARGE, LARGE)
        return batch

    items = Items(2, torch.uint8)
    loader = DataLoader(items, batch_size=5, num_workers=1, multiprocessing_context="fork", collate_fn=changed)
    (batch,) = loader
    assert type(batch) is list
    expected = changed([tuple(item) for item in map(items.__getitem__, range(5))])
    assert torch.equal(batch[0], expected[0])
    assert batch[3:] == expected[3:]
