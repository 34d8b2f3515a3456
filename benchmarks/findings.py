"""What was seen of a server under a fault: a row of the table in docs/reliability.md."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from ganserve.contract.errors import GanserveError

_BEGIN: Final = "| fault | load | expected | seen | shown by |\n|---|---|---|---|---|\n"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A row of the table.

    Attributes:
        fault: what is done to the server.
        load: beside what.
        expected: what it promises.
        seen: what it did.
        shown_by: the test or command that tells.
        is_met: whether what was seen is what is expected.
    """

    fault: str
    load: str
    expected: str
    seen: str
    shown_by: str
    is_met: bool = True


def write_findings(path: Path, findings: Iterable[Finding]) -> None:
    """Writes them as lines of JSON."""
    path.write_text("".join(f"{json.dumps(asdict(finding))}\n" for finding in findings), encoding="utf-8")


def read_findings(path: Path) -> list[Finding]:
    """Reads what `write_findings` wrote."""
    return [Finding(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def print_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Prints each as it comes, with a mark where what was seen is not what is expected, and gives all of them."""
    console = Console(highlight=False)
    printed = []
    for finding in findings:
        mark = "[green]✓[/]" if finding.is_met else "[red]✗[/]"
        rows = Table.grid(Column(width=10), Column(overflow="fold"), padding=(0, 1), pad_edge=False)
        for name in ("load", "expected", "seen", "shown_by"):
            rows.add_row(f"  {name.replace('_', ' ')}", Text(getattr(finding, name)))
        console.print(mark, Text(finding.fault, style="bold"))
        console.print(rows)
        printed.append(finding)
    return printed


def raise_unmet(findings: Sequence[Finding]) -> None:
    """Raises GanserveError where what was seen is not what is expected."""
    if unmet := sum(not finding.is_met for finding in findings):
        raise GanserveError(f"{unmet} of {len(findings)} findings are not what is expected; they are marked with ✗")


def replace_table(document: Path, findings: Sequence[Finding]) -> None:
    """Puts the findings in the place of the table that a document has."""
    head, _, rest = document.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, tail = rest.partition("\n\n")
    document.write_text(f"{head}{_BEGIN}{''.join(map(_row, findings))}\n{tail}", encoding="utf-8")


def _row(finding: Finding) -> str:
    seen = finding.seen if finding.is_met else f"{finding.seen} **(not met)**"
    cells = (finding.fault, finding.load, finding.expected, seen, f"`{finding.shown_by}`")
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"
