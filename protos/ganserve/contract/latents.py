"""Sample addressing, scheme `philox4x64-as241-v1`: index `i` of seed `s` is the same latent on every machine.

Only the raw words of Philox and exactly rounded operations (`+ - * / sqrt`, `frexp`, comparisons) are used: NumPy keeps
the word stream stable but neither its distributions nor the last bit of its `log`. `docs/addressing.md` specifies the
scheme, with golden values.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ganserve.contract.errors import InvalidRequestError

NUM_SEEDS: Final = 2**64
NUM_INDICES: Final = 2**64

_LATENT_TAG: Final = int.from_bytes(b"gan-lat1", "big")
_WORDS_PER_BLOCK: Final = 4
_SPREADS: Final = (1e-20, 1e20)  # so that latents are normal float32: values before it are 2.7e-16 to 8.3
_WORD_MASK: Final = 2**64 - 1

Latents = NDArray[np.float32]
Words = NDArray[np.uint64]
Floats = NDArray[np.float64]


class IndexRange(NamedTuple):
    """Indices `first_index … first_index + num_indices - 1` of a seed, which is taken modulo 2^64."""

    seed: int
    first_index: int
    num_indices: int

    def part(self, start: int, count: int) -> Sequence[IndexRange]:
        """Those at positions `start … start + count - 1`, as one range."""
        return (IndexRange(self.seed, self.first_index + start, count),)


@dataclass(frozen=True, eq=False)
class IndexList:
    """Indices of a seed in any order, any of them any number of times: uint64 (N,)."""

    seed: int
    values: NDArray[np.uint64]

    @property
    def first_index(self) -> int:
        """The one at position 0."""
        return int(self.values[0])

    @property
    def num_indices(self) -> int:
        """How many, repetitions included."""
        return len(self.values)

    def part(self, start: int, count: int) -> Sequence[IndexRange]:
        """Those at positions `start … start + count - 1`, in order, as ranges of indices that follow one another."""
        values = self.values[start : start + count]
        # Unsigned numbers wrap around, so the last index of all is followed by index 0 with a difference of 1 too.
        is_next = (np.diff(values) == 1) & (values[1:] > values[:-1])
        edges = [0, *(np.flatnonzero(~is_next) + 1).tolist(), len(values)]
        return [IndexRange(self.seed, int(values[begin]), end - begin) for begin, end in itertools.pairwise(edges)]


Indices = IndexRange | IndexList


def sample_latents(
    seed: int,
    first_index: int,
    count: int,
    dim: int,
    truncation: float | None = None,
    spread: float | None = None,
) -> Latents:
    """Latents of indices `first_index … first_index + count - 1` of a seed.

    Args:
        seed: taken modulo 2^64.
        first_index: at least 0; the last index is below 2^64.
        count: number of latents, at least 0.
        dim: length of a latent.
        truncation: bound on the absolute value of every normal value; None leaves them unbounded.
        spread: what every value is multiplied by, after it is truncated; None leaves them as they are.

    Returns:
        float32 (count, dim): standard normal values, truncated to [-truncation, truncation], times the spread.

    Raises:
        InvalidRequestError: the truncation is not a finite number above 0, or the spread is not 1e-20 to 1e20.
    """
    return draw_latents([IndexRange(seed, first_index, count)], dim, [truncation], [spread])


def draw_latents(
    ranges: Sequence[IndexRange],
    dim: int,
    truncations: Sequence[float | None],
    spreads: Sequence[float | None],
) -> Latents:
    """Latents of many ranges in order, each with its own truncation and spread, in one draw: float32 (N, dim).

    Raises:
        InvalidRequestError: as `sample_latents` does.
    """
    q = uniform_words_to_q(draw_words(ranges, _LATENT_TAG, dim))
    _scale(q, ranges, truncations, _truncation_scale)
    z = inverse_normal_cdf(q)
    _scale(z, ranges, spreads, _spread_scale)
    return z.astype(np.float32)


@lru_cache(maxsize=256)
def central_probability(z: float) -> float:
    """Probability that a standard normal lies within [-z, z], for z above 0: `erf(z / √2)`, correctly rounded.

    The C library's `erf` differs between machines. This is the series of Abramowitz and Stegun 7.1.6, whose terms are
    all positive, in decimal arithmetic far beyond the digits of a float64.
    """
    if z >= _ALL_OF_FLOAT64:
        return 1.0
    with localcontext() as context:
        context.prec = 60
        x = Decimal(z) / Decimal(2).sqrt()
        term = total = x
        n = 0
        while term > total * Decimal("1e-40"):
            n += 1
            term *= 2 * x * x / (2 * n + 1)
            total += term
        return float(2 / _PI.sqrt() * (-x * x).exp() * total)


def _scale(
    rows: Floats, ranges: Sequence[IndexRange], values: Sequence[float | None], factor: Callable[[float], float]
) -> None:
    """Multiplies the rows (N, dim) of each range, in place, by the factor of its value; by nothing where it is None."""
    if any(value is not None for value in values):
        factors = [1.0 if value is None else factor(value) for value in values]
        rows *= np.repeat(factors, [one.num_indices for one in ranges])[:, np.newaxis]


def _truncation_scale(truncation: float) -> float:
    check_truncation(truncation)
    return central_probability(truncation)


def _spread_scale(spread: float) -> float:
    check_spread(spread)
    return spread


def check_truncation(truncation: float) -> None:
    """Raises InvalidRequestError unless the truncation is a finite number above 0."""
    if not (math.isfinite(truncation) and truncation > 0):
        raise InvalidRequestError(
            f"truncation is {truncation}; it must be a finite number above 0, such as 1.5",
            field="query.address.truncation",
        )


def check_spread(spread: float) -> None:
    """Raises InvalidRequestError unless the spread is a number such that every latent is a normal float32."""
    least, most = _SPREADS
    if not least <= spread <= most:
        raise InvalidRequestError(
            f"spread is {spread}; it must be a number above 0, from {least:g} to {most:g}, such as 1.2",
            field="query.address.spread",
        )


def draw_words(ranges: Sequence[IndexRange], tag: int, words_per_index: int) -> Words:
    """Raw words, uint64 (N, words_per_index), of the indices of all ranges in order, under one tag.

    Each index owns `ceil(words_per_index / 4)` counter blocks of Philox4x64-10 (Salmon et al. 2011), so that any index
    is reached without drawing those before it. One generator serves all ranges: setting its state takes a quarter of
    the time that a new one does.
    """
    blocks_per_index = -(-words_per_index // _WORDS_PER_BLOCK)
    row_words = blocks_per_index * _WORDS_PER_BLOCK
    raw = np.empty((sum(one.num_indices for one in ranges), row_words), np.uint64)
    philox = np.random.Philox(key=0)
    state: Any = philox.state
    counter, key = state["state"]["counter"], state["state"]["key"]
    key[1] = tag
    start = 0
    for seed, first_index, count in ranges:
        key[0] = seed % NUM_SEEDS
        # NumPy increments the counter before it draws.
        block = (first_index * blocks_per_index - 1) % 2**256
        for word in range(4):
            counter[word] = block >> 64 * word & _WORD_MASK
        philox.state = state
        raw[start : start + count] = philox.random_raw(count * row_words).reshape(count, row_words)
        start += count
    words: Words = raw[:, :words_per_index]
    return words


def uniform_words_to_q(words: Words) -> Floats:
    """Maps words to `q = u - 0.5` for a uniform `u` inside (0, 1), exactly: 52 bits, centred in their cell."""
    return ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52 - 0.5


def inverse_normal_cdf(q: Floats) -> Floats:
    """The normal quantile at `q + 0.5`, for q inside (-0.5, 0.5).

    Algorithm AS 241 (PPND16), M. J. Wichura, Applied Statistics 37 (1988), pages 477 to 484.
    """
    z: Floats = q * _ratio(_CENTRAL, 0.180625 - q * q)
    tail = np.abs(q) > 0.425
    if tail.any():
        z[tail] = np.copysign(_tail_quantile(0.5 - np.abs(q[tail])), q[tail])
    return z


def _tail_quantile(p: Floats) -> Floats:
    """Absolute value of the quantile at tail probabilities p (M,), below 0.075."""
    r = np.sqrt(-_log(p))
    quantile = _ratio(_MIDDLE, r - 1.6)
    far = r > 5.0
    if far.any():
        quantile[far] = _ratio(_FAR, r[far] - 5.0)
    return quantile


def _log(x: Floats) -> Floats:
    """Natural logarithm of normal positive numbers, by the core of fdlibm's `e_log`, the same on every machine."""
    mantissa, exponent = np.frexp(x)
    below = mantissa < math.sqrt(0.5)
    f = np.where(below, mantissa + mantissa, mantissa) - 1.0
    k = (exponent - below).astype(np.float64)
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    odd = z * (_LG[0] + w * (_LG[2] + w * (_LG[4] + w * _LG[6])))
    even = w * (_LG[1] + w * (_LG[3] + w * _LG[5]))
    half_square = 0.5 * f * f
    result: Floats = k * _LN2_HIGH - ((half_square - (s * (half_square + (even + odd)) + k * _LN2_LOW)) - f)
    return result


def _ratio(coefficients: Floats, x: Floats) -> Floats:
    """The ratio of two polynomials at x, by Horner's rule, both at once: coefficients (degree + 1, 2), lowest first."""
    axes = (2,) + (1,) * x.ndim
    value = np.multiply.outer(coefficients[-1], x)
    for constants in coefficients[-2:0:-1]:
        value += constants.reshape(axes)
        value *= x
    value += coefficients[0].reshape(axes)
    ratio: Floats = value[0] / value[1]
    return ratio


_PI: Final = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
_ALL_OF_FLOAT64: Final = 9.0  # beyond it the probability rounds to 1

_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
_LG = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
    1.818357216161805012e-01,
    1.531383769920937332e-01,
    1.479819860511658591e-01,
)

_CENTRAL: Final = np.array(
    [
        (3.3871328727963666080e0, 1.0),
        (1.3314166789178437745e2, 4.2313330701600911252e1),
        (1.9715909503065514427e3, 6.8718700749205790830e2),
        (1.3731693765509461125e4, 5.3941960214247511077e3),
        (4.5921953931549871457e4, 2.1213794301586595867e4),
        (6.7265770927008700853e4, 3.9307895800092710610e4),
        (3.3430575583588128105e4, 2.8729085735721942674e4),
        (2.5090809287301226727e3, 5.2264952788528545610e3),
    ]
)
_MIDDLE: Final = np.array(
    [
        (1.42343711074968357734e0, 1.0),
        (4.63033784615654529590e0, 2.05319162663775882187e0),
        (5.76949722146069140550e0, 1.67638483018380384940e0),
        (3.64784832476320460504e0, 6.89767334985100004550e-1),
        (1.27045825245236838258e0, 1.48103976427480074590e-1),
        (2.41780725177450611770e-1, 1.51986665636164571966e-2),
        (2.27238449892691845833e-2, 5.47593808499534494600e-4),
        (7.74545014278341407640e-4, 1.05075007164441684324e-9),
    ]
)
_FAR: Final = np.array(
    [
        (6.65790464350110377720e0, 1.0),
        (5.46378491116411436990e0, 5.99832206555887937690e-1),
        (1.78482653991729133580e0, 1.36929880922735805310e-1),
        (2.96560571828504891230e-1, 1.48753612908506148525e-2),
        (2.65321895265761230930e-2, 7.86869131145613259100e-4),
        (1.24266094738807843860e-3, 1.84631831751005468180e-5),
        (2.71155556874348757815e-5, 1.42151175831644588870e-7),
        (2.01033439929228813265e-7, 2.04426310338993978564e-15),
    ]
)
