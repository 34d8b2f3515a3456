"""Synthetic samples as PyTorch data sets, alone or mixed into real ones.

    from ganserve.client import Client
    from ganserve.client.torch import mix

    mixed = mix("pets/", Client("127.0.0.1:50051", model="pets"), balance=True, seed=7)
    loader = DataLoader(mixed, batch_size=64, shuffle=True, num_workers=2)
    for epoch in range(20):
        mixed.set_epoch(epoch)
        for images, labels in loader: ...

`SyntheticDataset` is map-style, `SyntheticStream` iterable, and `mix` adds to a real data set so many samples of each
class. Each takes a source (`Client`, `LocalGenerator`), gives every epoch samples of its own, and can be repeated
exactly, for a sample is an address. `Transformed` has real images pass through a translator. This is the one part of
the client that needs PyTorch.
"""

from ganserve.contract.extras import install_advice

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    raise ImportError(f"ganserve.client.torch needs PyTorch; {install_advice('torch')}") from error

from ._dataset import SyntheticDataset
from ._images import ImageType
from ._mix import UnevenShareWarning, mix
from ._mixed import MixedDataset
from ._stream import SyntheticStream
from ._transformed import Transformed

__all__ = [
    "ImageType",
    "MixedDataset",
    "SyntheticDataset",
    "SyntheticStream",
    "Transformed",
    "UnevenShareWarning",
    "mix",
]
