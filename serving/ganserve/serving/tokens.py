"""Bearer tokens, and the file that says which a server takes: a line each, with a hash in place of the token."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from ganserve.contract.errors import ConfigError

from .scopes import Scope

_PREFIX: Final = "ganserve_"  # by which those who look for leaked secrets find one
_RANDOM_BYTES: Final = 32
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_PERIODS_S: Final = {"rows_per_second": 1.0, "rows_per_minute": 60.0}
_FORM: Final = 'a line is NAME = { sha256 = "…", scopes = ["generate"] }, as `ganserve token new NAME` prints it'


@dataclass(frozen=True, kw_only=True)
class Quota:
    """At most so many rows a period."""

    num_rows: int
    period_s: float


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What the holder of one token may do.

    Attributes:
        name: who that is, for people; in logs and in errors it stands for the token.
        sha256: hash of the token.
        scopes: what it allows.
        quota: bound on the rows that are made for it, or None.
    """

    name: str
    sha256: bytes
    scopes: frozenset[Scope]
    quota: Quota | None = None

    @classmethod
    def parse(cls, name: str, entry: Any) -> Self:
        """A line of the file. Raises ConfigError, without what it says of the hash."""
        check_name(name)
        if not isinstance(entry, dict):
            raise ConfigError(f"{name} is no table; {_FORM}")
        if unknown := sorted(set(entry) - {"sha256", "scopes", *_PERIODS_S}):
            raise ConfigError(f"{name} has {_shown(unknown[0])}, which nothing reads; {_FORM}")
        sha256 = entry.get("sha256")
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            raise ConfigError(f"{name} has no sha256 of 64 hexadecimal digits in lower case; {_FORM}")
        return cls(
            name=name,
            sha256=bytes.fromhex(sha256),
            scopes=_parse_scopes(name, entry.get("scopes")),
            quota=_parse_quota(name, entry),
        )

    def line(self) -> str:
        """The line of the file."""
        entries = [
            f'sha256 = "{self.sha256.hex()}"',
            f"scopes = {json.dumps(sorted(self.scopes))}",
        ]
        if self.quota:
            key = next(key for key, period_s in _PERIODS_S.items() if period_s == self.quota.period_s)
            entries.append(f"{key} = {self.quota.num_rows}")
        return f"{self.name} = {{ {', '.join(entries)} }}"


def check_name(name: str) -> None:
    """Raises ConfigError for a name that no token can have."""
    if not _NAME.fullmatch(name) or name.startswith(_PREFIX):
        raise ConfigError(f"the name {_shown(name)} is none; take up to 64 letters, digits, - and _")


def draw_token() -> str:
    """A new token: 256 bits that nobody can guess, so that its hash needs no salt."""
    return _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def hash_token(token: str) -> bytes:
    """SHA-256 of a token."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def read_grants(path: Path) -> list[Grant]:
    """The lines of a file of tokens.

    Raises:
        ConfigError: it cannot be read, is no TOML, or a line says something else.
    """
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
        grants = [Grant.parse(name, entry) for name, entry in entries.items()]
        _check_distinct(grants)
    except OSError as error:
        raise ConfigError(f"--tokens {path}: it cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise ConfigError(f"--tokens {path}: it is no TOML: {error}; {_FORM}") from None
    except ConfigError as error:
        raise ConfigError(f"--tokens {path}: {error}") from None
    return grants


def _shown(text: str) -> str:
    """A text for a message, unless somebody has put a token where a name belongs."""
    return "(a token)" if _PREFIX in text else repr(text)


def _check_distinct(grants: Iterable[Grant]) -> None:
    names: dict[bytes, str] = {}
    for grant in grants:
        if grant.sha256 in names:
            raise ConfigError(f"{names[grant.sha256]} and {grant.name} are the same token; make one for each")
        names[grant.sha256] = grant.name


def _parse_scopes(name: str, given: Any) -> frozenset[Scope]:
    known = ", ".join(Scope)
    if not isinstance(given, list) or not given or not all(one in list(Scope) for one in given):
        raise ConfigError(f"{name} has no list of scopes; give one or more of {known}")
    return frozenset(map(Scope, given))


def _parse_quota(name: str, entry: Mapping[str, Any]) -> Quota | None:
    given = [key for key in _PERIODS_S if key in entry]
    if not given:
        return None
    if len(given) > 1:
        raise ConfigError(f"{name} has {' and '.join(given)}; give one of them")
    num_rows = entry[given[0]]
    if isinstance(num_rows, bool) or not isinstance(num_rows, int) or num_rows < 1:
        raise ConfigError(f"{name} has {given[0]} = {num_rows!r}; give a whole number, at least 1")
    return Quota(num_rows=num_rows, period_s=_PERIODS_S[given[0]])
