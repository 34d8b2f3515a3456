"""Where all commands print what they found."""

from __future__ import annotations

from typing import Final

from rich.console import Console

_WIDE: Final = 10_000


def open_console() -> Console:
    """Standard output, as wide as the terminal; lines for a file or another program are never broken."""
    console = Console()
    if not console.is_terminal:
        console.width = _WIDE
    return console
