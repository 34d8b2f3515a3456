"""How far an exported graph may be from its generator."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final

from ganserve.contract.bundle import Dtype
from ganserve.contract.errors import ConfigError

LEVELS_A_UNIT: Final = 127.5
"""Levels of 255 that a difference of 1 makes, where images lie in [-1, 1]."""
_WHOLE_RANGE: Final = 2


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """The bounds on what may differ."""

    floats: float
    """Largest difference of a float, where images lie in [-1, 1]."""
    share_off: float
    """Largest share of all values that differ at all."""
    levels_between_batches: int
    """Largest difference of a value, in 8-bit levels, between one batch size and another."""

    @classmethod
    def within(cls, floats: float, dtype: Dtype) -> Tolerance:
        """The usual tolerance with another bound on floats. Raises ConfigError where it is none."""
        if not 0 < floats < _WHOLE_RANGE:
            raise ConfigError(f"--atol is {floats}; it must be positive and below {_WHOLE_RANGE}, the whole range")
        usual = TOLERANCES[dtype]
        share_off = usual.share_off if floats <= usual.floats else min(1.0, floats * LEVELS_A_UNIT)
        return dataclasses.replace(usual, floats=floats, share_off=share_off)

    @property
    def levels(self) -> int:
        """Largest difference of a value in 8-bit levels: what such a float moves it by, and one for rounding."""
        return 1 + int(self.floats * LEVELS_A_UNIT)

    def taking(self, share_off: float) -> float:
        """A bound on floats, somewhat wider than this one, with which so large a share of values may differ."""
        return float(f"{max(1.25 * self.floats, 1.1 * share_off / LEVELS_A_UNIT):.1e}")


def tolerance_of(atol: float | None, dtype: Dtype) -> Tolerance:
    """The usual one, or with another bound on floats. Raises ConfigError where that is none."""
    return TOLERANCES[dtype] if atol is None else Tolerance.within(atol, dtype)


TOLERANCES: Final[dict[Dtype, Tolerance]] = {
    "fp32": Tolerance(floats=1e-4, share_off=1e-3, levels_between_batches=1),
    "fp16": Tolerance(floats=2e-2, share_off=0.05, levels_between_batches=3),
}
