"""What does a classifier learn from samples alone? Its accuracy on real images is the classification accuracy score."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ganserve.contract.errors import ConfigError, DatasetError
from ganserve.training.datasets import ImageDataset
from ganserve.training.memory import images_per_batch

from .classifier_training import ClassifierSettings, OnStep, accuracy_on, train_classifier
from .samples import draw_samples, labels_like


def classification_accuracy_scores(
    generator: nn.Module,
    *,
    num_classes: int,
    latent_dim: int,
    test: ImageDataset,
    num_images: int,
    seeds: Sequence[int] = (0, 1, 2),
    device: torch.device,
    on_progress: OnStep | None = None,
    settings: ClassifierSettings | None = None,
) -> list[float]:
    """Accuracy on `test`, real images that nothing was trained on, of classifiers trained on samples only.

    Ravuri and Vinyals, Classification Accuracy Score for Conditional Generative Models, 2019. Each seed draws
    `num_images` samples of its own, all classes equally often, and trains a classifier of the feature extractor's kind
    on them.

    Args:
        generator: conditional, on `device` and in eval mode.
        num_classes: of the generator.
        latent_dim: of the generator.
        test: real images with labels of the same classes.
        num_images: samples to learn from, at least four.
        seeds: one result each.
        device: where to draw and train.
        on_progress: told of training steps done, over all seeds.
        settings: how the classifiers are trained, but for the seed; left out, as for real images.

    Raises:
        ConfigError: the generator has fewer than two classes.
        DatasetError: `test` has other classes, or images of another shape than the generator's.
    """
    if num_classes < 2:
        raise ConfigError("--cas: the generator draws no classes; CAS needs a conditional one")
    if test.labels is None or test.num_classes != num_classes:
        raise DatasetError(f"{test.name}: {test.num_classes} classes of test images, but {num_classes} of samples")
    settings = settings or ClassifierSettings.for_images(num_images, test.images.shape[3])
    scores: list[float] = []
    for index, seed in enumerate(seeds):
        labels = labels_like(np.arange(num_classes, dtype=np.int64), num_images, seed=seed)
        batches = draw_samples(
            generator,
            num_images,
            labels=labels,
            latent_dim=latent_dim,
            seed=seed,
            batch_size=images_per_batch(*test.images.shape[1:3]),
            device=device,
        )
        images = _gathered(batches, num_images, test)
        samples = ImageDataset(images, labels, test.class_names, "samples")
        classifier = train_classifier(
            samples,
            dataclasses.replace(settings, seed=seed),
            device=device,
            on_progress=_from(index, len(seeds), on_progress),
        )
        scores.append(accuracy_on(classifier, test, device=device))
    return scores


def _gathered(batches: Iterable[Tensor], num_images: int, test: ImageDataset) -> npt.NDArray[np.uint8]:
    """All batches as one array, uint8 (N, H, W, C), filled as they come, since two of its kind may not fit."""
    images = np.empty((num_images, *test.images.shape[1:]), np.uint8)
    first = 0
    for levels in batches:
        if levels.shape[1:] != images.shape[1:]:
            raise DatasetError(f"{test.name}: test images of {images.shape[1:]}, samples of {tuple(levels.shape[1:])}")
        images[first : first + len(levels)] = levels.cpu().numpy()
        first += len(levels)
    return images


def _from(index: int, num_seeds: int, on_progress: OnStep | None) -> OnStep | None:
    """Progress of the `index`-th of several trainings as progress of all of them."""
    if on_progress is None:
        return None
    return lambda num_done, total: on_progress(index * total + num_done, num_seeds * total)
