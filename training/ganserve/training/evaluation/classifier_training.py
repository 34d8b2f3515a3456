"""Training a classifier of images: the feature extractor on real ones, and the judge of `cas` on samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from ganserve.contract.errors import DatasetError
from ganserve.training.datasets import ImageDataset
from ganserve.training.memory import images_per_batch
from ganserve.training.networks.shape import ImageShape
from ganserve.training.pixels import from_levels

from .feature_extractor import FeatureExtractor

MIN_IMAGES = 4
NUM_POSES = 4
_HELD_OUT = 0.1
_MAX_EPOCHS = 30
_NUM_SETTLING_BATCHES = 20
_TESTED_AT_ONCE = 250

OnStep = Callable[[int, int], None]
"""Told how many steps are done, and of how many."""


@dataclass(frozen=True, kw_only=True)
class ClassifierSettings:
    """How long and how a classifier is trained, with AdamW and a rate that rises to `peak_lr` and falls to nothing."""

    num_steps: int
    batch_size: int = 128
    peak_lr: float = 3e-3
    weight_decay: float = 1e-2
    seed: int = 0

    @classmethod
    def for_images(cls, num_images: int, channels: int, *, seed: int = 0) -> Self:
        """Colour images, which are photographs more often than not, get more steps than grey ones."""
        num_steps = 1_000 if channels == 1 else 3_000
        return cls(num_steps=min(num_steps, _MAX_EPOCHS * math.ceil(num_images / cls.batch_size)), seed=seed)

    @classmethod
    def for_dataset(cls, dataset: ImageDataset) -> Self:
        """Those that the feature extractor of `dataset` is trained with."""
        return cls.for_images(len(dataset.images), dataset.images.shape[3])


def knows_classes(dataset: ImageDataset) -> bool:
    """Whether there is more than one class to tell apart."""
    return dataset.labels is not None and dataset.num_classes > 1


def train_classifier(
    dataset: ImageDataset, settings: ClassifierSettings, *, device: torch.device, on_progress: OnStep | None = None
) -> FeatureExtractor:
    """A classifier of nine tenths of `dataset`, in eval mode on `device`, with its accuracy on the last tenth.

    It learns the classes, or, where there are none, in which of four poses an image is shown (Gidaris et al.,
    Unsupervised Representation Learning by Predicting Image Rotations, 2018). Shifts by up to an eighth of a side keep
    it from learning single pixels. The same settings give the same weights on the same machine; global random numbers
    are left as they are. Raises DatasetError for fewer than four images.
    """
    if len(dataset.images) < MIN_IMAGES:
        raise DatasetError(f"{dataset.name}: {len(dataset.images)} images are too few to judge by; add some")
    rng = np.random.default_rng(settings.seed)
    held_out, rows = hold_out(len(dataset.images), rng)
    with torch.random.fork_rng(devices=[]), repeatable():
        torch.default_generator.manual_seed(settings.seed)
        _, *shape = dataset.images.shape
        num_outputs = dataset.num_classes if knows_classes(dataset) else NUM_POSES
        classifier = FeatureExtractor(ImageShape(*shape), num_outputs, knows_classes=knows_classes(dataset))
        classifier.to(device)
        _fit(classifier, dataset, rows, settings, rng, device, on_progress)
    classifier.eval().requires_grad_(False)
    num_right, num_tested = _tally(classifier, dataset, held_out, device)
    classifier.accuracy = float(num_right.sum() / num_tested.sum())
    if classifier.knows_classes:
        pairs = zip(num_right.tolist(), num_tested.tolist(), strict=True)
        classifier.class_accuracies = tuple(right / tested if tested else None for right, tested in pairs)
    return classifier


def hold_out(num_rows: int, rng: np.random.Generator) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """A tenth of the rows to test on, in order, and the others to learn from, shuffled; int64 each."""
    order = rng.permutation(num_rows)
    num_held_out = max(1, round(_HELD_OUT * num_rows))
    return np.sort(order[:num_held_out]), order[num_held_out:]


def accuracy_on(classifier: FeatureExtractor, dataset: ImageDataset, *, device: torch.device) -> float:
    """Share of the images whose class or pose `classifier` tells."""
    num_right, num_tested = _tally(classifier, dataset, np.arange(len(dataset.images)), device)
    return float(num_right.sum() / num_tested.sum())


@torch.no_grad()
def _tally(
    classifier: FeatureExtractor, dataset: ImageDataset, rows: npt.NDArray[np.int64], device: torch.device
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """How many images of each class or pose `classifier` tells, and how many there are, int64 (num_outputs,) each."""
    num_right, num_tested = np.zeros((2, classifier.num_outputs), np.int64)
    for first in range(0, len(rows), _TESTED_AT_ONCE):
        images, targets = _examples(classifier, dataset, rows[first : first + _TESTED_AT_ONCE], device)
        is_right = classifier.judge(images)[1].argmax(dim=1) == targets
        num_tested += np.bincount(targets.cpu(), minlength=len(num_tested))
        num_right += np.bincount(targets[is_right].cpu(), minlength=len(num_right))
    return num_right, num_tested


def _fit(
    classifier: FeatureExtractor,
    dataset: ImageDataset,
    rows: npt.NDArray[np.int64],
    settings: ClassifierSettings,
    rng: np.random.Generator,
    device: torch.device,
    on_progress: OnStep | None,
) -> None:
    optimiser = torch.optim.AdamW(classifier.parameters(), weight_decay=settings.weight_decay, fused=True)
    schedule = OneCycleLR(optimiser, max_lr=settings.peak_lr, total_steps=settings.num_steps + 1)
    batches = _batches(rows, settings.batch_size, rng)
    for step in range(settings.num_steps):
        images, targets = _examples(classifier, dataset, next(batches), device, rng)
        _, logits = classifier.judge(images)
        optimiser.zero_grad()
        torch.autograd.backward(F.cross_entropy(logits, targets))
        optimiser.step()
        schedule.step()
        if on_progress is not None:
            on_progress(step + 1, settings.num_steps)
    with torch.no_grad():
        settling = (_examples(classifier, dataset, next(batches), device) for _ in range(_NUM_SETTLING_BATCHES))
        _settle(classifier, (images for images, _ in settling))


def _settle(classifier: FeatureExtractor, batches: Iterable[Tensor]) -> None:
    """Gives the batch norms plain averages over `batches`, under the last weights and without shifts."""
    for module in classifier.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    for images in batches:
        classifier.judge(images)


def _batches(rows: npt.NDArray[np.int64], batch_size: int, rng: np.random.Generator) -> Iterator[npt.NDArray[np.int64]]:
    batch_size = min(batch_size, len(rows))
    while True:
        order = rng.permutation(rows)
        for first in range(0, len(order) - batch_size + 1, batch_size):
            yield order[first : first + batch_size]


def _examples(
    classifier: FeatureExtractor,
    dataset: ImageDataset,
    rows: npt.NDArray[np.int64],
    device: torch.device,
    rng: np.random.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Images as `classifier.judge` takes them, float32 (N, C, h, w), and the class or pose of each, int64 (N,).

    With `rng` all of them are shifted alike. Large images are read and shrunk a few at a time.
    """
    height, width = dataset.images.shape[1:3]
    shift = None if rng is None else (rng.integers(0, 2 * (height // 8) + 1), rng.integers(0, 2 * (width // 8) + 1))
    shrunk, targets = [], []
    at_once = images_per_batch(height, width)
    for first in range(0, len(rows), at_once):
        some = rows[first : first + at_once]
        images = from_levels(torch.from_numpy(dataset.images[some]).to(device))
        if knows_classes(dataset) and dataset.labels is not None:
            labels = torch.from_numpy(dataset.labels[some]).to(device)
        else:
            images, labels = posed(images, first)
        shrunk.append(classifier.shrunk(images if shift is None else _shifted(images, *shift)))
        targets.append(labels)
    return torch.cat(shrunk), torch.cat(targets)


def posed(images: Tensor, first: int = 0) -> tuple[Tensor, Tensor]:
    """The images (N, C, H, W), in another order, a quarter of them in each of four poses; and the poses, int64 (N,).

    Square images are turned by 0, 90, 180 and 270 degrees. Others must keep their sides: they are shown as they are,
    turned by 180, mirrored, and upside down. `first` is how many images of the batch came before these.
    """
    poses = [images[(pose - first) % NUM_POSES :: NUM_POSES] for pose in range(NUM_POSES)]
    if images.shape[2] == images.shape[3]:
        turned = [torch.rot90(part, pose, (2, 3)) for pose, part in enumerate(poses)]
    else:
        turned = [poses[0], poses[1].flip(2, 3), poses[2].flip(3), poses[3].flip(2)]
    labels = torch.arange(NUM_POSES).repeat_interleave(torch.tensor([len(part) for part in poses]))
    return torch.cat(turned), labels.to(images.device)


def _shifted(images: Tensor, top: int, left: int) -> Tensor:
    """All images of a batch shifted alike, by up to an eighth of a side, their edges drawn out."""
    height, width = images.shape[2:]
    down, right = height // 8, width // 8
    return F.pad(images, (right, right, down, down), mode="replicate")[:, :, top : top + height, left : left + width]


@contextmanager
def repeatable() -> Iterator[None]:
    """cuDNN picks the same kernels each time."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before
