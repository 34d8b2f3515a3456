"""The settings of a server as a TOML file: one line a setting, by the name of its flag with `_` for `-`."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from ganserve.contract.errors import ConfigError
from ganserve.contract.text import first_line, printable

_COMMENT_COLUMN: Final = 40
_PLAIN_TYPES: Final = (str, int, float, bool)


class Setting(NamedTuple):
    """The value of a setting, None where it has none, and where it comes from."""

    name: str
    value: Any
    origin: str


def read_settings_file(path: Path) -> dict[str, str]:
    """The settings that a file gives, each as a flag would take it. Raises ConfigError."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--config {path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # no TOML, or no UTF-8
        raise ConfigError(f"--config {path} is no TOML file: {first_line(error)}") from error
    for name, value in content.items():
        if not isinstance(value, _PLAIN_TYPES):
            raise ConfigError(f"{name!r} in {path} is no text, number or true or false; a setting is `name = value`")
    return {name: str(value) for name, value in content.items()}


def write_settings(settings: Iterable[Setting]) -> str:
    """TOML that `read_settings_file` reads, with a comment on each setting that says where it comes from.

    Raises ConfigError for a value that no TOML file can hold.
    """
    return "".join(f"{_line(setting)}\n" for setting in settings)


def _line(setting: Setting) -> str:
    origin = " ".join(printable(setting.origin).split())
    if setting.value is None:
        return f"{f'# {setting.name} is not set':{_COMMENT_COLUMN}}# {origin}"
    return f"{f'{setting.name} = {_toml(setting)}':{_COMMENT_COLUMN}}# {origin}"


def _toml(setting: Setting) -> str:
    value = setting.value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{setting.name} is no UTF-8, which a TOML file cannot hold") from error
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
