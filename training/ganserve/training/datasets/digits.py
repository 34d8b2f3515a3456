"""scikit-learn's bundled handwritten digits: 1,797 real images of 8×8 pixels, no download."""

from __future__ import annotations

import numpy as np

from ganserve.contract.errors import ConfigError
from ganserve.contract.extras import install_advice

from .dataset import ImageDataset


def load_digits() -> ImageDataset:
    """The digits with their levels 0..16 spread over 0..255. Raises ConfigError without scikit-learn."""
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ConfigError(f"the digits need scikit-learn; {install_advice('train')}") from error
    bunch = datasets.load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    return ImageDataset(
        images=np.ascontiguousarray(images),
        labels=bunch.target.astype(np.int64),
        class_names=tuple(str(digit) for digit in range(10)),
        name="digits",
    )
