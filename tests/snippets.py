"""The Python that a document prints, run as it stands there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

DOCUMENTS: Final = Path(__file__).parents[1] / "docs"
_BLOCK: Final = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_HEADING: Final = re.compile(r"^## (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Snippet:
    """One block of Python.

    Attributes:
        document: where it is printed.
        section: the heading that it stands under; empty before the first.
        line: the line of its first statement there, counted from 1.
        code: what it says.
    """

    document: Path
    section: str
    line: int
    code: str

    def run(self, names: dict[str, Any]) -> None:
        """Runs it. An error's traceback names the document and the line in it."""
        placed = "\n" * (self.line - 1) + self.code
        exec(compile(placed, str(self.document), "exec"), names)  # noqa: S102


def snippets_of(document: Path) -> list[Snippet]:
    """All blocks of Python of a document, in order."""
    text = document.read_text(encoding="utf-8")
    headings = [(heading.start(), heading[1]) for heading in _HEADING.finditer(text)]
    return [
        Snippet(
            document=document,
            section=next((title for start, title in reversed(headings) if start < block.start()), ""),
            line=text.count("\n", 0, block.start(1)) + 1,
            code=block[1],
        )
        for block in _BLOCK.finditer(text)
    ]


def run_document(document: str | Path, section: str | None = None, **known: Any) -> dict[str, Any]:
    """Runs the blocks of a document, as a reader would in one session, and gives the names that they leave behind.

    Args:
        document: its name in `docs/`, or a path.
        section: the only heading whose blocks are run; without it, all are.
        known: what the reader has, by name.
    """
    names: dict[str, Any] = {"__name__": "documented", **known}
    chosen = [one for one in snippets_of(DOCUMENTS / document) if section in (None, one.section)]
    if not chosen:
        raise LookupError(f"{document} prints no Python under {section!r}")
    for snippet in chosen:
        snippet.run(names)
    return names
