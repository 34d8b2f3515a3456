"""The latents between two addresses.

Directions are interpolated on the sphere, as in K. Shoemake, "Animating Rotation with Quaternion Curves" (SIGGRAPH
1985), and lengths linearly: normally distributed latents all have about the same length, and a straight line between
two of them would pass through much shorter ones, which no generator has been trained on (T. White, "Sampling Generative
Networks", 2016).

Sums are exact, and angles are computed in decimals, so that every machine gets the same latents.
"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.latents import Latents, sample_latents

SeedAndIndex = tuple[int, int]
"""Seed and index."""

_DIGITS: Final = 40
_HALVINGS: Final = 4
_PI: Final = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")

Vector = NDArray[np.float64]


def latents_between(
    start: SeedAndIndex, stop: SeedAndIndex, n: int, dim: int, truncation: float | None, spread: float | None
) -> Latents:
    """Latents on the way from one address to another, both included: float32 (n, dim).

    Args:
        start: seed and index of the first.
        stop: seed and index of the last.
        n: number of latents, at least 2.
        dim: length of a latent; 0 of a model that takes none.
        truncation: of the latents of both addresses.
        spread: of the latents of both addresses.

    Raises:
        InvalidRequestError: as `sample_latents` does, or there are no latents.
    """
    if not dim:
        raise InvalidRequestError("this model takes no latents, so nothing lies between two samples", field="model")
    ends = [sample_latents(*address, 1, dim, truncation, spread)[0] for address in (start, stop)]
    latents = slerp(ends[0].astype(np.float64), ends[1].astype(np.float64), n).astype(np.float32)
    latents[0], latents[-1] = ends
    return latents


def slerp(start: Vector, stop: Vector, n: int) -> Vector:
    """`n` vectors (n, dim) from `start` to `stop`, neither of them 0, on a great circle and with lengths in between.

    Between opposite vectors there are many great circles. The one taken passes through the axis along which `start` is
    shortest.
    """
    if len(start) == 1:  # there is no circle on a line
        return np.linspace(start, stop, n)
    u, v = start / _length(start), stop / _length(stop)
    angle = _angle(_length(u - v), _length(u + v))
    across = v - _dot(u, v) * u
    if not _length(across) > 1e-9:  # parallel, where it does not matter, or opposite, where any will do
        axis = np.zeros_like(u)
        axis[np.argmin(np.abs(u))] = 1.0
        across = axis - _dot(u, axis) * u
    across /= _length(across)
    turns = [_cos_and_sin(angle, step, n - 1) for step in range(n)]
    steps = np.linspace(0.0, 1.0, n)[:, np.newaxis]
    lengths = (1.0 - steps) * _length(start) + steps * _length(stop)
    directions = np.array([cos * u + sin * across for cos, sin in turns])
    vectors: Vector = lengths * directions
    return vectors


def _dot(a: Vector, b: Vector) -> float:
    return math.fsum((a * b).tolist())


def _length(a: Vector) -> float:
    return math.sqrt(_dot(a, a))


def _angle(chord: float, other_chord: float) -> Decimal:
    """The angle between two unit vectors, 0 to π, from the lengths of their difference and of their sum.

    Unlike the arc cosine, it is exact for vectors that are nearly parallel or opposite (W. Kahan).
    """
    with localcontext() as context:
        context.prec = _DIGITS
        near, far = Decimal(chord), Decimal(other_chord)
        half = _arctan(near / far) if near <= far else _PI / 2 - _arctan(far / near)
        return 2 * half


def _arctan(x: Decimal) -> Decimal:
    """For x of 0 to 1: the angle is halved until its series converges fast."""
    for _ in range(_HALVINGS):
        x = x / (1 + (1 + x * x).sqrt())
    term, total, n = x, x, 1
    while total + term / n != total or n == 1:
        n += 2
        term *= -x * x
        total += term / n
    return total * 2**_HALVINGS


def _cos_and_sin(whole: Decimal, step: int, num_steps: int) -> tuple[float, float]:
    """Of a part of an angle of 0 to π, by their series, correctly rounded."""
    with localcontext() as context:
        context.prec = _DIGITS
        angle = whole * step / num_steps
        sums = [Decimal(1), angle]
        term, n = angle, 1
        while abs(term) > Decimal(10) ** -_DIGITS:
            n += 1
            term *= angle / n
            sums[n % 2] += term if n % 4 in (0, 1) else -term
        return float(sums[0]), float(sums[1])
