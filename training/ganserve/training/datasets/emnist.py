"""What is particular to EMNIST, whose files are else like MNIST's: https://arxiv.org/abs/1702.05373.

Its images are stored column by column. Its labels are numbers of characters: in `letters` 1 to 26, in which capital
and small letters are one class, in the others from 0.
"""

from __future__ import annotations

from string import ascii_lowercase, ascii_uppercase, digits
from typing import Final

_PREFIX: Final = "emnist-"
# In `balanced` and `bymerge` a small letter that looks like its capital is in the capital's class.
_MERGED: Final = digits + ascii_uppercase + "abdefghnqrt"
_CHARACTERS: Final[dict[str, dict[int, str]]] = {
    "byclass": dict(enumerate(digits + ascii_uppercase + ascii_lowercase)),
    "bymerge": dict(enumerate(_MERGED)),
    "balanced": dict(enumerate(_MERGED)),
    "letters": dict(enumerate(ascii_uppercase, start=1)),
    "digits": dict(enumerate(digits)),
    "mnist": dict(enumerate(digits)),
}


def is_emnist(prefix: str) -> bool:
    """Whether files whose names begin with `prefix` are EMNIST's."""
    return prefix.startswith(_PREFIX)


def character_names(prefix: str, class_names: tuple[str, ...]) -> tuple[str, ...]:
    """The characters that the classes stand for; the numbers as they are where one of them stands for none."""
    characters = _CHARACTERS.get(prefix.removeprefix(_PREFIX).rstrip("-"), {})
    numbers = [int(name) for name in class_names]
    return tuple(characters[number] for number in numbers) if characters.keys() >= set(numbers) else class_names
