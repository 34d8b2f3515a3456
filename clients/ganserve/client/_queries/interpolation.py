"""The latents between two addresses.

Directions are interpolated on the sphere, as in K. Shoemake, "Animating Rotation with Quaternion Curves" (SIGGRAPH
1985), and lengths linearly: normally distributed latents all have about the same length, and a straight line between
two of them would pass through much shorter ones, which no generator has been trained on (T. White, "Sampling Generative
Networks", 2016).

Sums are exact, and angles are computed in decimals, so that every machine gets the same latents.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal, localcontext
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ganserve.contract.card import is_conditional
from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.labels import list_names
from ganserve.contract.latents import NUM_INDICES, NUM_SEEDS, Latents, check_spread, check_truncation, sample_latents
from ganserve.v1.model_pb2 import ModelCard

from .checks import real_number, whole_number
from .labels import LabelsLike, label_policy

SeedAndIndex = tuple[int, int]
"""Seed and index."""

_MOST_STEPS: Final = 2**20
_DIGITS: Final = 40
_HALVINGS: Final = 4
_PI: Final = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")

Vector = NDArray[np.float64]


def interpolated_latents(
    card: ModelCard,
    start: SeedAndIndex,
    stop: SeedAndIndex,
    n: int,
    *,
    labels: LabelsLike | None,
    truncation: float | None,
    spread: float | None,
) -> Latents:
    """Latents on the way from one address to another, both included: float32 (n, latent_dim).

    Args:
        card: of the generator that they are for.
        start: seed and index of the first.
        stop: seed and index of the last.
        n: number of latents, at least 2.
        labels: the class of all of them, which is only checked.
        truncation: of the latents of both addresses.
        spread: of the latents of both addresses.

    Raises:
        InvalidRequestError: an address, a number, a truncation, a spread or labels that cannot be used.
    """
    num = whole_number(n, "n", low=2, high=_MOST_STEPS, field="query.latents.values")
    _check_class(card, labels)
    if truncation is not None:
        truncation = real_number(truncation, "truncation", field="query.address.truncation")
        check_truncation(truncation)
    if spread is not None:
        spread = real_number(spread, "spread", field="query.address.spread")
        check_spread(spread)
    ends = [
        sample_latents(*_check_address(address, name), 1, card.latent_dim, truncation, spread)[0]
        for address, name in ((start, "start"), (stop, "stop"))
    ]
    latents = slerp(ends[0].astype(np.float64), ends[1].astype(np.float64), num).astype(np.float32)
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


def _check_class(card: ModelCard, labels: LabelsLike | None) -> None:
    """One class for all steps: an image between two classes is between two labels, and there is none."""
    if labels is None:
        if is_conditional(card):
            raise InvalidRequestError(
                f"this generator is conditional; give labels, one class for all images: {list_names(card.class_names)}",
                field="query.labels",
            )
        return
    policy = label_policy(labels)
    kind = policy.WhichOneof("policy") if policy else None
    if policy and kind != "one" and not (kind == "list" and len(policy.list.classes) == 1):
        raise InvalidRequestError(
            f"labels are {labels!r}, and all images of an interpolation are of one class; give a class, such as 3",
            field="query.labels",
        )


def _check_address(address: SeedAndIndex, name: str) -> SeedAndIndex:
    if not isinstance(address, Sequence) or isinstance(address, str) or len(address) != 2:
        raise InvalidRequestError(
            f"{name} is {address!r}; give a seed and an index, such as (7, 3)", field="query.latents"
        )
    seed, index = address
    return (
        whole_number(seed, f"the seed of {name}", low=0, high=NUM_SEEDS - 1, field="query.latents"),
        whole_number(index, f"the index of {name}", low=0, high=NUM_INDICES - 1, field="query.latents"),
    )


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
