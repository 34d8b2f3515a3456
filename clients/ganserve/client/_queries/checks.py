"""Checks of arguments that people pass, before anything is sent."""

from __future__ import annotations

import math
import operator

import numpy as np

from ganserve.contract.errors import InvalidRequestError


def whole_number(value: object, name: str, *, low: int, high: int, field: str) -> int:
    """`value` as an int of `low` to `high`; takes NumPy integers, refuses bools, floats and text.

    Raises:
        InvalidRequestError: anything else, naming `name` and `field`.
    """
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise InvalidRequestError(f"{name} is {value!r}; give a whole number", field=field) from None
    if number < low:
        raise InvalidRequestError(f"{name} is {number}; it must be at least {low}", field=field)
    if number > high:
        raise InvalidRequestError(f"{name} is {number}; it must be at most {high}", field=field)
    return number


def real_number(value: object, name: str, *, field: str) -> float:
    """`value` as a finite float; takes NumPy numbers, refuses bools and text.

    Raises:
        InvalidRequestError: anything else, naming `name` and `field`.
    """
    number = math.nan
    if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool):
        number = float(value)
    if not math.isfinite(number):
        raise InvalidRequestError(f"{name} is {value!r}; give a finite number", field=field)
    return number
