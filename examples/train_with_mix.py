"""Trains a small classifier on too few, uneven digits, and again with synthetic ones mixed in.

    python examples/train_with_mix.py                           # with the generator that `make demo` trained
    python examples/train_with_mix.py --bundle models/digits/1  # with another one of digits

Of each even digit there are 60 real images, of each odd one 12. The figures of one run vary by a percent or two, and
the generator of the demo has seen the test images: it shows how it is done, not whether it helps.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from ganserve.client import LocalGenerator
from ganserve.client.torch import MixedDataset, mix

DEMO_BUNDLE = Path(__file__).resolve().parents[1] / "demo" / "models" / "digits" / "1"
NAMES = [str(digit) for digit in range(10)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--bundle", type=Path, default=DEMO_BUNDLE, help="a bundle of a generator of digits")
    parser.add_argument("--steps", type=int, default=400, help="of the classifier, for each of the three data sets")
    arguments = parser.parse_args()
    if not arguments.bundle.is_dir():
        parser.error(f"there is no bundle in {arguments.bundle}; run `make demo` first, or give --bundle")

    real, test = load_uneven_digits()
    with LocalGenerator(arguments.bundle, device="cpu") as generator:
        arms = {
            "real images as they are": mix(real, generator, seed=7, ratio=0, classes=NAMES),
            "real images, balanced": mix(real, generator, seed=7, ratio=0, balance=True, classes=NAMES),
            "a quarter of synthetic images on top": mix(real, generator, seed=7, balance=True, classes=NAMES),
        }
        for name, mixed in arms.items():
            print(f"{name:38} {len(mixed):4} images  {train(mixed, arguments.steps, test):.1%} right", flush=True)


def load_uneven_digits() -> tuple[TensorDataset, TensorDataset]:
    """Few images to train on, and many to test on."""
    digits = load_digits()
    images = torch.from_numpy(np.rint(digits.images * (255 / 16)).astype(np.uint8)).unsqueeze(1)  # (N, 1, 8, 8)
    labels = torch.from_numpy(digits.target)
    counts = [60 if digit % 2 == 0 else 12 for digit in range(10)]
    chosen = torch.cat([torch.nonzero(labels == digit)[:count, 0] for digit, count in enumerate(counts)])
    left = torch.ones(len(labels), dtype=torch.bool)
    left[chosen] = False
    return TensorDataset(images[chosen], labels[chosen]), TensorDataset(images[left], labels[left])


def train(mixed: MixedDataset, num_steps: int, test: TensorDataset) -> float:
    """The part of the test images that a classifier gets right, after as many steps whatever the size of an epoch."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for images, labels in itertools.islice(batches(mixed), num_steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images / 255), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    test_images, test_labels = test.tensors
    with torch.no_grad():
        right = model(test_images / 255).argmax(1) == test_labels
    return float(right.float().mean())


def batches(mixed: MixedDataset) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Without end: uint8 (N, 1, 8, 8) and int64 (N,), in every epoch with other synthetic images."""
    loader = DataLoader(mixed, batch_size=32, shuffle=True)
    for epoch in itertools.count():
        mixed.set_epoch(epoch)
        yield from loader


if __name__ == "__main__":
    main()
