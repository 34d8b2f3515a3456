"""The flags that say how a server is reached and who asks, for every command that asks one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypedDict

from cyclopts import Group, Parameter

from ganserve.client._transport.access import PathLike, Token, TokenFile

_ACCESS = Group("Access", sort_key=4)


class AccessArguments(TypedDict):
    """What `Client` and `Access.of` take."""

    ca: PathLike | None
    cert: PathLike | None
    key: PathLike | None
    token: Token | None


@dataclass(frozen=True, kw_only=True)
class AccessOptions:
    """Certificates and a token. What is not given is taken from the environment, as `Client` does."""

    ca: Path | None = None
    """PEM file with the CAs that are trusted, for a server grpcs://host:port; or GANSERVE_CA."""

    cert: Path | None = None
    """PEM file with your own certificate, for a server that wants one; or GANSERVE_CERT."""

    key: Path | None = None
    """PEM file with its private key; or GANSERVE_KEY."""

    token_file: Path | None = None
    """File with the token that the server knows you by; or GANSERVE_TOKEN_FILE, or GANSERVE_TOKEN for the token."""


AccessFlags = Annotated[AccessOptions | None, Parameter(name="*", group=_ACCESS)]


def access_arguments(access: AccessOptions | None) -> AccessArguments:
    """What the flags say, for a client. Raises ConfigError where there is no token in the file."""
    given = access or AccessOptions()
    token = None if given.token_file is None else TokenFile(given.token_file)
    return AccessArguments(ca=given.ca, cert=given.cert, key=given.key, token=token)
