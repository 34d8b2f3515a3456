"""A plain DCGAN loop, the yardstick for ours: what the DCGAN example of PyTorch does, step for step.

https://github.com/pytorch/examples/tree/main/dcgan, in words of our own and with networks handed in. As there: a
DataLoader with two workers that turns one image at a time into a tensor, cross-entropy on probabilities, a backward
pass for real and another for generated images, gradients of the discriminator's weights in the generator's step, Adam
with its defaults, and five figures read after every step. It has no averaged generator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam
from torch.utils.data import DataLoader, Dataset

from ganserve.training.config import TrainingConfig
from ganserve.training.datasets import ImageDataset
from ganserve.training.draws import seed_for
from ganserve.training.networks import ImageShape, build_discriminator, build_generator

Batch = tuple[Tensor, Tensor | None]
"""Images float32 (N, C, H, W) in [-1, 1], and labels int64 (N,) or None."""

_NUM_WORKERS = 2
_MEAN, _STD = 0.5, 0.5


@dataclass(frozen=True)
class PlainFigures:
    """What a plain step shows: both losses and three mean probabilities of being real."""

    discriminator_loss: float
    generator_loss: float
    real: float
    fake: float
    fake_after: float
    """Of the same generated images, after the discriminator's step."""


@dataclass(frozen=True)
class PlainTraining:
    """What the plain loop changes."""

    generator: nn.Module
    discriminator: nn.Module
    generator_optimiser: Adam
    discriminator_optimiser: Adam
    latent_dim: int
    device: torch.device

    @classmethod
    def fresh(
        cls, config: TrainingConfig, shape: ImageShape, *, num_classes: int, device: torch.device
    ) -> PlainTraining:
        """The networks of `config` before the first step; of its other settings only rates and decay rates count."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for("weights", config.seed))
            generator = build_generator(
                config.arch,
                shape,
                latent_dim=config.latent_dim,
                num_classes=num_classes,
                base_width=config.base_width,
            ).to(device)
            discriminator = build_discriminator(
                config.arch,
                shape,
                num_classes=num_classes,
                base_width=config.base_width,
                norm=config.resolved_discriminator_norm,
            ).to(device)
        return cls(
            generator=generator,
            discriminator=discriminator,
            generator_optimiser=Adam(generator.parameters(), lr=config.generator_lr, betas=config.betas),
            discriminator_optimiser=Adam(discriminator.parameters(), lr=config.discriminator_lr, betas=config.betas),
            latent_dim=config.latent_dim,
            device=device,
        )


def train_plainly(
    training: PlainTraining,
    batches: Iterator[Batch],
    *,
    num_steps: int,
    after_step: Callable[[PlainFigures], None],
) -> None:
    """Trains in place for `num_steps` steps, each of one discriminator step and one generator step."""
    generator, discriminator, device = training.generator, training.discriminator, training.device
    for _ in range(num_steps):
        images, labels = next(batches)
        real, labels = images.to(device), None if labels is None else labels.to(device)
        ones, zeros = torch.ones(len(real), device=device), torch.zeros(len(real), device=device)

        discriminator.zero_grad()
        real_scores = torch.sigmoid(discriminator(real, labels))
        real_loss = F.binary_cross_entropy(real_scores, ones)
        torch.autograd.backward(real_loss)
        real_mean = real_scores.mean().item()
        fake = generator(torch.randn(len(real), training.latent_dim, device=device), labels)
        fake_scores = torch.sigmoid(discriminator(fake.detach(), labels))
        fake_loss = F.binary_cross_entropy(fake_scores, zeros)
        torch.autograd.backward(fake_loss)
        fake_mean = fake_scores.mean().item()
        training.discriminator_optimiser.step()

        generator.zero_grad()
        scores = torch.sigmoid(discriminator(fake, labels))
        generator_loss = F.binary_cross_entropy(scores, ones)
        torch.autograd.backward(generator_loss)
        fake_mean_after = scores.mean().item()
        training.generator_optimiser.step()

        after_step(
            PlainFigures(
                discriminator_loss=(real_loss + fake_loss).item(),
                generator_loss=generator_loss.item(),
                real=real_mean,
                fake=fake_mean,
                fake_after=fake_mean_after,
            )
        )


def loaded_batches(dataset: ImageDataset, batch_size: int, *, conditional: bool) -> Iterator[Batch]:
    """Endless shuffled batches on the CPU, from worker processes, all full; `dataset` must fill one.

    The workers end when the iterator is closed or dropped.
    """
    loader = DataLoader(
        _TransformedImages(dataset), batch_size=batch_size, shuffle=True, num_workers=_NUM_WORKERS, drop_last=True
    )
    while True:
        for images, labels in loader:
            yield images, labels if conditional else None


class _TransformedImages(Dataset[tuple[Tensor, int]]):
    """Each image as torchvision's ToTensor and Normalize give it, float32 (C, H, W), and its label, 0 without any."""

    def __init__(self, dataset: ImageDataset) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        pixels = torch.from_numpy(np.array(self._dataset.images[index]))
        image = pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255)
        label = 0 if self._dataset.labels is None else int(self._dataset.labels[index])
        return image.sub_(_MEAN).div_(_STD), label
