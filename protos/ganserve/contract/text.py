"""Text from files and servers, as a terminal may show it."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` with control characters, which could move the cursor or change colours, as their escapes."""
    return "".join(
        character if character.isprintable() or character == "\n" else ascii(character)[1:-1] for character in text
    )


def first_line(error: BaseException) -> str:
    """The first line of an error's text that says anything, for errors of libraries that add advice of many lines."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def counted(number: int, noun: str) -> str:
    """Such as ``1 sample`` or ``1,000 samples``."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def one_line(error: Exception) -> str:
    """An error's text without its line breaks, for errors of libraries that take several lines."""
    return " ".join(str(error).split())
