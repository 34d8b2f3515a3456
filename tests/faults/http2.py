"""Frames of HTTP/2, as no gRPC library would send them."""

from __future__ import annotations

import socket
import struct
from types import TracebackType
from typing import Final, Self

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

_DATA, _HEADERS, _RST_STREAM, _SETTINGS = 0, 1, 3, 4
_END_STREAM, _END_HEADERS = 1, 4
_CANCEL: Final = 8


class RawConnection:
    """A connection with prior knowledge of HTTP/2, whose headers are not compressed."""

    def __init__(self, address: str, *, greets: bool = True) -> None:
        """Connects, and greets the server or not."""
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        if greets:
            self.send(PREFACE + frame(_SETTINGS, 0, 0, b""))

    def send(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self.socket.sendall(data)

    def read_all(self) -> None:
        """Reads until the server closes the connection."""
        while self.socket.recv(4096):
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()


def headers(stream: int, path: bytes) -> bytes:
    """The frame that begins a gRPC call."""
    fields = {b":method": b"POST", b":scheme": b"http", b":path": path, b":authority": b"localhost"}
    fields |= {b"te": b"trailers", b"content-type": b"application/grpc"}
    block = b"".join(
        b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value for name, value in fields.items()
    )
    return frame(_HEADERS, _END_HEADERS, stream, block)


def message(stream: int, data: bytes) -> bytes:
    """The frame with a gRPC call's one request."""
    return frame(_DATA, _END_STREAM, stream, struct.pack(">BI", 0, len(data)) + data)


def half_a_message(stream: int, num_bytes: int) -> bytes:
    """A frame that promises a request of so many bytes, and has half of them."""
    return frame(_DATA, 0, stream, struct.pack(">BI", 0, num_bytes) + bytes(num_bytes // 2))


def reset(stream: int) -> bytes:
    """The frame that takes a call back."""
    return frame(_RST_STREAM, 0, stream, struct.pack(">I", _CANCEL))


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Any frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload
