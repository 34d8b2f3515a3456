"""One channel for every process that uses a client.

gRPC's threads and sockets do not survive a fork, so a channel that was opened before it is of no use in the child:
calls on it hang or fail. Channels are therefore opened when they are first needed and kept by process id. A forked
child finds none under its own id and opens one; its parent's it neither uses nor closes. A copy that travels to a
spawned process leaves the channels behind.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import grpc

from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub

from ._channel import channel_options, channel_target


class Connections:
    """The channels to some addresses. Safe to share between threads."""

    def __init__(self, addresses: Sequence[str]) -> None:
        """Opens nothing yet."""
        self._addresses = addresses
        self._closed = False
        self._by_process: dict[int, _Connection] = {}

    def stub(self) -> GeneratorServiceStub:
        """The stub on this process's channel, which is opened at need. Raises UnavailableError for an unknown host."""
        if self._closed:
            raise RuntimeError("this client is closed; make another")
        connection = self._by_process.get(os.getpid())
        if connection is None:
            opened = _Connection.open(self._addresses)
            # No lock: a child could inherit it locked. Where threads race, the first one's channel stays.
            connection = self._by_process.setdefault(os.getpid(), opened)
            if connection is not opened:
                opened.channel.close()
        return connection.stub

    def close(self) -> None:
        """Closes this process's channel, for good."""
        self._closed = True
        if connection := self._by_process.pop(os.getpid(), None):
            connection.channel.close()

    def __len__(self) -> int:
        return len(self._by_process)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_by_process": {}}


class _Connection(NamedTuple):
    channel: grpc.Channel
    stub: GeneratorServiceStub

    @classmethod
    def open(cls, addresses: Sequence[str]) -> _Connection:
        channel = grpc.insecure_channel(channel_target(addresses), options=channel_options())
        return cls(channel, GeneratorServiceStub(channel))
