"""Labels and counts as written on a command line.

A word is a class's name. A number is a label, unless a class has that very name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

from ganserve.client._queries.labels import ClassKey, LabelsLike
from ganserve.contract.errors import ConfigError

_POLICIES: Final = ("balanced", "uniform")
_MOST_EXPLAINED: Final = 5

Number = TypeVar("Number", int, float)


class _Entry(NamedTuple):
    key: str
    value: str | None


def parse_labels(text: str | None, class_names: Sequence[str] = ()) -> LabelsLike | None:
    """The `labels` argument that a text stands for.

    ``cat`` is a class name or policy, ``0,1,cat`` a list, and ``0=0.9,cat=0.1`` weights.

    Raises:
        ConfigError: an empty entry, a weight that is not a number, or a class with two weights.
    """
    if text is None:
        return None
    entries = list(_entries(text, class_names))
    if any(not entry.key and entry.value is None for entry in entries):
        raise ConfigError(f"--labels {text!r} has an empty entry; write it as 3, cat, 0,1,2 or 0=0.9,1=0.1")
    if any(entry.value is not None for entry in entries):
        return _numbers("--labels", text, entries, class_names, float, "a class with its weight, as in 0=0.9,1=0.1")
    keys = [class_key(entry.key, class_names) for entry in entries]
    return keys if len(keys) > 1 else keys[0]


def parse_counts(text: str | None, class_names: Sequence[str] = ()) -> dict[ClassKey, int] | None:
    """The `counts` argument that a text such as ``dog=1100,frog=1400`` stands for.

    Raises:
        ConfigError: an entry that is no class with a whole number, or a class with two counts.
    """
    if text is None:
        return None
    entries = list(_entries(text, class_names))
    return _numbers("--counts", text, entries, class_names, int, "a class with its number, as in dog=1100,frog=1400")


def explain(text: str | None, class_names: Sequence[str]) -> str:
    """Says how classes in `text` were read, where another reading comes to mind; else empty.

    That is so for numbers where some class is named by a number that is not its label, and for a policy's name that is
    a class's too.
    """
    if text is None:
        return ""
    if text.strip() in _POLICIES and text.strip() in class_names:
        return f"took {text.strip()} for the policy; for the class of that name write {text.strip()}=1"
    if not any(name.isdecimal() and int(name) != label for label, name in enumerate(class_names)):
        return ""
    keys = dict.fromkeys(entry.key for entry in _entries(text, class_names) if entry.key.isdecimal())
    readings = [reading for key in keys if (reading := _reading(key, class_names))]
    more = ", …" if len(readings) > _MOST_EXPLAINED else ""
    return f"took {', '.join(readings[:_MOST_EXPLAINED])}{more}" if readings else ""


def _reading(number: str, class_names: Sequence[str]) -> str:
    if number in class_names:
        return f"{number} for the class named {number!r} (label {class_names.index(number)})"
    if int(number) < len(class_names):
        return f"{number} for label {number} (the class named {class_names[int(number)]!r})"
    return ""


def _entries(text: str, class_names: Sequence[str]) -> Iterator[_Entry]:
    """What stands between commas. A comma or an equals sign in a class's own name separates nothing."""
    unusual = sorted((name for name in class_names if re.search("[,=]", name)), key=len, reverse=True)
    key = "|".join([*map(re.escape, unusual), "[^,]*?"])
    entry = re.compile(rf"\s*(?P<key>{key})\s*(=\s*(?P<value>[^,=]*?)\s*)?(?P<end>,|\Z)")
    position, end = 0, ","
    while end and (match := entry.match(text, position)):
        yield _Entry(match["key"], match["value"])
        position, end = match.end(), match["end"]


def _numbers(
    option: str,
    text: str,
    entries: Sequence[_Entry],
    class_names: Sequence[str],
    number: Callable[[str], Number],
    form: str,
) -> dict[ClassKey, Number]:
    """The number that each class is given."""
    numbers: dict[ClassKey, Number] = {}
    for entry in entries:
        try:
            if not entry.key or entry.value is None:
                raise ValueError
            value = number(entry.value)
        except ValueError:
            written = entry.key if entry.value is None else f"{entry.key}={entry.value}"
            raise ConfigError(f"{option} {text!r}: {written!r} is no class with its number; give {form}") from None
        key = class_key(entry.key, class_names)
        if key in numbers:
            raise ConfigError(f"{option} {text!r} names class {entry.key} twice; name it once")
        numbers[key] = value
    return numbers


def class_key(text: str, class_names: Sequence[str]) -> ClassKey:
    """The class that a word stands for: its name, or its label."""
    is_label = text.removeprefix("-").isdecimal() and text not in class_names
    return int(text) if is_label else text
