"""Text from files and servers, as a terminal may show it."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` with control characters, which could move the cursor or change colours, as their escapes."""
    return "".join(
        character if character.isprintable() or character == "\n" else ascii(character)[1:-1] for character in text
    )


def one_line(error: Exception) -> str:
    """An error's text without its line breaks, for errors of libraries that take several lines."""
    return " ".join(str(error).split())
