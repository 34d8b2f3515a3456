"""The Python that a document prints, run as it stands there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

DOCUMENTS: Final = Path(__file__).parents[3] / "docs"
_BLOCK: Final = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Snippet:
    """One block of Python.

    Attributes:
        document: where it is printed.
        line: the line of its first statement there, counted from 1.
        code: what it says.
    """

    document: Path
    line: int
    code: str

    def run(self, names: dict[str, Any]) -> None:
        """Runs it. An error's traceback names the document and the line in it."""
        placed = "\n" * (self.line - 1) + self.code
        exec(compile(placed, str(self.document), "exec"), names)  # noqa: S102


def snippets_of(document: Path) -> list[Snippet]:
    """All blocks of Python of a document, in order."""
    text = document.read_text(encoding="utf-8")
    return [Snippet(document, text.count("\n", 0, block.start(1)) + 1, block[1]) for block in _BLOCK.finditer(text)]


def run_document(document: Path) -> dict[str, Any]:
    """Runs all blocks of a document, as a reader would in one session, and gives the names that they leave behind."""
    names: dict[str, Any] = {"__name__": "documented"}
    for snippet in snippets_of(document):
        snippet.run(names)
    return names
