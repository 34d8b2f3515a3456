"""The commands `ganserve admin load`, `unload`, `alias` and `status`."""

from __future__ import annotations

import json as json_
from collections.abc import Callable
from typing import Annotated, Final, NamedTuple

from cyclopts import Group, Parameter
from google.protobuf.json_format import MessageToDict

from ganserve.client._samples.model_info import short_name
from ganserve.client._transport.access import Access
from ganserve.client._transport.addresses import parse_addresses
from ganserve.client._transport.administrator import Administrator
from ganserve.console import open_console
from ganserve.contract.errors import ConfigError, RequestError
from ganserve.contract.selectors import ALIAS, VERSIONS, title_of
from ganserve.contract.text import printable
from ganserve.flags import Timeout, within

from .access import AccessFlags, AccessOptions, access_arguments
from .source import DEFAULT_SERVER, Servers
from .tables import status_table

_LOAD_TIMEOUT_S: Final = 600.0
_TIMEOUT_S: Final = 10.0
_OUTPUT: Final = Group("Output", sort_key=3)


def load(
    model: str, *, server: Servers = (DEFAULT_SERVER,), timeout: Timeout = _LOAD_TIMEOUT_S, access: AccessFlags = None
) -> None:
    """Have servers load a model of their folders, or load it again in place of the one that serves.

    A bundle is verified and warmed up first. Where it is refused, the one before goes on.

    For example:

        ganserve admin load digits:2 --server 127.0.0.1:50051

    Args:
        model: name:version, or a name for its highest version in the folder.
        server: Address of a server, host:port. Give it several times for several servers, which are asked in turns.
        timeout: Most seconds to wait for each; a server goes on without whoever waits.
    """
    place = _read_place(model)

    def do(administrator: Administrator) -> str:
        loaded = administrator.load(place.name, place.version)
        return f"{short_name(loaded.identity)} serves, loaded in {loaded.load_s:.1f} s"

    _at_each(server, access, timeout, do)


def unload(
    model: str, *, server: Servers = (DEFAULT_SERVER,), timeout: Timeout = _TIMEOUT_S, access: AccessFlags = None
) -> None:
    """Have servers take no more requests for a model, and free it when its calls are done.

    Args:
        model: name:version, or a name for all of its versions.
        server: Address of a server, host:port. Give it several times for several servers, which are asked in turns.
        timeout: Most seconds to wait for each.
    """
    place = _read_place(model)

    def do(administrator: Administrator) -> str:
        versions = administrator.unload(place.name, place.version)
        return f"unloaded {', '.join(title_of(place.name, version) for version in versions)}"

    _at_each(server, access, timeout, do)


def alias(
    alias: str,
    version: Annotated[int | None, within(VERSIONS)] = None,
    *,
    remove: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    server: Servers = (DEFAULT_SERVER,),
    timeout: Timeout = _TIMEOUT_S,
    access: AccessFlags = None,
) -> None:
    """Point an alias to a version that serves, for all requests from then on, or remove it.

    The alias `stable` also answers who names neither a version nor an alias.

    For example:

        ganserve admin alias digits:canary 3
        ganserve admin alias digits:canary --remove

    Args:
        alias: name:alias, such as digits:stable.
        version: Version of the model that it is to point to.
        remove: Remove the alias.
        server: Address of a server, host:port. Give it several times for several servers, which are asked in turns.
        timeout: Most seconds to wait for each.
    """
    name, _, own_alias = alias.partition(":")
    if not name or not ALIAS.fullmatch(own_alias):
        raise ConfigError(f"{alias!r} is no alias; give name:alias, such as digits:stable")
    if (version is None) != remove:
        raise ConfigError("give the version that the alias is to point to, or --remove")

    def do(administrator: Administrator) -> str:
        if version is None:
            return f"{alias} is removed, which pointed to version {administrator.remove_alias(name, own_alias)}"
        former = administrator.set_alias(name, own_alias, version)
        return f"{alias} points to version {version}" + (f", before to {former}" if former is not None else "")

    _at_each(server, access, timeout, do)


def status(
    *,
    server: Servers = (DEFAULT_SERVER,),
    json: Annotated[bool, Parameter(negative="", show_default=False, group=_OUTPUT)] = False,
    timeout: Timeout = _TIMEOUT_S,
    access: AccessFlags = None,
) -> None:
    """Show the models of servers: what serves, what was refused and why, what is leaving, and what is not loaded.

    Args:
        server: Address of a server, host:port. Give it several times for several servers.
        json: Print JSON: a GetStatusResponse by address.
        timeout: Most seconds to wait for each.
    """
    shown = {}
    for address, administrator in _administrators(server, access, timeout):
        with administrator:
            shown[address] = administrator.status()
    if json:
        print(json_.dumps({a: MessageToDict(s, preserving_proto_field_name=True) for a, s in shown.items()}, indent=2))
        return
    for address, found in shown.items():
        if len(shown) > 1:
            open_console().print(printable(address), markup=False, highlight=False)
        open_console().print(status_table(found.models))


class _Place(NamedTuple):
    name: str
    version: int | None


def _read_place(model: str) -> _Place:
    name, colon, version = model.partition(":")
    if not name or (colon and not (version.isdecimal() and int(version) in VERSIONS)):
        raise ConfigError(f"{model!r} is no model; give name:version, such as digits:2, or a name")
    return _Place(name, int(version) if colon else None)


def _administrators(
    server: tuple[str, ...], access: AccessOptions | None, timeout_s: float
) -> list[tuple[str, Administrator]]:
    addresses = parse_addresses(server)
    by = Access.of(addresses, **access_arguments(access))
    return [(address, Administrator(address, by, timeout_s)) for address in addresses]


def _at_each(
    server: tuple[str, ...], access: AccessOptions | None, timeout_s: float, do: Callable[[Administrator], str]
) -> None:
    """Does it at every server, and says so. Raises the first RequestError, when all have been asked."""
    failures: list[RequestError] = []
    administrators = _administrators(server, access, timeout_s)
    for address, administrator in administrators:
        with administrator:
            try:
                print(f"{address}: {do(administrator)}")
            except RequestError as error:
                if address not in str(error):
                    error.args = (f"{address}: {error}",)
                failures.append(error)
    if failures:
        for failure in failures[1:]:
            failures[0].add_note(str(failure))
        raise failures[0]
