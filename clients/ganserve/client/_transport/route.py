"""The route to one server, for what measures it by calls of its own."""

from __future__ import annotations

from typing import NamedTuple

import grpc

from .access import NO_ACCESS, Access
from .ask import Metadata
from .channel import open_async_channel


class Route(NamedTuple):
    """Where a server is, as `parse_addresses` gives it, and how it is reached."""

    address: str
    access: Access = NO_ACCESS

    def open(self) -> grpc.aio.Channel:
        """A channel for the running event loop."""
        return open_async_channel(self.address, self.access.credentials(self.address))

    def metadata(self) -> Metadata:
        """What is sent with a call."""
        return self.access.metadata()
