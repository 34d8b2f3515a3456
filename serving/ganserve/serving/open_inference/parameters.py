"""The parameters of a request: the address of samples, and how they are wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.latents import NUM_INDICES, NUM_SEEDS
from ganserve.serving.scheduler import Priority
from ganserve.v1.generator_pb2 import ClassReference, LabelPolicy, SampleAddress

from .inference_pb2 import InferParameter

Parameters = Mapping[str, InferParameter]

PRIORITIES: Final = {1: Priority.INTERACTIVE, 2: Priority.BULK}
"""By the protocol's level; 0 is the server's choice."""

_ADDRESS: Final = ("seed", "index", "count", "truncation", "spread")
_KNOWN: Final = (*_ADDRESS, "label", "digest", "priority", "timeout")
# What clients send unasked, and what asks for nothing that is not done anyway.
_IGNORED: Final = ("content_type", "binary_data_output")
_IGNORED_PREFIX: Final = "triton_"

_MOST: Final = 2**64 - 1


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """How samples are wanted.

    Attributes:
        digest: of the one model that may make them; empty for any.
        labels: the class of all of them, or None.
        priority: how urgent they are, or None.
        timeout_s: seconds after which they are worth nothing, or None.
    """

    digest: str
    labels: LabelPolicy | None
    priority: Priority | None
    timeout_s: float | None


def check_names(parameters: Parameters) -> None:
    """Raises InvalidRequestError for a parameter that would be passed over, and the samples be others than meant."""
    for name in parameters:
        if name not in _KNOWN and name not in _IGNORED and not name.startswith(_IGNORED_PREFIX):
            raise InvalidRequestError(
                f"there is no parameter {name[:80]!r}; this server knows {', '.join(_KNOWN)}",
                field=f"parameters.{name[:80]}",
            )


def read_wishes(parameters: Parameters) -> Wishes:
    """Raises InvalidRequestError for values that cannot be used."""
    level = _whole_number(parameters, "priority", default=0)
    if level not in (0, *PRIORITIES):
        raise _wrong(parameters, "priority", f"give {' or '.join(map(str, PRIORITIES))}, or 0 for the server's choice")
    timeout_us = _whole_number(parameters, "timeout", default=0)
    return Wishes(
        digest=_text(parameters, "digest"),
        labels=_labels(parameters),
        priority=PRIORITIES.get(level),
        timeout_s=timeout_us * 1e-6 if timeout_us else None,
    )


def read_address(parameters: Parameters) -> SampleAddress:
    """The address that the parameters are. Raises InvalidRequestError for values that cannot be used."""
    address = SampleAddress(
        first_index=_whole_number(parameters, "index", default=0, most=NUM_INDICES - 1),
        count=_whole_number(parameters, "count", default=1),
    )
    if "seed" in parameters:
        address.seed = _whole_number(parameters, "seed", default=0, most=NUM_SEEDS - 1)
    for name in ("truncation", "spread"):
        if name in parameters:
            setattr(address, name, _number(parameters, name))
    return address


def check_no_address(parameters: Parameters) -> None:
    """Raises InvalidRequestError where a request with latents of its own says which to draw."""
    for name in _ADDRESS:
        if name in parameters:
            raise InvalidRequestError(
                f"the parameter {name} says which latents to draw, and this request gives its own; leave out either",
                field=f"parameters.{name}",
            )


def as_parameter(value: int) -> InferParameter:
    """A number that is not negative, in the field that older clients know too where it fits."""
    return InferParameter(int64_param=value) if value < 2**63 else InferParameter(uint64_param=value)


def _labels(parameters: Parameters) -> LabelPolicy | None:
    if "label" not in parameters:
        return None
    match _value(parameters, "label"):
        case bool() | float() | None:
            raise _wrong(parameters, "label", "give a class's name, or its number, counted from 0")
        case str(name):
            return LabelPolicy(one=ClassReference(name=name))
        case label:
            return LabelPolicy(one=ClassReference(label=min(label, 2**63 - 1)))


def _whole_number(parameters: Parameters, name: str, *, default: int, most: int = _MOST) -> int:
    if name not in parameters:
        return default
    value = _value(parameters, name)
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 20:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise _wrong(parameters, name, f"give a whole number from 0 to {most}")
    return value


def _number(parameters: Parameters, name: str) -> float:
    value = _value(parameters, name)
    if isinstance(value, bool) or value is None:
        raise _wrong(parameters, name, "give a number")
    try:
        return float(value)
    except ValueError as error:
        raise _wrong(parameters, name, "give a number") from error


def _text(parameters: Parameters, name: str) -> str:
    if name not in parameters:
        return ""
    value = _value(parameters, name)
    if not isinstance(value, str):
        raise _wrong(parameters, name, "give a text")
    return value


def _value(parameters: Parameters, name: str) -> bool | int | float | str | None:
    parameter = parameters[name]
    kind = parameter.WhichOneof("parameter_choice")
    return None if kind is None else getattr(parameter, kind)


def _wrong(parameters: Parameters, name: str, advice: str) -> InvalidRequestError:
    value = _value(parameters, name)
    told = "without a value" if value is None else repr(value)[:80]
    return InvalidRequestError(f"the parameter {name} is {told}; {advice}", field=f"parameters.{name}")
