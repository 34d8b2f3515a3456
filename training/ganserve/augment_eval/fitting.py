"""One training: a classifier from its first weights to what it says of images that it has not seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from ganserve.contract.images import Images
from ganserve.training.draws import Draws, seed_for
from ganserve.training.evaluation.classifier_training import repeatable
from ganserve.training.memory import images_per_batch
from ganserve.training.pixels import from_levels

from . import classic
from .arms import Arm
from .learning import LearningSet

_WEIGHT_DECAY = 1e-2


@dataclass(frozen=True)
class Fitter:
    """Trains classifiers that differ in nothing but what they are shown."""

    make: Callable[[], nn.Module]
    num_steps: int
    batch_size: int
    device: torch.device
    on_step: Callable[[], None] = lambda: None

    def fit(self, learning: LearningSet, arm: Arm, *, learning_rate: float, seed: int) -> nn.Module:
        """A classifier in eval mode, with AdamW and a rate that rises to `learning_rate` and falls to nothing.

        The first weights depend on the seed alone, and so does the order of what the arms have in common. Global random
        numbers are left as they are.
        """
        rows = learning.shown(self.num_steps * self.batch_size, seed).reshape(self.num_steps, self.batch_size)
        images, labels = torch.from_numpy(learning.images), torch.from_numpy(learning.labels)
        draws = Draws(self.device, seed_for("steps", seed))
        with torch.random.fork_rng(devices=[]), repeatable():
            torch.default_generator.manual_seed(seed_for("weights", seed))
            classifier = self.make().train()
            classifier.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            optimiser = torch.optim.AdamW(classifier.parameters(), weight_decay=_WEIGHT_DECAY, fused=True)
            schedule = OneCycleLR(optimiser, max_lr=learning_rate, total_steps=self.num_steps + 1)
            for batch in torch.from_numpy(rows):
                shown = as_input(images[batch], self.device)
                if arm.is_augmented:
                    shown = classic.change(shown, draws, mirror=arm.mirror)
                loss = F.cross_entropy(classifier(shown), labels[batch].to(self.device))
                optimiser.zero_grad()
                torch.autograd.backward(loss)
                optimiser.step()
                schedule.step()
                self.on_step()
        classifier.eval()
        return classifier


def as_input(levels: Tensor, device: torch.device) -> Tensor:
    """uint8 (N, H, W, C) -> float32 (N, C, H, W) in [-1, 1] on `device`, channels last, as convolutions like it."""
    return from_levels(levels.to(device)).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def logits_of(classifier: nn.Module, images: Images, device: torch.device, *, mirrored: bool = False) -> Tensor:
    """What a classifier says of images (N, H, W, C), float32 (N, num_classes) on the CPU."""
    at_once = images_per_batch(*images.shape[1:3])
    parts = []
    for first in range(0, len(images), at_once):
        shown = as_input(torch.from_numpy(np.ascontiguousarray(images[first : first + at_once])), device)
        parts.append(classifier(shown.flip(3) if mirrored else shown).float().cpu())
    return torch.cat(parts)


def balanced_loss(logits: Tensor, labels: npt.NDArray[np.int64]) -> float:
    """Cross-entropy in nats, the mean of the classes' means, so that a small class counts as much as a large one."""
    targets = torch.from_numpy(labels)
    losses = F.cross_entropy(logits, targets, reduction="none").double().numpy()
    return float(np.mean([losses[labels == label].mean() for label in np.unique(labels)]))


def balanced_accuracy(is_right: npt.NDArray[np.bool_], labels: npt.NDArray[np.int64]) -> float:
    """The mean of the classes' recalls."""
    return float(np.mean([is_right[labels == label].mean() for label in np.unique(labels)]))
