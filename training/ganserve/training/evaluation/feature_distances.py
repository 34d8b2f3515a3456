"""How far apart images are in what a run's feature extractor sees in them.

The package does not import this module, because the trainer imports the package.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ganserve.contract.errors import PreconditionError
from ganserve.contract.images import Images
from ganserve.training.pixels import from_levels

from .runs import FinishedRun


def feature_distances(run: Path, first: Images, second: Images) -> NDArray[np.float64]:
    """Euclidean distances of the features of images uint8 (N, H, W, C), pair by pair, float64 (N,).

    The feature extractor is trained the first time, on the run's own images, and then kept.

    Raises:
        ArtifactError: the run cannot be read.
        DatasetError: its images are gone.
        ConfigError: they are others.
        PreconditionError: the run's images have another shape.
    """
    finished = FinishedRun.open(run)
    shape = finished.dataset.images.shape[1:]
    if shape != first.shape[1:]:
        told = ["×".join(map(str, sizes)) for sizes in (shape, first.shape[1:])]
        raise PreconditionError(f"the images of {run} are {told[0]}, and these {told[1]}; give the run of the models")
    extractor = finished.feature_extractor()
    with torch.no_grad():
        levels = [torch.from_numpy(images).to(finished.device) for images in (first, second)]
        features = [extractor(from_levels(images))[0] for images in levels]
        distances: NDArray[np.float64] = (features[0] - features[1]).norm(dim=1).double().cpu().numpy()
    return distances
