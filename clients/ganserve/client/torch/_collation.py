"""How the items of a batch become tensors, and cross from a worker of a `DataLoader` to its reader.

PyTorch hands each tensor over as a file in shared memory, whose descriptor goes through a socket of its own. For 64
images of 32×32 and their labels that takes about as long as to fetch them, and a tenth of it as bytes through the pipe
that is there anyway; from about a megabyte on it is the other way round. So items are a type of tuple that PyTorch's
`default_collate` knows: it makes the same tensors of them, and sends small ones as bytes.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch.utils.data import get_worker_info
from torch.utils.data._utils.collate import collate, default_collate_fn_map

_MOST_PIPED_BYTES: Final = 512 * 1024
_PIPED_TYPES: Final = (torch.uint8, torch.float32, torch.int64, torch.bool)


class Item(tuple[Any, ...]):
    """An image and what is told of it: its label, and whether it is synthetic where that is told."""

    __slots__ = ()


class _Batch(list[Any]):
    """Tensors that are pickled as their bytes, where they are small; a plain list on the other side."""

    def __reduce__(self) -> tuple[Any, ...]:
        if all(map(_is_plain, self)) and sum(tensor.nbytes for tensor in self) <= _MOST_PIPED_BYTES:
            return _receive, tuple(tensor.numpy() for tensor in self)
        return list, (list(self),)  # a collation of the user's own has put something else in


def _receive(*arrays: Any) -> list[torch.Tensor]:
    return [torch.from_numpy(array) for array in arrays]


def _collate_items(batch: list[Item], *, collate_fn_map: dict[Any, Any] | None = None) -> Any:
    """What `default_collate` makes of plain tuples: a tensor a column."""
    images = [item[0] for item in batch]
    if get_worker_info() and all(map(_is_plain, images)) and len(batch) * images[0].nbytes <= _MOST_PIPED_BYTES:
        return _Batch([torch.stack(images), *map(torch.tensor, list(zip(*batch, strict=True))[1:])])
    # In a worker this writes to shared memory at once, which is best for what is large.
    return collate([tuple(item) for item in batch], collate_fn_map=collate_fn_map)


def _is_plain(value: Any) -> bool:
    return type(value) is torch.Tensor and value.dtype in _PIPED_TYPES and value.is_cpu and not value.requires_grad


default_collate_fn_map[Item] = _collate_items
