"""How fast a bundle is, beside PyTorch and the machine's own limit: `measure` for `ganserve bench model`."""

from ganserve.contract.measurements import Spread

from .model_speed import Figure, ModelSpeed, measure

__all__ = ["Figure", "ModelSpeed", "Spread", "measure"]
