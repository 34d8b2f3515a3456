"""Does a conditional generator draw the digit it is asked for? A classifier trained on the real images decides.

    python benchmarks/mnist_classifier.py --run runs/mnist --data path/to/mnist --per-class 500

`--data` is the folder of the four MNIST files. The classifier is trained on the real training images, and its accuracy
on the real test images is printed beside the figures, because a weak judge would prove nothing. Samples come from the
run's last checkpoint and are addressed by seed and index, so the same run gives the same figures.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import cyclopts
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganserve.contract.images import make_contact_sheet
from ganserve.contract.latents import sample_latents
from ganserve.training import load_generator
from ganserve.training.datasets.idx import read_idx
from ganserve.training.pixels import to_levels
from ganserve.training.previews import write_png

NUM_CLASSES = 10
BATCH_SIZE = 128
TEST_BATCH_SIZE = 500
GRID_ROWS = 10


def build_classifier() -> nn.Module:
    """Grey 28×28 images, float (N, 1, 28, 28), to logits (N, 10)."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 7 * 7, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, NUM_CLASSES),
    )


def read_split(folder: Path, prefix: str) -> tuple[Tensor, Tensor]:
    """Images uint8 (N, 1, 28, 28) and labels int64 (N,) of the split `train` or `t10k`."""
    arrays = []
    for name, num_dimensions in (("images-idx3-ubyte", 3), ("labels-idx1-ubyte", 1)):
        plain = folder / f"{prefix}-{name}"
        path = plain if plain.is_file() else plain.with_name(f"{plain.name}.gz")
        arrays.append(torch.from_numpy(read_idx(path, num_dimensions=num_dimensions)))
    return arrays[0].unsqueeze(1), arrays[1].long()


def train_classifier(images: Tensor, labels: Tensor, *, num_epochs: int, seed: int) -> nn.Module:
    """A classifier in eval mode, trained with Adam and a learning rate that falls to nothing."""
    torch.manual_seed(seed)
    classifier = build_classifier()
    num_steps = num_epochs * (len(images) // BATCH_SIZE)
    optimiser = torch.optim.Adam(classifier.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=3e-3, total_steps=num_steps)
    for _ in range(num_epochs):
        order = torch.randperm(len(images))
        for first in range(0, len(images) - BATCH_SIZE + 1, BATCH_SIZE):
            rows = order[first : first + BATCH_SIZE]
            loss = F.cross_entropy(classifier(as_input(images[rows])), labels[rows])
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
    return classifier.eval()


def as_input(levels: Tensor) -> Tensor:
    """uint8 levels to floats in [-1, 1]."""
    return levels.float() / 127.5 - 1


@torch.no_grad()
def classify(classifier: nn.Module, images: Tensor) -> Tensor:
    """images: uint8 (N, 1, 28, 28) -> classes int64 (N,)."""
    pieces = (images[first : first + TEST_BATCH_SIZE] for first in range(0, len(images), TEST_BATCH_SIZE))
    return torch.cat([classifier(as_input(piece)).argmax(dim=1) for piece in pieces])


@torch.no_grad()
def draw_class(generator: nn.Module, label: int, count: int, latent_dim: int, seed: int) -> Tensor:
    """Samples of one class, uint8 (count, 1, 28, 28)."""
    pieces = []
    for first in range(0, count, TEST_BATCH_SIZE):
        num = min(TEST_BATCH_SIZE, count - first)
        z = torch.from_numpy(sample_latents(seed, first + label * count, num, latent_dim))
        pieces.append(to_levels(generator(z, torch.full((num,), label))).permute(0, 3, 1, 2))
    return torch.cat(pieces)


def main(
    *, run: Path, data: Path, per_class: int = 500, num_epochs: int = 5, seed: int = 0, grid: Path | None = None
) -> None:
    """Judge the samples of a run.

    Parameters
    ----------
    run
        Folder of a conditional MNIST run.
    data
        Folder of the four MNIST files.
    per_class
        Samples of each class.
    num_epochs
        Epochs of the classifier.
    seed
        Seed of the samples and of the classifier.
    grid
        Where to write a picture with one class a column; left out, none is written.
    """
    generator, card = load_generator(run)
    started_s = time.monotonic()
    classifier = train_classifier(*read_split(data, "train"), num_epochs=num_epochs, seed=seed)
    test_images, test_labels = read_split(data, "t10k")
    test_accuracy = (classify(classifier, test_images) == test_labels).double().mean().item()
    print(f"classifier: {test_accuracy:.2%} of real test images right, {time.monotonic() - started_s:.0f} s")
    samples = torch.stack(
        [draw_class(generator, label, per_class, card.latent_dim, seed) for label in range(NUM_CLASSES)]
    )
    accuracies = [
        (classify(classifier, samples[label]) == label).double().mean().item() for label in range(NUM_CLASSES)
    ]
    for label, accuracy in enumerate(accuracies):
        print(f"class {label}: {accuracy:.2%} of {per_class} samples")
    print(f"all: {np.mean(accuracies):.2%} of {NUM_CLASSES * per_class} samples are the class that was asked for")
    print(json.dumps({"classifier": test_accuracy, "samples": float(np.mean(accuracies)), "classes": accuracies}))
    if grid is not None:
        columns = samples[:, :GRID_ROWS].transpose(0, 1).flatten(0, 1).permute(0, 2, 3, 1)
        write_png(grid, make_contact_sheet(columns.numpy(), NUM_CLASSES))


if __name__ == "__main__":
    cyclopts.run(main)
