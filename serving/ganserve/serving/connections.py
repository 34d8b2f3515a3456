"""What bounds a connection: its number, its age, its streams, the size of what comes, and how a lost one is noticed."""

from __future__ import annotations

import math
from typing import Final

from .config import ServingConfig

MAX_REQUEST_BYTES: Final = 8 * 1024**2
MAX_METADATA_BYTES: Final = 16 * 1024
MAX_STREAMS: Final = 2_500

_FOREVER_MS: Final = 2**31 - 1
_HANDSHAKE_MS: Final = 20_000
_FIXED: Final = (
    # Without this a second server could share the port in silence.
    ("grpc.so_reuseport", 0),
    # Calls wait until the event loop takes them, and is the one to refuse them. Beyond 1,000, gRPC would cancel them.
    ("grpc.server.max_pending_requests", 100_000),
    ("grpc.server.max_pending_requests_hard_limit", 100_000),
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    # Between these two, gRPC would refuse calls at random.
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
    # Those count too that were taken back and that gRPC is not done with: a flood of resets would take hundreds of MiB.
    # More than --max-calls, so that whoever asks too much is refused with a reason and does not wait.
    ("grpc.max_concurrent_streams", MAX_STREAMS),
    # Whoever connects and says nothing, or never ends the handshake of TLS, is let go.
    ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
    # A client that vanished is noticed, also one that has asked nothing, and clients may ask the same of the server.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
)

Options = tuple[tuple[str, int], ...]


def connection_options(config: ServingConfig) -> Options:
    """Options of a gRPC server."""
    return (
        *_FIXED,
        ("grpc.enable_channelz", int(config.channelz)),
        ("grpc.max_allowed_incoming_connections", config.max_connections),
        ("grpc.max_connection_age_ms", _milliseconds(config.max_connection_age_s)),
        ("grpc.max_connection_age_grace_ms", _milliseconds(config.connection_grace_s)),
    )


def _milliseconds(seconds: float) -> int:
    """gRPC takes the highest number for no bound."""
    return _FOREVER_MS if math.isinf(seconds) else max(1, round(seconds * 1e3))
