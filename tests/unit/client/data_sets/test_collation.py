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
