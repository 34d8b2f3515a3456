"""Whether the generator's samples are copies of the real images."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch

from ganserve.training.datasets import ImageDataset
from ganserve.training.evaluation import FeatureExtractor, Memorisation, measure_memorisation
from ganserve.training.waiting import OnProgress

from .images import RealImages
from .samples import SamplePool

_MOST_IMAGES: Final = 2_000
_SEED: Final = 0


def memorisation_of(
    real: RealImages,
    pool: SamplePool,
    *,
    judge: FeatureExtractor,
    device: torch.device,
    on_progress: OnProgress | None = None,
) -> Memorisation:
    """Samples against as many test images of the same classes, in the features of `judge`, that of the training images.

    At most about 2,000 of each. `on_progress` is told of training images looked at. Raises DatasetError where there are
    too few images to tell.
    """
    share = min(1.0, _MOST_IMAGES / len(real.test_labels))
    rows, samples = [], []
    for label in pool.known:
        of_class = np.flatnonzero(real.test_labels == label)
        count = min(pool.num_of_class, max(1, round(share * len(of_class))))
        rows.append(np.random.default_rng((_SEED, label)).permutation(of_class)[:count])
        samples.append(pool.of_class(label, _SEED, count))
    held_out = ImageDataset(real.test.images[np.concatenate(rows)], None, (), real.test.name)
    return measure_memorisation(
        judge,
        training=real.training,
        held_out=held_out,
        samples=np.concatenate(samples),
        device=device,
        on_progress=on_progress,
    )
