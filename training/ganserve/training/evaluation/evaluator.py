"""Samples of a generator against real images, again and again as it learns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ganserve.contract.errors import ConfigError, DatasetError
from ganserve.training.datasets import ImageDataset
from ganserve.training.memory import images_per_batch
from ganserve.training.pixels import from_levels
from ganserve.training.scores import Scores

from . import metrics
from .classes import RealClasses
from .classifier_training import MIN_IMAGES
from .feature_extractor import FeatureExtractor
from .inception import Inception
from .samples import draw_samples, labels_like, weights_of

# Of no run's own, so that runs on the same data are held against the same real images. Not the classifier's either:
# the images that it has not seen must fall into both halves alike.
_SPLIT_SEED = (0, 1)


@dataclass(frozen=True)
class _View:
    """What the networks make of some images."""

    features: Tensor
    """float32 (N, F)."""

    classes: Tensor
    """int64 (N,): what the feature extractor takes them for."""

    inception: Tensor | None
    """float32 (N, F); None where its weights are not at hand."""

    def first(self, num_images: int) -> _View:
        """That of the first `num_images`."""
        inception = None if self.inception is None else self.inception[:num_images]
        return _View(self.features[:num_images], self.classes[:num_images], inception)


class Evaluator:
    """Scores a generator. What depends on the real images alone is computed once.

    The real images are cut into two halves, a reference and another, of at most `num_images` each. Distances are from
    the reference to as many samples, and the floor is from the reference to the other half, so that both have the same
    counts on both sides. Small data make the halves small: of 1,797 digits each has 898, and 898 of the samples go into
    the distances. The figures of classes use all samples.

    Both sides of a distance have the same classes: a conditional generator is asked for each as often as the data have
    it. `balanced`, for a generator that was shown classes alike, makes all classes count alike on both sides, so that a
    generator that draws only the common ones comes out far from the real images however rare the others are.

    A perfect generator would come out near the floor, not on it. A little above, because most images of both halves
    have taught the feature extractor and none of its samples have. A little below where it is asked for classes,
    because those are then as frequent as in the data, and in a half of few images only about so.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        feature_extractor: FeatureExtractor,
        *,
        latent_dim: int,
        conditional: bool,
        num_images: int,
        seed: int,
        device: torch.device,
        balanced: bool = False,
    ) -> None:
        """Looks at the real images.

        `feature_extractor` is the one of `dataset`, on `device`. Raises ConfigError for fewer than two samples,
        DatasetError for fewer than four real images.
        """
        if num_images < 2:
            raise ConfigError(f"--num-images {num_images}: too few to measure; give at least 2")
        if len(dataset.images) < MIN_IMAGES:
            raise DatasetError(f"{dataset.name}: {len(dataset.images)} images are too few to judge by; add some")
        self.feature_extractor = feature_extractor
        """The judge: figures compare only under one."""

        self._inception = Inception.at_hand(device)
        self._latent_dim = latent_dim
        self._num_images = num_images
        self._seed = seed
        self._batch_size = images_per_batch(*dataset.images.shape[1:3])
        self._device = device
        self._balanced = balanced
        self._labels = None
        if conditional and dataset.labels is not None:
            self._labels = labels_like(dataset.labels, num_images, seed=seed)
        self._real_classes = RealClasses.of(dataset, feature_extractor, balanced=balanced)
        reference, other_half = (
            _sorted_in_batches(rows, self._batch_size) for rows in halves(len(dataset.images), num_images)
        )
        self._real, other = (self._view(self._levels_of(dataset, rows)) for rows in (reference, other_half))
        self._real_weights, other_weights = (
            self._weights(None if dataset.labels is None else dataset.labels[rows]) for rows in (reference, other_half)
        )
        self._floor = metrics.frechet_distance(
            self._real.features, other.features, real_weights=self._real_weights, sample_weights=other_weights
        )
        self._real_mean_distance = metrics.mean_distance(self._real.features, weights=self._real_weights)

    def scores(self, generator: nn.Module) -> Scores:
        """Scores `generator`, on the evaluator's device and in eval mode.

        It is called as `generator(z, labels)` and returns images (N, C, H, W) in [-1, 1]. The latents are the same each
        time: those of the evaluator's seed.
        """
        samples = self._view(
            draw_samples(
                generator,
                self._num_images,
                labels=self._labels,
                latent_dim=self._latent_dim,
                seed=self._seed,
                batch_size=self._batch_size,
                device=self._device,
            )
        )
        real, drawn = self._real, samples.first(len(self._real.features))
        drawn_weights = self._weights(None if self._labels is None else self._labels[: len(real.features)])
        weights = {"real_weights": self._real_weights, "sample_weights": drawn_weights}
        num_neighbours = min(metrics.NUM_NEIGHBOURS, len(real.features) - 1)
        inception = None
        if real.inception is not None and drawn.inception is not None:
            inception = metrics.frechet_distance(real.inception, drawn.inception, **weights)
        taken_for = samples.classes.cpu().numpy()
        of_classes = self._real_classes.figures(taken_for, self._labels, self._weights(self._labels))
        return Scores(
            num_images=self._num_images,
            fid_domain=metrics.frechet_distance(real.features, drawn.features, **weights),
            fid_floor=self._floor,
            kid=metrics.kernel_distance(real.features, drawn.features, **weights),
            **metrics.manifold(real.features, drawn.features, num_neighbours, **weights)._asdict(),
            diversity=metrics.mean_distance(drawn.features, weights=drawn_weights)
            / max(self._real_mean_distance, 1e-12),
            judge_accuracy=self.feature_extractor.accuracy,
            **of_classes._asdict(),
            fid_inception=inception,
        )

    def _weights(self, labels: npt.NDArray[np.int64] | None) -> Tensor | None:
        """What images of these labels count; None where all count alike."""
        return weights_of(labels) if self._balanced and labels is not None else None

    def _levels_of(self, dataset: ImageDataset, rows: npt.NDArray[np.int64]) -> Iterator[Tensor]:
        for first in range(0, len(rows), self._batch_size):
            yield torch.from_numpy(dataset.images[rows[first : first + self._batch_size]]).to(self._device)

    @torch.no_grad()
    def _view(self, batches: Iterable[Tensor]) -> _View:
        features, classes, inception = [], [], []
        for levels in batches:
            batch_features, logits = self.feature_extractor(from_levels(levels))
            features.append(batch_features)
            classes.append(logits.argmax(dim=1))
            if self._inception is not None:
                inception.append(self._inception.features(levels))
        return _View(torch.cat(features), torch.cat(classes), torch.cat(inception) if inception else None)


def halves(num_rows: int, most: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Two sets of rows, int64 (N,) each, that have none in common: half of `num_rows` each, but no more than `most`."""
    half = min(most, num_rows // 2)
    rows = np.random.default_rng(_SPLIT_SEED).permutation(num_rows)
    return rows[:half], rows[half : 2 * half]


def _sorted_in_batches(rows: npt.NDArray[np.int64], batch_size: int) -> npt.NDArray[np.int64]:
    """The rows, each batch of them in the order in which they lie on the disk."""
    return np.concatenate([np.sort(rows[first : first + batch_size]) for first in range(0, len(rows), batch_size)])
