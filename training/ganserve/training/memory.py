"""How many images go through a network at once, where nothing says so, as `--batch-size` does for training."""

from __future__ import annotations

_MAX_BATCH_SIZE = 250
_MAX_BATCH_PIXELS = 2**20


def images_per_batch(height: int, width: int) -> int:
    """How many images of a size to take at once: 250, but fewer of more than 64×64 pixels, for which memory is."""
    return min(_MAX_BATCH_SIZE, max(1, _MAX_BATCH_PIXELS // (height * width)))
