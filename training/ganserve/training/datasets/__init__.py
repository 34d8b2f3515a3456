"""Real images, decoded once: `load` turns a source that a person can name into an `ImageDataset`."""

from .dataset import ImageDataset
from .sources import absolute, load

__all__ = ["ImageDataset", "absolute", "load"]
