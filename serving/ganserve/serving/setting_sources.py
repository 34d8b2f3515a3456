"""Where the settings of a server come from: flags, before environment variables, before a file, before defaults."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from cyclopts import App, ArgumentCollection, Token
from cyclopts.argument import Argument

from ganserve.contract.errors import ConfigError

from .config import ServingConfig
from .settings_file import Setting, read_settings_file

VARIABLE_PREFIX: Final = "GANSERVE_SERVE_"

_FILE: Final = "config"
_FLAG: Final = re.compile(r"--([a-z][a-z0-9-]*)")
_GIVEN_AS_FLAG: Final = "flag"


class SettingSources:
    """A configuration of cyclopts: gives each flag that was left out its value from the environment or from a file.

    A setting has one name everywhere: `--max-batch`, `GANSERVE_SERVE_MAX_BATCH`, and `max_batch` in a file. Remembers
    where each value of the last command line came from.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment
        self._origins: dict[str, str] = {}
        self._attributes: dict[str, str] = {}

    def __call__(self, app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:  # noqa: ARG002
        """Fills in `arguments`. Raises ConfigError for a value, or a name, that cannot be used."""
        settings = {_name_of(argument): argument for argument in arguments if argument.keys}
        self._attributes = {name: argument.keys[-1] for name, argument in settings.items()}
        self._origins = {name: _GIVEN_AS_FLAG for name, argument in settings.items() if argument.tokens}
        with self.named():
            self._fill_in_variables(settings)
            if (path := self._file_path(arguments)) is not None:
                self._fill_in_file(path, settings)
            arguments[0].convert()  # here, so that what is wrong with a value is told with its source

    @contextmanager
    def named(self) -> Iterator[None]:
        """Has a ConfigError of the body say where the settings come from that its text names by their flags."""
        try:
            yield
        except ConfigError as error:
            flags = dict.fromkeys(_FLAG.findall(str(error)))
            origins = {flag: self._origins.get(flag.replace("-", "_"), _GIVEN_AS_FLAG) for flag in flags}
            for flag, origin in origins.items():
                if origin != _GIVEN_AS_FLAG:
                    error.add_note(f"--{flag} is from {origin}")
            raise

    def effective(self, config: ServingConfig) -> list[Setting]:
        """The settings of the last command line, which made `config`, in the order of its flags."""
        return [
            Setting(name, getattr(config, attribute), self._origins.get(name, "default"))
            for name, attribute in self._attributes.items()
        ]

    def _fill_in_variables(self, settings: Mapping[str, Argument]) -> None:
        """An empty variable counts as not set."""
        for variable, value in sorted(self._environment.items()):
            name = variable.removeprefix(VARIABLE_PREFIX).lower()
            if variable.startswith(VARIABLE_PREFIX) and value and name != _FILE:
                if name not in settings:
                    advice = _advice(
                        VARIABLE_PREFIX + name.upper(), [VARIABLE_PREFIX + known.upper() for known in settings]
                    )
                    raise ConfigError(f"the environment variable {variable} names no setting{advice}")
                self._fill_in(settings[name], value, variable, keyword=variable)

    def _fill_in_file(self, path: Path, settings: Mapping[str, Argument]) -> None:
        for name, value in read_settings_file(path).items():
            if name not in settings:
                raise ConfigError(f"{name!r} in {path} is no setting{_advice(name, settings)}")
            self._fill_in(settings[name], value, str(path), keyword=f"{name} in {path}")

    def _file_path(self, arguments: ArgumentCollection) -> Path | None:
        given = next(argument for argument in arguments if argument.name == f"--{_FILE}")
        if given.tokens:
            return Path(given.tokens[0].value) if given.tokens[0].value else None
        variable = VARIABLE_PREFIX + _FILE.upper()
        value = self._environment.get(variable)
        if not value:
            return None
        self._origins[_FILE] = variable
        return Path(value)

    def _fill_in(self, argument: Argument, value: str, origin: str, *, keyword: str) -> None:
        if not argument.tokens:
            argument.append(Token(keyword=keyword, value=value))
            self._origins[_name_of(argument)] = origin


def _name_of(argument: Argument) -> str:
    return argument.name.removeprefix("--").replace("-", "_")


def _advice(name: str, known: Iterable[str]) -> str:
    likely = get_close_matches(name, known, n=1)
    return f"; did you mean {likely[0]}?" if likely else "; `ganserve serve --print-config` shows them all"
