"""How channels are opened, for both clients: options, credentials, and no proxy in front of this machine.

Two options are less obvious than they look:

* `grpc.use_local_subchannel_pool`: by default channels of one process share connections, and the calls of two clients
  would have one client's share of a server.
* `grpc.keepalive_time_ms`: notices a peer that vanished in the middle of a stream. Servers refuse pings more often than
  every 300 s unless told otherwise.

gRPC repeats no call here: its own policy ends after five attempts, and a call goes on for as long as its deadline lets
it (`attempts.py`). Behind one name it goes round robin over all addresses; several targets have a channel each.
"""

from __future__ import annotations

import json
from typing import Final

import grpc

from .addresses import grpc_target, is_local

_MAX_REPLY_BYTES: Final = 64 * 2**20  # a single large image may exceed gRPC's default of 4 MiB
_FIRST_RECONNECT_MS: Final = 200
_LAST_RECONNECT_MS: Final = 2_000
_KEEPALIVE_MS: Final = 330_000
_KEEPALIVE_TIMEOUT_MS: Final = 20_000


def open_channel(address: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.Channel:
    """A channel for threads to one address, as `parse_addresses` gives it. Without credentials, in the clear."""
    options = channel_options(address)
    if credentials is None:
        return grpc.insecure_channel(grpc_target(address), options)
    return grpc.secure_channel(grpc_target(address), credentials, options)


def open_async_channel(address: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
    """As `open_channel`, for the running event loop."""
    options = channel_options(address)
    if credentials is None:
        return grpc.aio.insecure_channel(grpc_target(address), options)
    return grpc.aio.secure_channel(grpc_target(address), credentials, options)


def channel_options(address: str) -> list[tuple[str, int | str]]:
    """Options of a channel to an address."""
    return [
        ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
        ("grpc.enable_retries", 0),
        ("grpc.enable_http_proxy", 0 if is_local(address) else 1),
        ("grpc.max_receive_message_length", _MAX_REPLY_BYTES),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.initial_reconnect_backoff_ms", _FIRST_RECONNECT_MS),
        ("grpc.min_reconnect_backoff_ms", _FIRST_RECONNECT_MS),
        ("grpc.max_reconnect_backoff_ms", _LAST_RECONNECT_MS),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
    ]
