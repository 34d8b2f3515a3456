"""How fast the training loop is, beside a plain one: `measure` for `ganserve bench train`."""

from .training_speed import Spread, TrainingSpeed, measure

__all__ = ["Spread", "TrainingSpeed", "measure"]
