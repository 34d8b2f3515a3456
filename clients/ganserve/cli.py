"""The `ganserve` command: a table of sub-commands, each imported when it is used."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.metadata import version
from typing import Final, NamedTuple

from cyclopts import App, CycloptsError, UnknownCommandError

from ganserve.contract.errors import ConfigError, GanserveError

_INTERRUPTED_EXIT_CODE: Final = 130
_BROKEN_PIPE_EXIT_CODE: Final = 1


class _Command(NamedTuple):
    target: str
    help: str
    extra: str = ""


COMMANDS: Final = {
    "train": _Command("ganserve.training.cli:train", "Train a generator on a folder of images.", "train"),
    "export": _Command("ganserve.exporter.cli:export", "Export a trained generator to a verified model.", "export"),
    "serve": _Command("ganserve.serving.cli:serve", "Serve models over gRPC.", "serve"),
    "generate": _Command("ganserve.client.cli:generate", "Fetch samples from a server."),
    "models": _Command("ganserve.client.cli:models", "List the models of a server, or show one model's card."),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code. Errors that ganserve raises on purpose are one line each.

    Args:
        arguments: what follows the program's name; without it, the process's own.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    # gRPC's own complaints, such as of a port in use, would double ours. It reads this when it is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        code = _run(words)
        sys.stdout.flush()
    except GanserveError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _INTERRUPTED_EXIT_CODE
    except OSError as error:
        # Nobody reads the output, or it cannot be written; the interpreter would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return _BROKEN_PIPE_EXIT_CODE
        return _fail(str(error), GanserveError.exit_code)
    return code


def build_app(command: str = "") -> App:
    """The command line, without running it. Imports no sub-command.

    Args:
        command: the one that will run, whose help is its own docstring, in full; the others' is one line.
    """
    app = App(
        name="ganserve",
        help="Train GAN generators, export them to ONNX, serve them over gRPC, and fetch samples.",
        version=lambda: version("ganserve"),
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for order, (name, entry) in enumerate(COMMANDS.items()):
        one_line = {} if name == command else {"help": entry.help}
        # Sub-commands have a --version of their own: the model's.
        app.command(entry.target, name=name, sort_key=order, version_flags=[], **one_line)
    return app


def _run(words: list[str]) -> int:
    app = build_app(words[0] if words else "")
    try:
        code = app(words, exit_on_error=False, print_error=False)
    except UnknownCommandError:
        # Its own text would import every sub-command.
        raise ConfigError(_unknown_command(words)) from None
    except CycloptsError as error:
        raise ConfigError(f"{' '.join(str(error).split())} (see `{_help_of(words)}`)") from error
    except ImportError as error:
        raise ConfigError(_missing_extra(words, error)) from error
    return code if isinstance(code, int) else 0


def _unknown_command(words: list[str]) -> str:
    word = next((word for word in words if not word.startswith("-")), "")
    likely = get_close_matches(word, COMMANDS, n=1)
    advice = f"did you mean {likely[0]}?" if likely else f"the commands are {', '.join(COMMANDS)}"
    return f"there is no command {word!r}; {advice}"


def _missing_extra(words: list[str], error: ImportError) -> str:
    """What to install. Raises `error` again where no extra is to blame."""
    command = COMMANDS.get(words[0]) if words else None
    cause = error.__cause__ if isinstance(error.__cause__, ImportError) else error
    package = (cause.name or "").partition(".")[0]
    if command is None or not command.extra or package in ("", "ganserve"):
        raise error
    return (
        f"`ganserve {words[0]}` needs {package}, which cannot be imported ({cause}); "
        f"pip install 'ganserve[{command.extra}]'"
    )


def _help_of(words: list[str]) -> str:
    return f"ganserve {words[0]} --help" if words and words[0] in COMMANDS else "ganserve --help"


def _fail(message: str, code: int) -> int:
    print(f"ganserve: error: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
