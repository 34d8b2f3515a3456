"""Certificates and keys of TLS: PEM files, checked before gRPC gets them, which does not say what is wrong with one."""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from .errors import ConfigError
from .text import one_line


class NamedFile(NamedTuple):
    """A file, and the setting that names it, for messages."""

    setting: str
    path: Path

    def read(self) -> bytes:
        """What is in it. Raises ConfigError."""
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise self.error(f"it cannot be read: {error.strerror or error}") from None

    def error(self, problem: str) -> ConfigError:
        """What is wrong with it."""
        return ConfigError(f"{self.setting} {self.path}: {problem}")


class KeyPair(NamedTuple):
    """A certificate, with those that lead from it to its CA, and its private key, both PEM."""

    chain: bytes
    key: bytes


class FileStamp(NamedTuple):
    """What tells a file from the one that it replaced; None where there is none."""

    files: tuple[tuple[int, int, int] | None, ...]

    @classmethod
    def of(cls, paths: Sequence[Path]) -> FileStamp:
        """Of the files as they are now. Links are followed, as Kubernetes replaces them."""
        return cls(tuple(_stamp(path) for path in paths))


def read_key_pair(cert: NamedFile, key: NamedFile) -> KeyPair:
    """A certificate and its key.

    Raises:
        ConfigError: a file cannot be read, is not PEM, wants a password, or the key is another's.
    """
    pair = KeyPair(chain=cert.read(), key=key.read())
    if b"-----BEGIN CERTIFICATE-----" not in pair.chain:
        raise cert.error("there is no certificate in PEM in it")
    if b"PRIVATE KEY-----" not in pair.key:
        raise key.error("there is no private key in PEM in it")

    def refuse() -> NoReturn:
        raise key.error("the key wants a password; give one that does not, readable by the server alone")

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert.path, key.path, password=refuse)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise key.error(f"it is not the key of {cert.setting} {cert.path}") from None
        raise cert.error(f"it cannot be used with {key.setting} {key.path}: {_reason(error)}") from None
    except OSError as error:
        raise cert.error(f"it cannot be read: {error.strerror or error}") from None
    if pair != KeyPair(chain=cert.read(), key=key.read()):
        raise cert.error("it was replaced while it was read; try again")
    return pair


def read_authorities(file: NamedFile) -> bytes:
    """The certificates of CAs, PEM. Raises ConfigError."""
    data = file.read()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=data.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise file.error(f"there is no certificate of a CA in PEM in it ({_reason(error)})") from None
    return data


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or one_line(error)).replace("_", " ").lower()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 (called often)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
