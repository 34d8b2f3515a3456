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

from . import metrics
from .classifier_training import MIN_IMAGES
from .feature_extractor import FeatureExtractor
from .inception import Inception
from .samples import draw_samples, labels_like
from .scores import Scores

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


class Evaluator:
    """Scores a generator. What depends on the real images alone is computed once.

    The real images are cut into two halves, a reference and another, of at most `num_images` each. Distances are from
    the reference to as many samples, and the floor is from the reference to the other half, so that both have the same
    counts on both sides. Small data make the halves small: of 1,797 digits each has 898, and 898 of the samples go into
    the distances. The figures of classes use all samples.

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
    ) -> None:
        """Looks at the real images.

        `feature_extractor` is the one of `dataset`, on `device`. A conditional generator is asked for each class as
        often as the data have it. Raises ConfigError for fewer than two samples, DatasetError for fewer than four real
        images.
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
        self._labels = None
        if conditional and dataset.labels is not None:
            self._labels = labels_like(dataset.labels, num_images, seed=seed)
        self._class_counts: Tensor | None = None
        if feature_extractor.knows_classes and dataset.labels is not None:
            self._class_counts = torch.from_numpy(np.bincount(dataset.labels, minlength=dataset.num_classes)).double()
        reference, other_half = halves(len(dataset.images), num_images)
        self._real = self._view(self._levels_of(dataset, reference))
        other = self._view(self._levels_of(dataset, other_half))
        self._floor = metrics.frechet_distance(self._real.features, other.features)
        self._real_mean_distance = metrics.mean_distance(self._real.features)

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
        real = self._real.features
        features = samples.features[: len(real)]
        manifold = metrics.manifold(real, features, min(metrics.NUM_NEIGHBOURS, len(real) - 1))
        shares = self._class_shares(samples)
        return Scores(
            num_images=self._num_images,
            fid_domain=metrics.frechet_distance(real, features),
            fid_floor=self._floor,
            kid=metrics.kernel_distance(real, features),
            **manifold._asdict(),
            gan_test=self._gan_test(samples),
            class_kl=None if self._class_counts is None else metrics.class_divergence(shares, self._class_counts),
            class_shares=tuple(shares.tolist()),
            diversity=metrics.mean_distance(features) / max(self._real_mean_distance, 1e-12),
            fid_inception=self._inception_distance(samples),
        )

    def _gan_test(self, samples: _View) -> float | None:
        """Share of samples that are taken for the class asked for (Shmelkov et al., How good is my GAN?, 2018)."""
        if self._labels is None or self._class_counts is None:
            return None
        return float((samples.classes.cpu() == torch.from_numpy(self._labels)).double().mean())

    def _class_shares(self, samples: _View) -> Tensor:
        if self._class_counts is None:
            return torch.zeros(0)
        counts = torch.bincount(samples.classes.cpu(), minlength=len(self._class_counts))
        return counts.double() / len(samples.classes)

    def _inception_distance(self, samples: _View) -> float | None:
        if self._real.inception is None or samples.inception is None:
            return None
        return metrics.frechet_distance(self._real.inception, samples.inception[: len(self._real.inception)])

    def _levels_of(self, dataset: ImageDataset, rows: npt.NDArray[np.int64]) -> Iterator[Tensor]:
        for first in range(0, len(rows), self._batch_size):
            yield torch.from_numpy(dataset.images[np.sort(rows[first : first + self._batch_size])]).to(self._device)

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
