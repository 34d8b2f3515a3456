"""The command `ganserve inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

from ganserve.console import open_console
from ganserve.contract.text import printable

from .inspection import inspect_bundle


def inspect(bundle: Path, *, as_json: Annotated[bool, Parameter(name="--json", negative="")] = False) -> None:
    """Show what is in a bundle: card, signature, operators, size, digest, parity, licences.

    All files are read and compared with the manifest; nothing is run.

    Example: ganserve inspect models/digits/1

    Args:
        bundle: Its folder, `MODELS/NAME/VERSION`.
        as_json: Print all of it as JSON.
    """
    inspection = inspect_bundle(bundle)
    if as_json:
        print(inspection.to_json())
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for fact, text in inspection.facts():
        table.add_row(Text(fact), Text(printable(text)))
    open_console().print(table)
