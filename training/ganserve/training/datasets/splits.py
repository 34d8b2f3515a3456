"""The names that people give to the images they train on and to those they hold out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal

from ganserve.contract.errors import DatasetError

from .dataset import Split

SPLITS: Final[tuple[Split, ...]] = ("train", "test")

_Role = Literal["train", "validation", "test"]
_ROLES: Final[dict[str, _Role]] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


def is_split_name(name: str) -> bool:
    """Whether `name` is that of a split, in capitals or not."""
    return name.casefold() in _ROLES


def divides(names: Iterable[str]) -> bool:
    """Whether folders of these names, and perhaps of others, are splits: some are to train on and some are held out."""
    roles = {_ROLES.get(name.casefold()) for name in names}
    return "train" in roles and bool(roles & {"test", "validation"})


def choose_splits(names: Iterable[str], source: str) -> Mapping[Split, str]:
    """Which of `names` is which split. Validation images are the test split where there is no other.

    Raises:
        DatasetError: two names mean the same, such as `val` and `valid`.
    """
    found: dict[_Role, str] = {}
    for name in sorted(names):
        role = _ROLES.get(name.casefold())
        if role is None:
            continue
        if role in found:
            raise DatasetError(
                f"{source}: {found[role]} and {name} are both the {role} split; keep or join them as one"
            )
        found[role] = name
    held_out = found.get("test") or found.get("validation")
    chosen: dict[Split, str] = {}
    if "train" in found:
        chosen["train"] = found["train"]
    if held_out is not None:
        chosen["test"] = held_out
    return chosen
