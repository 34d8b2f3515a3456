"""The file that says where a server serves, for as long as it does."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ganserve.contract.errors import ConfigError
from ganserve.contract.files import new_file

from .listening import check_address

_MAX_BYTES: Final = 512


class ReadyFile:
    """One line with the address. There whole or not at all, and only while the models are served."""

    def __init__(self, path: Path) -> None:
        """Removes what a server that was killed left. Raises ConfigError for a file that is another's."""
        self._path = path
        if path.is_dir() or not path.parent.is_dir():
            raise ConfigError(f"--ready-file {path}: give the name of a file in a folder that exists")
        if path.exists() and not _is_ready_file(path):
            raise ConfigError(f"--ready-file {path}: there is a file of that name, which no server wrote; take another")
        self.remove()

    def write(self, address: str) -> None:
        """Says that the server serves. Raises ArtifactError where the file cannot be written."""
        with new_file(self._path) as path:
            path.write_text(f"{address}\n", encoding="utf-8")

    def remove(self) -> None:
        """Says that the server no longer serves."""
        self._path.unlink(missing_ok=True)


def _is_ready_file(path: Path) -> bool:
    if not path.is_file() or path.stat().st_size > _MAX_BYTES:
        return False
    try:
        check_address(path.read_text(encoding="utf-8").removesuffix("\n").removeprefix("grpcs://"))
    except (ConfigError, UnicodeDecodeError):
        return False
    return True
