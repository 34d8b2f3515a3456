"""What a server does on its worst days: a table of fault, load, expected, seen.

    python benchmarks/faults.py
    python benchmarks/faults.py --write      # puts it into docs/reliability.md

Overload is measured by `overload.py`, and what callers notice of loads by `loading.py`; all else is done to servers by
the tests of `tests/faults`, here in their long form. The clock steps need Debian's `faketime`. Takes about a quarter of
an hour; server and load share the machine.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from command import run
from findings import Finding, print_findings, raise_unmet, read_findings, replace_table
from ganserve.contract.errors import GanserveError
from ganserve.flags import Seconds
from loading import loading
from overload import overload

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "reliability.md"


def main(*, seconds: Seconds = 5.0, write: bool = False) -> None:
    """Make a server's day bad, and print what it does.

    Args:
        seconds: Length of each phase of overload.
        write: Put the table into docs/reliability.md.
    """
    findings = print_findings(chain(overload(seconds), loading(), tested()))
    if write:
        replace_table(DOCUMENT, findings)
    raise_unmet(findings)


def tested() -> Iterator[Finding]:
    """What the tests have seen. Raises GanserveError where one failed before it saw anything."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "findings"
        command = [sys.executable, "-m", "pytest", "-q", "tests/faults", "--long", "--findings", str(path)]
        done = subprocess.run([*command, "--timeout", "1800"], cwd=ROOT, check=False)
        findings = read_findings(path) if path.exists() else []
    yield from findings
    if done.returncode and all(finding.is_met for finding in findings):
        raise GanserveError(f"`{' '.join(command)}` failed with exit code {done.returncode}")


if __name__ == "__main__":
    run(main)
