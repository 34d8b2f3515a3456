"""Sample addressing, scheme `philox4x64-as241-v1`: index `i` of seed `s` is the same latent on every machine.

Only the raw words of Philox and exactly rounded operations (`+ - * / sqrt`, `frexp`, comparisons) are used: NumPy keeps
the word stream stable but neither its distributions nor the last bit of its `log`. `docs/addressing.md` specifies the
scheme, with golden values.
"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ganserve.contract.errors import InvalidRequestError

NUM_SEEDS: Final = 2**64
NUM_INDICES: Final = 2**64

_LATENT_TAG: Final = int.from_bytes(b"gan-lat1", "big")
_WORDS_PER_BLOCK: Final = 4

Latents = NDArray[np.float32]
Words = NDArray[np.uint64]
Floats = NDArray[np.float64]


def sample_latents(seed: int, first_index: int, count: int, dim: int, truncation: float | None = None) -> Latents:
    """Latents of indices `first_index … first_index + count - 1` of a seed.

    Args:
        seed: taken modulo 2^64.
        first_index: at least 0; the last index is below 2^64.
        count: number of latents, at least 0.
        dim: length of a latent.
        truncation: bound on the absolute value of every latent value; None leaves them unbounded.

    Returns:
        float32 (count, dim), standard normal, or standard normal truncated to [-truncation, truncation].

    Raises:
        InvalidRequestError: the truncation is not a finite number above 0.
    """
    q = uniform_words_to_q(draw_words(seed, _LATENT_TAG, first_index, count, dim))
    if truncation is not None:
        check_truncation(truncation)
        q *= central_probability(truncation)
    return inverse_normal_cdf(q).astype(np.float32)


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


def check_truncation(truncation: float) -> None:
    """Raises InvalidRequestError unless the truncation is a finite number above 0."""
    if not (math.isfinite(truncation) and truncation > 0):
        raise InvalidRequestError(
            f"truncation is {truncation}; it must be a finite number above 0, such as 1.5",
            field="query.address.truncation",
        )


def draw_words(seed: int, tag: int, first_index: int, count: int, words_per_index: int) -> Words:
    """Raw words, uint64 (count, words_per_index), of consecutive indices under one seed and tag.

    Each index owns `ceil(words_per_index / 4)` counter blocks of Philox4x64-10 (Salmon et al. 2011), so that any index
    is reached without drawing those before it.
    """
    blocks_per_index = -(-words_per_index // _WORDS_PER_BLOCK)
    key = np.array([seed % NUM_SEEDS, tag], np.uint64)
    # NumPy increments the counter before it draws.
    counter = (first_index * blocks_per_index - 1) % 2**256
    raw = np.random.Philox(counter=counter, key=key).random_raw(count * blocks_per_index * _WORDS_PER_BLOCK)
    words: Words = raw.reshape(count, blocks_per_index * _WORDS_PER_BLOCK)[:, :words_per_index]
    return words


def uniform_words_to_q(words: Words) -> Floats:
    """Maps words to `q = u - 0.5` for a uniform `u` inside (0, 1), exactly: 52 bits, centred in their cell."""
    return ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52 - 0.5


def inverse_normal_cdf(q: Floats) -> Floats:
    """The normal quantile at `q + 0.5`, for q inside (-0.5, 0.5).

    Algorithm AS 241 (PPND16), M. J. Wichura, Applied Statistics 37 (1988), pages 477 to 484.
    """
    central = 0.180625 - q * q
    z: Floats = q * (_horner(_A, central) / _horner(_B, central))
    tail = np.abs(q) > 0.425
    if tail.any():
        z[tail] = np.copysign(_tail_quantile(0.5 - np.abs(q[tail])), q[tail])
    return z


def _tail_quantile(p: Floats) -> Floats:
    """Absolute value of the quantile at tail probability p, below 0.075."""
    r = np.sqrt(-_log(p))
    middle = r - 1.6
    far = r - 5.0
    quantile: Floats = np.where(
        r <= 5.0, _horner(_C, middle) / _horner(_D, middle), _horner(_E, far) / _horner(_F, far)
    )
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


def _horner(coefficients: tuple[float, ...], x: Floats) -> Floats:
    value = np.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        value = value * x + coefficient
    return value


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

_A = (
    3.3871328727963666080e0,
    1.3314166789178437745e2,
    1.9715909503065514427e3,
    1.3731693765509461125e4,
    4.5921953931549871457e4,
    6.7265770927008700853e4,
    3.3430575583588128105e4,
    2.5090809287301226727e3,
)
_B = (
    1.0,
    4.2313330701600911252e1,
    6.8718700749205790830e2,
    5.3941960214247511077e3,
    2.1213794301586595867e4,
    3.9307895800092710610e4,
    2.8729085735721942674e4,
    5.2264952788528545610e3,
)
_C = (
    1.42343711074968357734e0,
    4.63033784615654529590e0,
    5.76949722146069140550e0,
    3.64784832476320460504e0,
    1.27045825245236838258e0,
    2.41780725177450611770e-1,
    2.27238449892691845833e-2,
    7.74545014278341407640e-4,
)
_D = (
    1.0,
    2.05319162663775882187e0,
    1.67638483018380384940e0,
    6.89767334985100004550e-1,
    1.48103976427480074590e-1,
    1.51986665636164571966e-2,
    5.47593808499534494600e-4,
    1.05075007164441684324e-9,
)
_E = (
    6.65790464350110377720e0,
    5.46378491116411436990e0,
    1.78482653991729133580e0,
    2.96560571828504891230e-1,
    2.65321895265761230930e-2,
    1.24266094738807843860e-3,
    2.71155556874348757815e-5,
    2.01033439929228813265e-7,
)
_F = (
    1.0,
    5.99832206555887937690e-1,
    1.36929880922735805310e-1,
    1.48753612908506148525e-2,
    7.86869131145613259100e-4,
    1.84631831751005468180e-5,
    1.42151175831644588870e-7,
    2.04426310338993978564e-15,
)
