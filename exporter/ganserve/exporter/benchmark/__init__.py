"""How fast a bundle is, beside PyTorch and the machine's own limit: `measure` for `ganserve bench model`."""

from .model_speed import Figure, ModelSpeed, measure
from .spread import Spread

__all__ = ["Figure", "ModelSpeed", "Spread", "measure"]
