"""Where a server listens: an address as it is written, and what is bound to it."""

from __future__ import annotations

import re
import socket
import stat
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import grpc

from ganserve.contract.errors import ConfigError

_UNIX: Final = "unix:"
_HOST_AND_PORT: Final = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+(?:%\w+)?\]|[^\s:/\[\],]+):(?P<port>\d{1,5})")
_MAX_PORT: Final = 2**16 - 1
_MAX_PATH_BYTES: Final = 107  # of a UNIX socket on Linux
_CONNECT_S: Final = 1.0
_BACKLOG: Final = 1024


def check_address(address: str) -> None:
    """Raises ConfigError unless it is `host:port`, `[ipv6]:port` or `unix:path`."""
    if path := socket_path(address):
        if not path.name or len(bytes(path)) > _MAX_PATH_BYTES or re.match(r"unix://[^/]", address):
            raise ConfigError(f"--listen {address}: give unix:path or unix:///path, of up to {_MAX_PATH_BYTES} bytes")
        return
    check_host_and_port(address, flag="--listen", others=", or unix:path")


def check_host_and_port(address: str, *, flag: str, others: str = "") -> None:
    """Raises ConfigError, naming the flag, unless it is `host:port` or `[ipv6]:port`."""
    matched = _HOST_AND_PORT.fullmatch(address)
    if not matched:
        raise ConfigError(
            f"{flag} {address}: give host:port, such as 127.0.0.1:50051, where port 0 is a free one{others}"
        )
    if int(matched["port"]) > _MAX_PORT:
        raise ConfigError(f"{flag} {address}: ports go from 0, which takes a free one, to {_MAX_PORT}")


def check_exposure(address: str, *, flag: str) -> None:
    """Raises ConfigError, naming the flag, where other machines can reach a server that speaks no TLS."""
    if not is_loopback(address, flag=flag):
        raise ConfigError(
            f"{flag} {address}: other machines can reach it, and they would be answered in plaintext; give "
            "--tls-cert and --tls-key or, where a proxy in front speaks TLS or the network is trusted, --plaintext"
        )


def is_loopback(address: str, *, flag: str) -> bool:
    """Whether only this machine can reach an address: a socket, or a host all of whose addresses are loopback ones.

    Raises ConfigError, naming the flag, for a host that is not known.
    """
    if address.startswith(_UNIX):
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        raise ConfigError(f"{flag} {address}: this machine knows no host {host!r}; give one of its addresses") from None
    ips = [ip_address(one.partition("%")[0]) for one in found]
    return bool(ips) and all((getattr(ip, "ipv4_mapped", None) or ip).is_loopback for ip in ips)


def bind(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials) -> str:
    """Binds a server that has not started to an address, and gives the address with the port that it got.

    The socket file of a server that was killed is replaced; gRPC removes its own when it stops.

    Raises:
        ConfigError: the address cannot be used, or a server is listening there.
    """
    if path := socket_path(address):
        _clear_socket(path, address)
    try:
        port = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise ConfigError(f"--listen {address}: the address cannot be used; {_cure(address)}") from error
    return address if address.startswith(_UNIX) else f"{address.rpartition(':')[0]}:{port}"


def listen_on(address: str, *, flag: str) -> tuple[socket.socket, str]:
    """A listening socket at `host:port`, and the address with the port that it got.

    Raises:
        ConfigError: naming the flag, where the address cannot be used.
    """
    host, _, port = address.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        family, _, _, _, place = found[0]
        listening = socket.create_server(place[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(f"{flag} {address}: the address cannot be used; {_cure(address)}") from error
    return listening, f"{host}:{listening.getsockname()[1]}"


def socket_path(address: str) -> Path | None:
    """The file of an address `unix:path`; None of others."""
    return Path(address.removeprefix(_UNIX)) if address.startswith(_UNIX) else None


def _clear_socket(path: Path, address: str) -> None:
    """gRPC would take the place of a server that is still listening, so it is looked for first."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"--listen {address}: there is a file of that name, which is no socket; take another path")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_CONNECT_S)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigError(f"--listen {address}: {error.strerror or error}; take another path") from error
        else:
            raise ConfigError(f"--listen {address}: a server is listening there; stop it, or take another path")


def _cure(address: str) -> str:
    if address.startswith(_UNIX):
        return "its folder may be missing, or not be yours to write"
    return "the port may be taken, or the host is not this machine's. Take another port, or 0 for a free one"
