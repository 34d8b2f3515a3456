"""How the benchmarks run as commands: as those of `ganserve` do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from cyclopts import App, CycloptsError, Parameter

from ganserve.cli import answer
from ganserve.client.cli.measuring import stopping_as_by_ctrl_c
from ganserve.contract.errors import ConfigError
from ganserve.flags import convert


def run(main: Callable[..., None]) -> None:
    """Runs a command with the arguments of this process.

    What is wrong is one line, and has the exit code that it has for `ganserve`. SIGTERM stops it as Ctrl-C does, and so
    stops what it has started.
    """
    program = Path(sys.argv[0]).name
    with stopping_as_by_ctrl_c():
        sys.exit(answer(partial(_run, main, program), program))


def _run(main: Callable[..., None], program: str) -> int:
    flags = Parameter(converter=convert, negative_iterable=())
    app = App(
        name=program,
        default_parameter=flags,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
        version_flags=[],
    )
    app.default(main)
    try:
        app(sys.argv[1:], exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise ConfigError(f"{' '.join(str(error).split())} (see `{program} --help`)") from error
    return 0
