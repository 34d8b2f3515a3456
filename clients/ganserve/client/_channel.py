"""Where a channel leads and how it behaves. Nothing here opens one.

Three options are less obvious than they look:

* `grpc.use_local_subchannel_pool`: by default channels of one process share connections, and a forked child that opens
  its own channel is handed its parent's dead socket.
* `grpc.per_rpc_retry_buffer_size`: a request larger than the buffer, 256 KiB by default, is never retried, and explicit
  latents soon are.
* `grpc.keepalive_time_ms`: notices a peer that vanished in the middle of a stream. Servers refuse pings more often than
  every 300 s unless told otherwise.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Sequence
from typing import Final

from ganserve.contract.errors import ConfigError, UnavailableError

ChannelOptions = list[tuple[str, int | str]]

MAX_ATTEMPTS: Final = 4
_MAX_REPLY_BYTES: Final = 64 * 2**20  # a single large image may exceed gRPC's default of 4 MiB
_RETRY_BUFFER_BYTES: Final = 8 * 2**20
_FIRST_RECONNECT_MS: Final = 200
_LAST_RECONNECT_MS: Final = 2_000
_KEEPALIVE_MS: Final = 330_000
_KEEPALIVE_TIMEOUT_MS: Final = 20_000

_SERVICE: Final = "ganserve.v1.GeneratorService"
_UNARY_METHODS: Final = ("Generate", "GetModel", "ListModels")

_WITH_SCHEME: Final = re.compile(r"(dns|ipv4|ipv6|unix):.+")
_HOST_AND_PORT: Final = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+(?:%\w+)?\]|[^\s:/\[\],]+):(?P<port>\d{1,5})")


def parse_addresses(target: str | Sequence[str]) -> tuple[str, ...]:
    """The addresses of a target.

    Args:
        target: ``host:port``, ``[ipv6]:port`` or a gRPC target such as ``dns:///name:port`` or ``unix:/path``; or
            several of ``host:port`` and ``[ipv6]:port``.

    Raises:
        ConfigError: no address, or one of another form.
    """
    addresses = (target,) if isinstance(target, str) else tuple(target)
    if not addresses:
        raise ConfigError("no server address is given; name one, such as 127.0.0.1:50051")
    for address in addresses:
        if len(addresses) == 1 and _WITH_SCHEME.fullmatch(address):
            continue
        matched = _HOST_AND_PORT.fullmatch(address)
        if not matched or not 0 < int(matched["port"]) < 2**16:
            raise ConfigError(f"{address!r} is no server address; give host:port, such as 127.0.0.1:50051")
    return addresses


def channel_target(addresses: Sequence[str]) -> str:
    """The gRPC target that reaches all addresses. Blocks while names are looked up.

    gRPC resolves one name by itself, again and again, and balances over all addresses behind it. A list it takes only
    of IP addresses of one family, so several names are looked up here, once, and IPv4 addresses travel in IPv6 form.

    Raises:
        UnavailableError: a name that does not resolve.
    """
    if len(addresses) == 1:
        return addresses[0]
    found = dict.fromkeys(ip for address in addresses for ip in _look_up(address))
    if any(ip.startswith("[") for ip in found):
        return "ipv6:" + ",".join(ip if ip.startswith("[") else f"[::ffff:{ip.replace(':', ']:')}" for ip in found)
    return "ipv4:" + ",".join(found)


def channel_options() -> ChannelOptions:
    """Options for every channel."""
    return [
        ("grpc.service_config", service_config()),
        ("grpc.max_receive_message_length", _MAX_REPLY_BYTES),
        ("grpc.per_rpc_retry_buffer_size", _RETRY_BUFFER_BYTES),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.initial_reconnect_backoff_ms", _FIRST_RECONNECT_MS),
        ("grpc.min_reconnect_backoff_ms", _FIRST_RECONNECT_MS),
        ("grpc.max_reconnect_backoff_ms", _LAST_RECONNECT_MS),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
    ]


def service_config() -> str:
    """Round robin over all addresses, and retries of what was not answered, inside the call's deadline.

    Streams are not retried by gRPC: once a reply is read it cannot, so they resume by `StreamCursor` alone.
    """
    retry_policy = {
        "maxAttempts": MAX_ATTEMPTS,
        "initialBackoff": "0.1s",
        "maxBackoff": "1s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    return json.dumps(
        {
            "loadBalancingConfig": [{"round_robin": {}}],
            "methodConfig": [
                {
                    "name": [{"service": _SERVICE, "method": method} for method in _UNARY_METHODS],
                    "waitForReady": False,
                    "retryPolicy": retry_policy,
                }
            ],
        }
    )


def _look_up(address: str) -> list[str]:
    """`ip:port` or `[ip]:port` for every address behind `host:port`."""
    host, _, port = address.rpartition(":")
    try:
        answers = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except OSError as error:
        raise UnavailableError(f"{address} cannot be reached: {host} is no known host ({error})") from error
    ips = [str(address[0]) for *_, address in answers]
    return [f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}" for ip in ips]
