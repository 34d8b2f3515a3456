"""Labels as written on a command line."""

from __future__ import annotations

from ganserve.contract.errors import ConfigError

from ._labels import ClassKey, LabelsLike


def parse_labels(text: str | None) -> LabelsLike | None:
    """The `labels` argument that a text stands for.

    ``3`` is a label, ``cat`` a class name or policy, ``0,1,cat`` a list, and ``0=0.9,cat=0.1`` weights.

    Raises:
        ConfigError: an empty entry, or a weight that is not a number.
    """
    if text is None:
        return None
    entries = [entry.strip() for entry in text.split(",")]
    if "" in entries:
        raise ConfigError(f"--labels {text!r} has an empty entry; write it as 3, cat, 0,1,2 or 0=0.9,1=0.1")
    if "=" in text:
        return dict(_weight(entry, text) for entry in entries)
    keys = [_class_key(entry) for entry in entries]
    return keys if len(keys) > 1 else keys[0]


def _weight(entry: str, text: str) -> tuple[ClassKey, float]:
    key, _, weight = entry.rpartition("=")
    try:
        return _class_key(key), float(weight)
    except ValueError:
        raise ConfigError(
            f"--labels {text!r}: {entry!r} is no class with its weight; write it as 0=0.9,1=0.1"
        ) from None


def _class_key(text: str) -> ClassKey:
    return int(text) if text.removeprefix("-").isdecimal() else text
