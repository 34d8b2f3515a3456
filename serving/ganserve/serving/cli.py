"""The commands `ganserve serve` and `ganserve inspect`."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ganserve.contract.text import printable

from .inspection import inspect_bundle
from .server import Server, ServingConfig


def serve(config: Annotated[ServingConfig, Parameter(name="*")]) -> None:
    """Serve a folder of model bundles over gRPC.

    Every bundle is verified before it is served: digests, operators, signature, and its golden samples made again.
    SIGTERM and Ctrl-C let the calls under way finish.

    Example: ganserve serve --models models --listen 127.0.0.1:50051
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(_serve(config))


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
    Console().print(table)


async def _serve(config: ServingConfig) -> None:
    await Server(config).serve()
