"""The `ganserve` command: a table of sub-commands, each imported when it is used."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple

from cyclopts import App, CycloptsError, MissingArgumentError, Parameter, UnknownCommandError

from ganserve.contract.errors import ConfigError, GanserveError
from ganserve.contract.extras import install_advice, missing_package
from ganserve.flags import convert

_INTERRUPTED_EXIT_CODE: Final = 130
_BROKEN_PIPE_EXIT_CODE: Final = 1


class _Command(NamedTuple):
    target: str
    help: str
    extra: str = ""
    is_app: bool = False
    """Whether the target is a cyclopts App, which brings its own settings, and not a function."""


COMMANDS: Final = {
    "train": _Command("ganserve.training.cli.train:app", "Train a generator on images.", "train", is_app=True),
    "evaluate": _Command("ganserve.training.cli.evaluate:evaluate", "Judge the samples of a run.", "train"),
    "augment-eval": _Command(
        "ganserve.augment_eval.cli:augment_eval", "Find out whether synthetic images help a classifier.", "train"
    ),
    "data inspect": _Command("ganserve.training.cli.data:inspect", "Say what is in a source of images.", "train"),
    "data pack": _Command("ganserve.training.cli.data:pack", "Pack images into one zip.", "train"),
    "bench model": _Command("ganserve.exporter.cli.bench:bench_model", "Measure the speed of a model.", "export"),
    "bench server": _Command("ganserve.client.cli.bench_server:bench_server", "Measure what a server reaches."),
    "bench client": _Command(
        "ganserve.client.cli.bench_client:bench_client", "Measure how fast samples come from a server."
    ),
    "export": _Command("ganserve.exporter.cli.export:export", "Export a generator to a verified model.", "export"),
    "import": _Command(
        "ganserve.exporter.cli.import_:import_", "Bring in a generator or translator from elsewhere.", "export"
    ),
    "rename": _Command("ganserve.exporter.cli.rename:rename", "Give a bundle another name.", "export"),
    "inspect": _Command("ganserve.runtime.cli:inspect", "Say what is in a model's bundle.", "serve"),
    "serve": _Command("ganserve.serving.cli:app", "Serve models over gRPC.", "serve", is_app=True),
    "admin load": _Command("ganserve.client.cli.admin:load", "Have servers load a model of their folders."),
    "admin unload": _Command("ganserve.client.cli.admin:unload", "Have servers unload a model."),
    "admin alias": _Command("ganserve.client.cli.admin:alias", "Point an alias to a version of a model."),
    "admin status": _Command("ganserve.client.cli.admin:status", "Show the models of servers to their operator."),
    "admin compare": _Command(
        "ganserve.client.cli.compare:compare", "Show two models' samples of the same addresses side by side."
    ),
    "token new": _Command("ganserve.serving.token_cli:new_token", "Make a token for callers of a server."),
    "generate": _Command(
        "ganserve.client.cli.generate:generate", "Fetch samples from a server, or make them here from a bundle."
    ),
    "interpolate": _Command(
        "ganserve.client.cli.interpolate:interpolate", "Show the samples between two addresses in one image."
    ),
    "transform": _Command(
        "ganserve.client.cli.transform:transform", "Make images of images, with a server or here from a bundle."
    ),
    "score": _Command("ganserve.client.cli.score:score", "Give images numbers, and list them worst first."),
    "dump": _Command("ganserve.dump.cli:dump", "Write a data set of samples to disk, in shards."),
    "models": _Command("ganserve.client.cli.models:models", "List the models of a server, or show one model's card."),
}
"""By name; a name of two words is a command in a group."""

_GROUPS: Final = {
    "data": "Look at images before training, and pack them.",
    "bench": "Measure speed.",
    "admin": "Manage the models of servers that run.",
    "token": "Make tokens for callers of a server.",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code. Errors that ganserve raises on purpose are one line each.

    A command says what else people should know of an error, or of an interruption, in the exception's notes.

    Args:
        arguments: what follows the program's name; without it, the process's own.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    _open_missing_streams()
    # gRPC's own complaints, such as of a port in use, would double ours. It reads this when it is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    return answer(lambda: _run(words))


def answer(run: Callable[[], int], program: str = "ganserve") -> int:
    """Runs a command and returns its exit code. Errors that ganserve raises on purpose are one line each.

    Args:
        run: the command; gives its exit code.
        program: its name, for these lines.
    """
    try:
        code = run()
        sys.stdout.flush()
    except GanserveError as error:
        return _fail(program, "; ".join((str(error), *_notes(error))), error.exit_code)
    except KeyboardInterrupt as error:
        return _interrupted(program, error)
    except OSError as error:
        # Nobody reads the output, or it cannot be written; the interpreter would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return _BROKEN_PIPE_EXIT_CODE
        return _fail(program, str(error), GanserveError.exit_code)
    except RuntimeError as error:
        if isinstance(error.__context__, KeyboardInterrupt):  # a lock of Python's that was interrupted halfway
            return _interrupted(program, error)
        raise
    return code


def _open_missing_streams() -> None:
    """Opens the standard streams that a process was started without.

    Otherwise the next files or connections that it opens would take their places, and get what is meant for them.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - it stays open


def build_app(command: str = "") -> App:
    """The command line, without running it. Imports no sub-command.

    Args:
        command: the one that will run, whose help is its own docstring, in full; the others' is one line.
    """
    app = App(
        name="ganserve",
        help="Train GAN generators, export them to ONNX, serve them over gRPC, and fetch samples.",
        version=lambda: version("ganserve"),
        default_parameter=Parameter(converter=convert),
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    groups = {name: App(name=name, help=help_text, version_flags=[]) for name, help_text in _GROUPS.items()}
    for order, (name, entry) in enumerate(COMMANDS.items()):
        group, _, last_word = name.rpartition(" ")
        if group and groups[group].sort_key is None:
            groups[group].sort_key = order
            app.command(groups[group])
        options: dict[str, Any] = {} if name == command else {"help": entry.help}
        if not entry.is_app:
            # Sub-commands have a --version of their own: the model's.
            options["version_flags"] = []
        groups.get(group, app).command(entry.target, name=last_word, sort_key=order, **options)
    return app


def _run(words: list[str]) -> int:
    command = _command_of(words)
    _check_extra(command)
    app = build_app(command)
    try:
        code = app(words, exit_on_error=False, print_error=False)
    except UnknownCommandError:
        # Its own text would import every sub-command.
        raise ConfigError(_unknown_command(words)) from None
    except CycloptsError as error:
        raise ConfigError(f"{_told(error)} (see `{_help_of(words)}`)") from error
    except ImportError as error:
        raise ConfigError(_missing_extra(command, error)) from error
    return code if isinstance(code, int) else 0


def _told(error: CycloptsError) -> str:
    """An error's text. Of a flag that was not given, its own reads as if the flag's value were missing."""
    text = " ".join(str(error).split())
    if isinstance(error, MissingArgumentError) and error.keyword is None:
        text = text.replace("requires an argument", "is required")
    return text


def _command_of(words: list[str]) -> str:
    """The name of the command that `words` call; empty where they call none."""
    return next((name for name in COMMANDS if name.split() == words[: len(name.split())]), "")


def _unknown_command(words: list[str]) -> str:
    is_grouped = len(words) > 1 and words[0] in _GROUPS
    asked = " ".join(words[:2]) if is_grouped else next((word for word in words if not word.startswith("-")), "")
    likely = get_close_matches(asked, COMMANDS, n=1)
    advice = f"did you mean {likely[0]}?" if likely else f"the commands are {', '.join(COMMANDS)}"
    return f"there is no command {asked!r}; {advice}"


def _check_extra(name: str) -> None:
    """Raises ConfigError where a command's extra is not installed, before its words are read."""
    extra = COMMANDS[name].extra if name else ""
    if extra and (package := missing_package(extra)):
        raise ConfigError(f"`ganserve {name}` needs {package}, which is not installed; {install_advice(extra)}")


def _missing_extra(name: str, error: ImportError) -> str:
    """What to install. Raises `error` again where no extra is to blame."""
    command = COMMANDS.get(name)
    cause = error.__cause__ if isinstance(error.__cause__, ImportError) else error
    package = (cause.name or "").partition(".")[0]
    if command is None or not command.extra or package in ("", "ganserve"):
        raise error
    return f"`ganserve {name}` needs {package}, which cannot be imported ({cause}); {install_advice(command.extra)}"


def _help_of(words: list[str]) -> str:
    return f"ganserve {_command_of(words)} --help".replace("  ", " ")


def _interrupted(program: str, error: BaseException) -> int:
    """Says what a command has noted on its interruption, if anything."""
    if notes := _notes(error):
        print(f"{program}: interrupted; {'; '.join(notes)}", file=sys.stderr)
    return _INTERRUPTED_EXIT_CODE


def _notes(error: BaseException) -> Sequence[str]:
    return getattr(error, "__notes__", ())


def _fail(program: str, message: str, code: int) -> int:
    print(f"{program}: error: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
