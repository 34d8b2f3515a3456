"""Random numbers of the training step: seeded, on the device, and saved with the run."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

Purpose = Literal["weights", "steps", "preview", "calibration"]


def seed_for(purpose: Purpose, seed: int) -> int:
    """A seed of its own for each purpose, so that no two of them see the same numbers; the run's `seed` decides it."""
    sequence = np.random.SeedSequence([seed, *purpose.encode()])
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


class Draws:
    """The one source of latents and of all other random numbers of a step.

    Where several processes train together each draws for the whole batch and takes its own rows, so that together they
    use the numbers that a single process would.
    """

    def __init__(self, device: torch.device, seed: int, *, rank: int = 0, num_ranks: int = 1) -> None:
        self._rng = torch.Generator(device).manual_seed(seed)
        self._rank = rank
        self._num_ranks = num_ranks

    def normal(self, num_rows: int, *shape: int) -> Tensor:
        """Standard normal numbers, float32 (num_rows, *shape)."""
        numbers = torch.randn((num_rows * self._num_ranks, *shape), generator=self._rng, device=self._rng.device)
        return self._own(numbers, num_rows)

    def uniform(self, num_rows: int, *shape: int) -> Tensor:
        """Numbers from 0 to below 1, float32 (num_rows, *shape)."""
        numbers = torch.rand((num_rows * self._num_ranks, *shape), generator=self._rng, device=self._rng.device)
        return self._own(numbers, num_rows)

    def get_state(self) -> Tensor:
        """Where in its sequence the source is, uint8 on the CPU."""
        return self._rng.get_state()

    def set_state(self, state: Tensor) -> None:
        """Goes to where `get_state` was called. Raises RuntimeError for a state of another kind of device."""
        self._rng.set_state(state)

    def reseed(self, seed: int) -> None:
        """Begins another sequence."""
        self._rng.manual_seed(seed)

    def _own(self, numbers: Tensor, num_rows: int) -> Tensor:
        return numbers[self._rank * num_rows : (self._rank + 1) * num_rows]
