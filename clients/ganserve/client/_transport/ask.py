"""A question to a server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

Answer = TypeVar("Answer")
Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Ask(Generic[Answer]):
    """One question to a server.

    Attributes:
        method: name of the method on the stub.
        request: what is sent.
        read: makes the answer of the reply. A `RequestError` that it raises counts as the server's own.
        metadata: what is sent beside the request.
        share: the samples of the whole call, as a part of those of the largest request; 0 for a question that never
            travels with others.
    """

    method: str
    request: Message
    read: Callable[[Any], Answer]
    metadata: Metadata = ()
    share: float = 0.0
