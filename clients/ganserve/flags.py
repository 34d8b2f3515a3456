"""What the flags of all commands have in common: what their words mean, which numbers they allow, what they write."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Final, get_args

import cyclopts
from cyclopts import Parameter, Token

from ganserve.contract.bounds import Bounds
from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.contract.files import check_new_file

_PROCESSES_A_CORE: Final = 2


def convert(kind: Any, tokens: Sequence[Token]) -> Any:
    """What a flag's words mean, for every flag of every command.

    Cyclopts itself would round 1.5 to a whole number, and take an empty path for the working directory.
    """
    if _has_part(kind, Path) and any(not token.value for token in tokens):
        raise ValueError("an empty text names no file or folder")
    if _has_part(kind, int) and not _has_part(kind, float) and not _has_part(kind, str):
        for token in tokens:
            if "." in token.value:
                raise ValueError(f"{token.value!r} is no whole number")
    return cyclopts.convert(kind, tokens)


def within(bounds: Bounds, why: str = "") -> Parameter:
    """That a flag, each of its values where it has several, allows these numbers; `why` follows them in the error.

    A flag that may be None allows that too.
    """

    def check(_: Any, value: Any) -> None:
        for each in value if isinstance(value, tuple) else (value,):
            if each is not None and each not in bounds:
                raise ValueError(f"Give {bounds}{why}.")

    return Parameter(validator=check)


def _num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_MOST_PROCESSES: Final = _PROCESSES_A_CORE * _num_cores()
_OF_THIS_MACHINE: Final = f", {_PROCESSES_A_CORE} for each core of this machine"
_COUNT: Final = Bounds(1, 1_000_000)

Count = Annotated[int, within(_COUNT)]
Counts = Annotated[tuple[int, ...], within(_COUNT), Parameter(negative="")]
Rounds = Annotated[int, within(Bounds(1, 10_000))]
Seconds = Annotated[float, within(Bounds(0, 3_600, above_low=True))]
Timeout = Annotated[float, within(Bounds(0, 86_400, above_low=True, or_inf=True))]
Processes = Annotated[int, within(Bounds(1, _MOST_PROCESSES), _OF_THIS_MACHINE)]
Workers = Annotated[int, within(Bounds(0, _MOST_PROCESSES), _OF_THIS_MACHINE)]


def check_output_files(files: Mapping[str, Path | None]) -> None:
    """Finds out, before there is anything to write, whether it could be written.

    Args:
        files: what is to be written, by flag; None where the flag is not given.

    Raises:
        ArtifactError: a file cannot be written.
        ConfigError: two flags name the same one.
    """
    given = {flag: path for flag, path in files.items() if path is not None}
    for flag, path in given.items():
        try:
            check_new_file(path)
        except ArtifactError as error:
            raise ArtifactError(f"{flag} {error}") from None
    for (one, path), (other, same) in combinations(given.items(), 2):
        if path.resolve() == same.resolve():
            raise ConfigError(f"{one} and {other} are the same file, {path}; give each a name of its own")


def _has_part(kind: Any, part: type) -> bool:
    """Whether a type is `part`, or a tuple or union with it."""
    return kind is part or any(_has_part(inner, part) for inner in get_args(kind))
