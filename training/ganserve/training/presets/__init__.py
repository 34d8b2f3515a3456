"""Settings that are known to work together, as TOML files in this folder; each names its source.

A preset holds settings of `TrainingConfig` by name. `read_settings` reads one of these, or a user's own file.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from ganserve.contract.errors import ConfigError

DEFAULT_PRESET = "sndcgan"
_FOLDER = Path(__file__).parent


def preset_names() -> list[str]:
    """Names of the presets that come with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def preset_path(preset: str) -> Path:
    """The file of a preset: one that comes with the package, by name, or a user's own, by path. Raises ConfigError."""
    if preset in preset_names():
        return _FOLDER / f"{preset}.toml"
    path = Path(preset).expanduser()
    if not path.is_file():
        raise ConfigError(
            f"--preset {preset}: there is no such preset or file; give one of {', '.join(preset_names())}, "
            "or the path of a .toml file"
        )
    return path


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in a TOML file, or in a run's config.json, but for those that are null. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
        settings: dict[str, Any] = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as settings ({error})") from error
    return {name: value for name, value in settings.items() if value is not None}
