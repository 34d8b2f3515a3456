"""The flags that people's scripts rely on. A change here is a change for them: say so in CHANGELOG.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganserve.cli import COMMANDS, build_app

SURFACE = Path(__file__).with_name("cli_surface.txt")


def flags(command: str) -> list[str]:
    app = build_app(command)
    for word in command.split():
        app = app[word]
    arguments = app.assemble_argument_collection()
    return sorted("/".join(argument.names) for argument in arguments if argument.show)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_commands_flags_are_frozen(command: str) -> None:
    frozen = dict(line.split(": ", 1) for line in SURFACE.read_text(encoding="utf-8").splitlines())
    assert " ".join(flags(command)) == frozen[command]


def test_no_command_is_missing() -> None:
    assert [line.split(":")[0] for line in SURFACE.read_text(encoding="utf-8").splitlines()] == list(COMMANDS)
