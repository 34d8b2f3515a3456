"""Those who take samples from a server, each in a way of its own and as fast as it can.

Each gives its arrivals as a `Contestant` of `turns.py` does. None asks for the same samples twice.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any, Final, cast

import grpc

from ganserve.client._client import Client
from ganserve.client._samples.samples import Samples
from ganserve.client._transport.connections import Connections
from ganserve.client._transport.errors import request_error
from ganserve.client._transport.route import Route

from .load import RequestKind, Requests
from .turns import Contestant

_TIMEOUT_S: Final = 30.0


class PlainRequests:
    """Requests whose replies stay the bytes that they came as, many under way at a time: what the server reaches."""

    def __init__(self, route: Route, kind: RequestKind) -> None:
        """Asks nothing yet.

        Args:
            route: to the server.
            kind: what to ask for.
        """
        self._route = route
        self._kind = kind
        self._requests = Requests(kind)
        self._connections = Connections(route.access)

    def take(self, num_in_flight: int) -> Generator[int]:
        """Has so many requests under way. Raises RequestError where the server refuses one."""
        generate: Any = self._connections.to(self._route.address).channel.unary_unary(self._kind.method)
        under_route = deque(self._ask(generate) for _ in range(num_in_flight))
        try:
            while True:
                under_route.popleft().result()
                under_route.append(self._ask(generate))
                yield self._kind.num_samples
        except grpc.RpcError as error:
            raise request_error(error, self._route.address, _TIMEOUT_S) from None
        finally:
            for call in under_route:
                call.cancel()

    def close(self) -> None:
        """Closes the channel."""
        self._connections.close()

    def _ask(self, generate: Any) -> Any:
        return generate.future(self._requests.take(), timeout=_TIMEOUT_S, metadata=self._route.metadata())


def batches(client: Client, *, size: int, prefetch: int, seed: int) -> Contestant:
    """By `Client.batches`."""
    return _resuming(lambda first: client.batches(size, prefetch=prefetch, seed=seed, first_index=first))


def stream(client: Client, *, size: int, seed: int) -> Contestant:
    """By `Client.stream`."""
    return _resuming(lambda first: client.stream(batch_size=size, seed=seed, first_index=first))


def single_samples(client: Client, *, seed: int) -> Contestant:
    """By `Client.generate`, one sample a call and one call at a time."""
    return _resuming(lambda first: (client.generate(1, seed=seed, first_index=i) for i in itertools.count(first)))


def _resuming(begin: Callable[[int], Iterator[Samples]]) -> Contestant:
    """Begins each turn at the index behind the last sample of the turn before."""
    next_index = 0

    def take() -> Generator[int]:
        nonlocal next_index
        with closing(cast("Generator[Samples]", begin(next_index))) as arrivals:
            for samples in arrivals:
                next_index += len(samples)
                yield len(samples)

    return take
