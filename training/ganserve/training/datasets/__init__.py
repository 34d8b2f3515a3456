"""Real images, decoded once: `load` turns a source that a person can name into an `ImageDataset`."""

from .dataset import ImageDataset, Split
from .fitting import Fitting
from .sources import absolute, load, load_test

__all__ = ["Fitting", "ImageDataset", "Split", "absolute", "load", "load_test"]
