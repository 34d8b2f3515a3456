"""What a client shows a server and wants to be shown: certificates, and a bearer token."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Final, Self

import grpc

from ganserve.contract.certificates import FileStamp, KeyPair, NamedFile, read_authorities, read_key_pair
from ganserve.contract.errors import ConfigError

from .addresses import is_loopback, is_tls
from .ask import Metadata

Token = str | Callable[[], str]
PathLike = str | os.PathLike[str]

_FLAGS: Final = {"ca": "GANSERVE_CA", "cert": "GANSERVE_CERT", "key": "GANSERVE_KEY"}
_TOKEN: Final = "GANSERVE_TOKEN"  # noqa: S105 (the name of a variable)
_TOKEN_FILE: Final = "GANSERVE_TOKEN_FILE"  # noqa: S105


class TokenFile:
    """The token that a file holds, read again whenever the file has changed; for the `token` of a client."""

    def __init__(self, path: PathLike) -> None:
        """Raises ConfigError where there is no token in it."""
        self._path = Path(path)
        self._stamp = FileStamp.of([self._path])
        self._token = self._read()

    def __call__(self) -> str:
        """The token as it is now. Raises ConfigError."""
        stamp = FileStamp.of([self._path])
        if stamp != self._stamp:
            self._token, self._stamp = self._read(), stamp
        return self._token

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._path)!r})"

    def _read(self) -> str:
        file = NamedFile("token file", self._path)
        token = file.read().decode("ascii", errors="replace").strip()
        if not _can_travel(token):
            raise file.error("there is no token in it, which is one word of ASCII")
        return token


@dataclass(frozen=True, kw_only=True)
class Access:
    """How the servers of a client are reached. A pickled copy reads the same files and shows the same token.

    Attributes:
        ca: certificates of the CAs that are trusted, PEM; None for those that come with gRPC.
        cert: the client's own certificate, PEM, for servers that want one; or None.
        key: its private key; or None.
        token: what is shown with every call, or gives it; or None.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    token: Token | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        addresses: Sequence[str],
        ca: PathLike | None = None,
        cert: PathLike | None = None,
        key: PathLike | None = None,
        token: Token | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> Self:
        """What a client was given, and for what it was not, what the environment says.

        Raises:
            ConfigError: a file or a token that cannot be used, or one that would travel in plaintext.
        """
        given = {"ca": ca, "cert": cert, "key": key}
        has_tls = any(map(is_tls, addresses))
        if not has_tls and (name := next((name for name, path in given.items() if path is not None), "")):
            raise ConfigError(
                f"{_setting(name)} is given, and {addresses[0]} is asked in plaintext; write grpcs://host:port"
            )
        paths = {name: path or environment.get(_FLAGS[name]) or None for name, path in given.items() if has_tls}
        access = cls(
            **{name: Path(path) for name, path in paths.items() if path is not None},
            token=_find_token(token, environment),
        )
        access._check_files()
        if access.token:
            _check_secrecy(addresses, access.token, is_given=token is not None)
        return access

    def credentials(self, address: str) -> grpc.ChannelCredentials | None:
        """What a channel to an address is opened with; None for one in plaintext. Raises ConfigError."""
        if not is_tls(address):
            return None
        pair = self._read_pair()
        return grpc.ssl_channel_credentials(
            None if self.ca is None else read_authorities(_named("ca", self.ca)),
            pair and pair.key,
            pair and pair.chain,
        )

    def metadata(self) -> Metadata:
        """What is sent with a call. Raises ConfigError where the token cannot be had."""
        if not self.token:
            return ()
        token = self.token if isinstance(self.token, str) else self.token()
        if not isinstance(token, str) or not _can_travel(token):
            raise ConfigError("token() gave something else than one word of ASCII")
        return (("authorization", f"Bearer {token}"),)

    def stamp(self) -> FileStamp:
        """Of the files of certificates as they are now."""
        return FileStamp.of([path for path in (self.ca, self.cert, self.key) if path is not None])

    def has_changed_since(self, stamp: FileStamp) -> bool:
        """Whether other files, which can be used, have taken the place of those."""
        if stamp == self.stamp():
            return False
        try:
            self._check_files()
        except ConfigError:  # not there in full yet
            return False
        return True

    def _check_files(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise ConfigError(f"{_setting('cert')} and {_setting('key')} go together; give both, or neither")
        if self.ca is not None:
            read_authorities(_named("ca", self.ca))
        self._read_pair()

    def _read_pair(self) -> KeyPair | None:
        if self.cert is None or self.key is None:
            return None
        return read_key_pair(_named("cert", self.cert), _named("key", self.key))


def _find_token(given: Token | None, environment: Mapping[str, str]) -> Token | None:
    """The token of a client; an empty one is none, whatever the environment says. Raises ConfigError."""
    token = given
    if token is None:
        in_environment = [name for name in (_TOKEN, _TOKEN_FILE) if environment.get(name)]
        if len(in_environment) > 1:
            raise ConfigError(f"{_TOKEN} and {_TOKEN_FILE} are both set; unset one of them")
        if in_environment == [_TOKEN_FILE]:
            return TokenFile(environment[_TOKEN_FILE])
        token = environment.get(_TOKEN)
    if not isinstance(token, str):
        if token is not None and (not callable(token) or iscoroutinefunction(token)):
            raise ConfigError("token is neither a text nor a function, not a coroutine, that gives one")
        return token
    if token and not _can_travel(token):
        raise ConfigError(f"token ({_TOKEN}) is not one word of ASCII; copy it again")
    return token or None


def _check_secrecy(addresses: Sequence[str], token: Token, *, is_given: bool) -> None:
    """Raises ConfigError where others could read the token on its way."""
    for address in addresses:
        if not is_tls(address) and not is_loopback(address):
            variable = _TOKEN if isinstance(token, str) else _TOKEN_FILE
            raise ConfigError(
                f"{address} is asked in plaintext, where others could read the token"
                f"{'' if is_given else f' of {variable}'}; write grpcs://{address}, or leave the token out"
            )


def _can_travel(token: str) -> bool:
    return token.isascii() and token.isprintable() and bool(token) and " " not in token


def _named(name: str, path: Path) -> NamedFile:
    return NamedFile(_setting(name), path)


def _setting(name: str) -> str:
    """A setting as people gave it: to a client, a command, or in the environment."""
    return f"{name}= (--{name}, {_FLAGS[name]})"


NO_ACCESS: Final = Access()
"""Plaintext, and no token."""
