"""Labels as written on a command line."""

from __future__ import annotations

from collections.abc import Collection

from ganserve.contract.errors import ConfigError

from ._labels import ClassKey, LabelsLike


def parse_labels(text: str | None, class_names: Collection[str] = ()) -> LabelsLike | None:
    """The `labels` argument that a text stands for.

    ``cat`` is a class name or policy, ``0,1,cat`` a list, and ``0=0.9,cat=0.1`` weights. A number is a label, unless a
    class has that very name.

    Raises:
        ConfigError: an empty entry, a weight that is not a number, or a class with two weights.
    """
    if text is None:
        return None
    entries = [entry.strip() for entry in text.split(",")]
    if "" in entries:
        raise ConfigError(f"--labels {text!r} has an empty entry; write it as 3, cat, 0,1,2 or 0=0.9,1=0.1")
    if "=" in text:
        weights = [_weight(entry, text, class_names) for entry in entries]
        if len(dict(weights)) < len(weights):
            raise ConfigError(f"--labels {text!r} gives a class two weights; give it one")
        return dict(weights)
    keys = [_class_key(entry, class_names) for entry in entries]
    return keys if len(keys) > 1 else keys[0]


def _weight(entry: str, text: str, class_names: Collection[str]) -> tuple[ClassKey, float]:
    key, _, weight = entry.rpartition("=")
    try:
        if not key:
            raise ValueError
        return _class_key(key, class_names), float(weight)
    except ValueError:
        raise ConfigError(
            f"--labels {text!r}: {entry!r} is no class with its weight; write it as 0=0.9,1=0.1"
        ) from None


def _class_key(text: str, class_names: Collection[str]) -> ClassKey:
    is_label = text.removeprefix("-").isdecimal() and text not in class_names
    return int(text) if is_label else text
