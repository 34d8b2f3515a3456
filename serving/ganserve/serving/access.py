"""Who calls, by the bearer token that comes with every call. Knows no protocol."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ganserve.contract.certificates import FileStamp
from ganserve.contract.errors import AccessError, ConfigError, UnauthenticatedError

from .row_quota import RowQuota
from .scopes import Scope
from .tallies import Count
from .tokens import Grant, hash_token, read_grants

_LOOK_EVERY_S: Final = 1.0
_SCHEME: Final = "bearer "

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Whom a call was made by.

    Attributes:
        name: of the token.
        quota: bound on the rows that are made for it, or None.
    """

    name: str
    quota: RowQuota | None


@dataclass(frozen=True, kw_only=True)
class _Holder:
    grant: Grant
    identity: Identity


class Access:
    """Tells the holders of tokens, by a file that is looked at again every second. Belongs to one event loop.

    A file that cannot be read, or says something that is not understood, leaves what was read before in its place. One
    that says nothing lets nobody in.
    """

    def __init__(
        self, path: Path, clock: Callable[[], float] = time.monotonic, *, refusals: Count | None = None
    ) -> None:
        """Reads the file. Raises ConfigError where it cannot be used, or names no token.

        Args:
            path: the file.
            clock: monotonic seconds.
            refusals: counts the requests that are refused since a token's quota is used up.
        """
        self._path = path
        self._refusals = refusals
        self._clock = clock
        self._look_at_s = clock() + _LOOK_EVERY_S
        self._stamp = FileStamp.of([path])
        self._holders: dict[bytes, _Holder] = {}
        self._take(read_grants(path))
        if not self._holders:
            raise ConfigError(f"--tokens {path}: it names no token; `ganserve token new NAME >> {path}` makes one")

    def identify(self, authorization: str | None, scopes: frozenset[Scope], asked: str) -> Identity:
        """The holder of a token, who has one of the scopes.

        Args:
            authorization: the call's header of that name, or None.
            scopes: of which one will do.
            asked: what is asked for, for messages.

        Raises:
            UnauthenticatedError: no token, or one that is not known.
            AccessError: it has no such scope.
        """
        if self._clock() >= self._look_at_s:
            self._look()
        if not authorization:
            raise UnauthenticatedError(
                "this server wants a token, and none came; give it with token= (on the command line, --token-file)"
            )
        if authorization[: len(_SCHEME)].lower() != _SCHEME:
            raise UnauthenticatedError("the authorization that came is not of the form `Bearer TOKEN`")
        sha256 = hash_token(authorization[len(_SCHEME) :].strip())
        holder = self._holders.get(sha256)
        # Python's dictionaries compare hashes of their own, with a random key, before they compare ours.
        if holder is None or not hmac.compare_digest(holder.grant.sha256, sha256):
            raise UnauthenticatedError("this server does not know the token that came; it may have been withdrawn")
        if not scopes & holder.grant.scopes:
            raise AccessError(
                f"the token {holder.grant.name!r} is for {_listed(holder.grant.scopes)}, and {asked} needs one for "
                f"{_listed(scopes)}"
            )
        return holder.identity

    def _look(self) -> None:
        self._look_at_s = self._clock() + _LOOK_EVERY_S
        stamp = FileStamp.of([self._path])
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._take(read_grants(self._path))
        except ConfigError as error:
            _log.error("the former tokens stay in use: %s", error)
            return
        _log.info("%d tokens of %s are in use from now on", len(self._holders), self._path)

    def _take(self, grants: list[Grant]) -> None:
        """Takes tokens in place of those before. Who is still there keeps what is left of its quota."""
        former = {holder.grant: holder for holder in self._holders.values()}
        holders = [former.get(grant) or _Holder(grant=grant, identity=self._identity(grant)) for grant in grants]
        self._holders = {holder.grant.sha256: holder for holder in holders}

    def _identity(self, grant: Grant) -> Identity:
        if grant.quota is None:
            return Identity(name=grant.name, quota=None)
        num_rows, period_s = grant.quota.num_rows, grant.quota.period_s
        return Identity(name=grant.name, quota=RowQuota(grant.name, num_rows, period_s, refusals=self._refusals))


def _listed(scopes: frozenset[Scope]) -> str:
    return " or ".join(sorted(scopes))
