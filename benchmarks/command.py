"""How the benchmarks run as commands."""

from __future__ import annotations

import sys
from collections.abc import Callable

import cyclopts

from ganserve.contract.errors import GanserveError


def run(main: Callable[..., None]) -> None:
    """Runs a command with the arguments of this process; what is wrong is one line, and exit code 1. Ctrl-C is 130."""
    try:
        cyclopts.run(main)
    except GanserveError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
