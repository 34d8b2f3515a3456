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
from ganserve.v1 import generator_pb2
from ganserve.v1.generator_pb2 import (
    GenerateRequest,
    ImageEncoding,
    ImageFormat,
    ModelSelector,
    SampleAddress,
    SampleQuery,
)
from ganserve.v1.model_pb2 import ModelIdentity

from .turns import Contestant

_TIMEOUT_S: Final = 30.0
_SERVICE: Final = generator_pb2.DESCRIPTOR.services_by_name["GeneratorService"]
_GENERATE: Final = f"/{_SERVICE.full_name}/Generate"
_RAW: Final = ImageEncoding(format=ImageFormat.IMAGE_FORMAT_RAW)


class PlainRequests:
    """Requests whose replies stay the bytes that they came as, many under way at a time: what the server reaches."""

    def __init__(self, address: str, model: ModelIdentity, *, size: int, seed: int) -> None:
        """Asks nothing yet.

        Args:
            address: of the server, as `parse_addresses` gives it.
            model: whom to ask.
            size: samples a request.
            seed: of the samples.
        """
        self._address = address
        self._model = ModelSelector(name=model.name, version=model.version, digest=model.digest)
        self._size = size
        self._seed = seed
        self._connections = Connections()
        self._first_indices = itertools.count(0, size)

    def take(self, num_in_flight: int) -> Generator[int]:
        """Has so many requests under way. Raises RequestError where the server refuses one."""
        generate: Any = self._connections.to(self._address).channel.unary_unary(_GENERATE)
        under_way = deque(self._ask(generate) for _ in range(num_in_flight))
        try:
            while True:
                under_way.popleft().result()
                under_way.append(self._ask(generate))
                yield self._size
        except grpc.RpcError as error:
            raise request_error(error, self._address, _TIMEOUT_S) from None
        finally:
            for call in under_way:
                call.cancel()

    def close(self) -> None:
        """Closes the channel."""
        self._connections.close()

    def _ask(self, generate: Any) -> Any:
        address = SampleAddress(seed=self._seed, first_index=next(self._first_indices), count=self._size)
        query = SampleQuery(model=self._model, address=address, encoding=_RAW)
        return generate.future(GenerateRequest(query=query).SerializeToString(), timeout=_TIMEOUT_S)


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
