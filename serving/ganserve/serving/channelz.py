"""gRPC's own figures of its connections and calls, as the service `grpc.channelz.v1.Channelz`."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf import descriptor_pool
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_channelz.v1.channelz import aio


class Channelz:
    """A service of an `Endpoint`. It tells the addresses of all who are connected."""

    name = channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name
    descriptors = descriptor_pool.Default()

    def rpc_handler(self) -> grpc.GenericRpcHandler:
        """Answers the methods of the service."""
        taken = _Taken()
        channelz_pb2_grpc.add_ChannelzServicer_to_server(aio.ChannelzServicer(), taken)
        return grpc.method_handlers_generic_handler(self.name, taken.handlers)


class _Taken:
    """In the place of a server, takes the handlers that generated code adds to one."""

    def __init__(self) -> None:
        self.handlers: dict[str, Any] = {}

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """The older form of the same, which is not needed."""

    def add_registered_method_handlers(self, name: str, handlers: dict[str, Any]) -> None:  # noqa: ARG002
        self.handlers = handlers
