"""Addresses of servers, and whether the way to one leads through a proxy.

gRPC takes a proxy from the environment for every channel, whatever its address. A server on this machine is asked
directly instead, since a proxy elsewhere would look for it on its own machine.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from ganserve.contract.errors import ConfigError

Target = str | int | Sequence[str | int]

_THIS_MACHINE: Final = "127.0.0.1"
_TLS: Final = "grpcs://"
_PLAINTEXT: Final = "grpc://"
_PORT: Final = re.compile(r"\d{1,5}")
_WITH_SCHEME: Final = re.compile(r"(?P<scheme>dns|ipv4|ipv6|unix|unix-abstract):(?P<rest>.+)")
_HOST_AND_PORT: Final = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+(?:%\w+)?\]|[^\s:/\[\],]+):(?P<port>\d{1,5})")

# In the order in which gRPC looks at them; it does not know the upper-case ones.
_PROXY_VARIABLES: Final = ("grpc_proxy", "https_proxy", "http_proxy")
_EXCEPTION_VARIABLES: Final = ("no_grpc_proxy", "no_proxy")


def parse_addresses(target: Target) -> tuple[str, ...]:
    """The addresses of a target, each once.

    Args:
        target: one of these, or several: ``host:port``, ``[ipv6]:port``, ``grpcs://host:port`` for TLS, a port of this
            machine, or a gRPC target such as ``dns:///name:port`` or ``unix:/path``.

    Raises:
        ConfigError: no address, or one of another form.
    """
    given = (target,) if isinstance(target, (str, int)) else target
    if not isinstance(given, Sequence) or isinstance(given, bytes):
        raise _no_address(target)
    addresses = dict.fromkeys(address for one in given for address in _parse(one))
    if not addresses:
        raise ConfigError("no server address is given; name one, such as 127.0.0.1:50051")
    return tuple(addresses)


def is_tls(address: str) -> bool:
    """Whether an address is reached by TLS."""
    return address.startswith(_TLS)


def grpc_target(address: str) -> str:
    """An address as gRPC takes it."""
    return address.removeprefix(_TLS)


def is_local(address: str) -> bool:
    """Whether an address names this machine itself: a Unix socket, or a loopback address or name."""
    return is_loopback(address) or _name_of(address).endswith(".localhost")


def is_loopback(address: str) -> bool:
    """Whether what is sent to an address never leaves this machine, whatever a name server says."""
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    if re.match(r"dns://[^/]", address):  # a name server of its own
        return False
    host = _name_of(address)
    if host == "localhost":
        return True
    try:
        ip = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None) or ip
    return bool(mapped.is_loopback or mapped.is_unspecified)


def proxy_of(address: str) -> str:
    """The proxy that gRPC goes through to reach an address and the variable that names it, for messages; or nothing."""
    variable = next((name for name in _PROXY_VARIABLES if os.environ.get(name)), "")
    if not variable or is_local(address) or _is_excepted(_host_of(address)):
        return ""
    proxy = urlsplit(os.environ[variable])
    return f"{proxy.hostname or os.environ[variable]}{f':{proxy.port}' if proxy.port else ''}, which {variable} names"


def _parse(address: str | int) -> list[str]:
    if isinstance(address, int) and not isinstance(address, bool):
        address = str(address)
    if not isinstance(address, str):
        raise _no_address(address)
    if matched := _WITH_SCHEME.fullmatch(address):
        if matched["scheme"] in ("ipv4", "ipv6"):
            return [f"{matched['scheme']}:{one}" for one in matched["rest"].split(",")]
        return [address]
    scheme = _TLS if is_tls(address) else ""
    place = address.removeprefix(scheme or _PLAINTEXT)
    plain = f"{_THIS_MACHINE}:{place}" if _PORT.fullmatch(place) else place
    parts = _HOST_AND_PORT.fullmatch(plain)
    if not parts or not 0 < int(parts["port"]) < 2**16:
        raise _no_address(address)
    return [scheme + plain]


def _no_address(given: object) -> ConfigError:
    return ConfigError(f"{given!r} is no server address; give host:port, such as {_THIS_MACHINE}:50051, or a port")


def _host_of(address: str) -> str:
    """The host of an address with or without a scheme, without brackets."""
    matched = _WITH_SCHEME.fullmatch(address)
    place = (matched["rest"] if matched else address).rpartition("/")[2]
    host, _, port = place.rpartition(":")
    return (host if host and port.isdecimal() else place).strip("[]")


def _name_of(address: str) -> str:
    return _host_of(address).lower().rstrip(".")


def _is_excepted(host: str) -> bool:
    """Whether the environment takes a host out of the proxy's, by the end of its name or by its network."""
    listed = next((os.environ[name] for name in _EXCEPTION_VARIABLES if os.environ.get(name)), "")
    entries = [entry.strip().lower() for entry in listed.split(",") if entry.strip()]
    return any(host.lower().endswith(entry) or _in_network(host, entry) for entry in entries)


def _in_network(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False
