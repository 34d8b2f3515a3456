"""Does a generator repeat its training images? Told by how near to them samples lie, beside held-out real images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ganserve.contract.errors import DatasetError
from ganserve.contract.images import Images, make_contact_sheet
from ganserve.training.datasets import ImageDataset
from ganserve.training.memory import images_per_batch
from ganserve.training.pixels import from_levels
from ganserve.training.waiting import OnProgress

from .feature_extractor import FeatureExtractor

MIN_HELD_OUT: Final = 10
_TAIL: Final = 0.01
_PAIRS_OF_EACH: Final = 24
_PAIRS_IN_ROW: Final = 8
_GREY: Final = 110
"""Level of the frame around a pair."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest training image of each of some images, in the features of the judge."""

    images: Images
    """uint8 (N, H, W, C)."""

    rows: npt.NDArray[np.int64]
    """(N,): which training image is nearest."""

    distances: npt.NDArray[np.float64]
    """(N,): how far it is."""

    def nearest_first(self) -> npt.NDArray[np.int64]:
        """Positions of the images, int64 (N,), those first that lie nearest to a training image."""
        return np.argsort(self.distances, kind="stable")


class MemorisationFigures(NamedTuple):
    """The fields of `Scores` that are about memorisation."""

    copied: float
    copied_by_chance: float
    nearest_ratio: float


@dataclass(frozen=True, eq=False)
class Memorisation:
    """Samples and as many held-out real images, each beside its nearest training image.

    Meehan et al., A Non-Parametric Test to Detect Data-Copying in Generative Models, 2020, hold the same two sets of
    distances against each other: held-out images are as near to the training images as images of their kind are by
    nature, and a generator that does not copy is no nearer. Theirs is a rank test over all distances. The figure here
    is about the near end, where copies are: it is not made up for by samples that are far from everything.
    """

    samples: Neighbours
    held_out: Neighbours

    @property
    def figures(self) -> MemorisationFigures:
        """How many samples are nearer than the nearest 1 % of held-out images, and how near they are in the middle."""
        held_out = np.sort(self.held_out.distances)
        num_near = max(1, math.floor(_TAIL * len(held_out)))
        is_nearer = self.samples.distances < held_out[num_near - 1]
        medians = np.median(self.samples.distances), np.median(held_out)
        return MemorisationFigures(
            copied=float(is_nearer.mean()),
            copied_by_chance=num_near / (len(held_out) + 1),
            nearest_ratio=float(medians[0] / max(medians[1], 1e-12)),
        )

    def picture(self, training: ImageDataset) -> Images:
        """Pairs for people to look at, each an image and, right of it, its nearest training image.

        On top the 24 samples that are nearest to one, then, below a white line, the 24 nearest held-out images. Where
        the upper pairs are no more alike than the lower ones, nothing was copied. uint8 (height, width, channels).
        """
        above, below = (self._pairs(of, training) for of in (self.samples, self.held_out))
        line = np.full((4, above.shape[1], above.shape[2]), 255, np.uint8)
        return np.concatenate([above, line, below])

    @staticmethod
    def _pairs(of: Neighbours, training: ImageDataset) -> Images:
        nearest = of.nearest_first()[:_PAIRS_OF_EACH]
        pairs = np.concatenate([of.images[nearest], training.images[of.rows[nearest]]], axis=2)
        framed = np.pad(pairs, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=_GREY)
        return make_contact_sheet(framed, _PAIRS_IN_ROW)


def measure_memorisation(
    feature_extractor: FeatureExtractor,
    *,
    training: ImageDataset,
    held_out: ImageDataset,
    samples: Images,
    device: torch.device,
    on_progress: OnProgress | None = None,
) -> Memorisation:
    """Looks for the training image that is nearest to each sample and to each held-out image.

    As many of both are compared as there are of the fewer. A held-out image that is a training image, pixel for pixel,
    is none, and does not count.

    Args:
        feature_extractor: that of `training`, on `device`.
        training: what the generator learnt from.
        held_out: real images that it did not learn from.
        samples: uint8 (N, H, W, C), with the classes about as frequent as in `held_out`.
        device: where the feature extractor is.
        on_progress: told of training images looked at.

    Raises:
        DatasetError: images of different shapes, or fewer than ten held-out images that are no training images.
    """
    shapes = {training.images.shape[1:], held_out.images.shape[1:], samples.shape[1:]}
    if len(shapes) > 1:
        raise DatasetError(f"{held_out.name}: training images, held-out images and samples differ in shape: {shapes}")
    num_images = min(len(samples), len(held_out.images))
    chosen = np.sort(np.random.default_rng(0).permutation(len(held_out.images))[:num_images])
    real = held_out.images[chosen]
    both = np.concatenate([real, samples[:num_images]])
    rows, distances = _nearest(feature_extractor, training, both, device, on_progress)
    is_training_image = (real == training.images[rows[:num_images]]).all(axis=(1, 2, 3))
    kept = np.flatnonzero(~is_training_image)
    if len(kept) < MIN_HELD_OUT:
        raise DatasetError(
            f"{held_out.name}: {len(kept)} images that are no training images are too few to tell memorisation by; "
            f"give at least {MIN_HELD_OUT}"
        )
    return Memorisation(
        samples=Neighbours(samples[:num_images], rows[num_images:], distances[num_images:]),
        held_out=Neighbours(real[kept], rows[kept], distances[kept]),
    )


@torch.no_grad()
def _nearest(
    feature_extractor: FeatureExtractor,
    training: ImageDataset,
    images: Images,
    device: torch.device,
    on_progress: OnProgress | None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Row and distance of the training image that is nearest to each of `images`; training images pass by once."""
    features = torch.cat([part for _, part in _features(feature_extractor, images, device)])
    nearest = torch.full((len(images),), torch.inf, dtype=torch.float64, device=device)
    rows = torch.zeros(len(images), dtype=torch.int64, device=device)
    for first, part in _features(feature_extractor, training.images, device):
        distances, places = torch.cdist(features, part).min(dim=1)
        is_nearer = distances < nearest
        nearest = torch.where(is_nearer, distances, nearest)
        rows = torch.where(is_nearer, first + places, rows)
        if on_progress is not None:
            on_progress(first + len(part), len(training.images))
    return rows.cpu().numpy(), nearest.cpu().numpy()


def _features(
    feature_extractor: FeatureExtractor, images: Images, device: torch.device
) -> Iterator[tuple[int, Tensor]]:
    """Some images at a time: the position of the first, and the features of all, float64 (N, F)."""
    at_once = images_per_batch(*images.shape[1:3])
    for first in range(0, len(images), at_once):
        levels = torch.from_numpy(np.ascontiguousarray(images[first : first + at_once])).to(device)
        yield first, feature_extractor(from_levels(levels))[0].double()
