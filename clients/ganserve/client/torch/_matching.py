"""Which class of a generator stands for which class of a real data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ganserve.contract.errors import ConfigError
from ganserve.contract.labels import list_names

ClassesLike = Sequence[str] | Mapping[str, str]


def match_classes(
    real_names: Sequence[str] | None,
    num_labels: int,
    generator_names: Sequence[str],
    classes: ClassesLike | None,
) -> tuple[tuple[str, ...], list[int | None]]:
    """Names of the real classes, and the generator's label for each; None where it has no such class.

    Args:
        real_names: names of the real labels, where the data set tells them.
        num_labels: one more than the largest real label.
        generator_names: names of the generator's labels.
        classes: the generator's name for every real label, in their order; or for those real names that differ.

    Raises:
        ConfigError: nothing says which class a label is, the names do not fit, or `classes` is of another kind.
    """
    given: object = classes
    if isinstance(given, str) or not (given is None or isinstance(given, (Mapping, Sequence))):
        raise ConfigError(
            f"classes is {given!r}; give the generator's class for each real label in a list, or for those real names "
            "that differ in a mapping"
        )
    labels = {name: label for label, name in enumerate(generator_names)}
    if isinstance(classes, Mapping):
        if real_names is None:
            raise ConfigError("the real data set tells no names of its classes; give classes as a list, in label order")
        unknown = [name for name in classes if name not in real_names]
        if unknown:
            raise ConfigError(f"classes names {unknown[0]!r}, and the real classes are {list_names(real_names)}")
        wanted: Sequence[str] = [classes.get(name, name) for name in real_names]
    else:
        wanted = list(classes) if classes is not None else _names_of_labels(real_names, num_labels, generator_names)
    if len(wanted) < num_labels:
        raise ConfigError(f"there are names of {len(wanted)} classes, and the real labels go up to {num_labels - 1}")
    if classes is not None:
        for name in classes.values() if isinstance(classes, Mapping) else classes:
            if name not in generator_names:
                raise ConfigError(
                    f"classes names {name!r}, and the generator's classes are {list_names(generator_names)}"
                )
    names = tuple(real_names) if real_names is not None else tuple(wanted)
    return names, [labels.get(name) for name in wanted]


def check_matched(
    names: Sequence[str], matched: Sequence[int | None], wanted: Sequence[int], generator_names: Sequence[str]
) -> None:
    """Raises ConfigError where the generator lacks a class of which so many samples, more than 0, are wanted."""
    lacking = [name for name, label, count in zip(names, matched, wanted, strict=True) if count and label is None]
    if lacking:
        raise ConfigError(
            f"the generator has no class {list_names(lacking)}; its classes are {list_names(generator_names)}. Where "
            "they are called otherwise, say how: classes={'real name': 'name in the generator'}"
        )


def _names_of_labels(
    real_names: Sequence[str] | None, num_labels: int, generator_names: Sequence[str]
) -> Sequence[str]:
    if real_names is not None:
        return real_names
    if list(generator_names) == [str(label) for label in range(len(generator_names))]:
        return generator_names[: max(num_labels, 1)] if num_labels <= len(generator_names) else generator_names
    raise ConfigError(
        f"the real data set tells no names of its {num_labels} classes, and the generator's are "
        f"{list_names(generator_names)}; give classes=[…], the generator's name for each label in order"
    )
