"""Our training loop, a plain one, and ours with one measure left out, for `benchmarks/training.py`."""

from .speed import TrainingSpeed, measure

__all__ = ["TrainingSpeed", "measure"]
