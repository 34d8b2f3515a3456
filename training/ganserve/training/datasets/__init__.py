"""Real images, decoded once: `load` turns a source that a person can name into an `ImageDataset`."""

from ganserve.contract.resizing import Resize

from .dataset import ImageDataset, Split
from .sources import absolute, load, load_test, refuse_inside

__all__ = ["ImageDataset", "Resize", "Split", "absolute", "load", "load_test", "refuse_inside"]
