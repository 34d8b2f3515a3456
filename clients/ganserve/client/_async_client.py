"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

import grpc
from numpy.typing import ArrayLike

from ganserve.contract.errors import DeadlineError, UnavailableError
from ganserve.contract.images import ImageFormatName
from ganserve.v1.generator_pb2 import (
    GenerateRequest,
    GenerateResponse,
    ListModelsRequest,
    SampleQuery,
    StreamSamplesRequest,
    StreamSamplesResponse,
)
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub
from ganserve.v1.model_pb2 import ServedModel

from ._channel import channel_options, channel_target
from ._core import Core
from ._deadline import Deadline, too_slow
from ._labels import CountsLike, LabelsLike
from ._parts import MAX_IN_FLIGHT, first_part, generate_request, later_parts
from ._replies import whole_reply
from ._requests import IndicesLike
from ._samples import Samples
from ._stream import StreamCursor

if TYPE_CHECKING:
    from ganserve.v1.generator_pb2_grpc import GeneratorServiceAsyncStub


class AsyncClient:
    """Asks ganserve servers for samples, from the tasks of one event loop.

    Takes the same arguments and raises the same errors as `Client`. It connects when it is first used, and does not
    survive a fork.
    """

    def __init__(
        self,
        target: str | Sequence[str],
        *,
        model: str | None = None,
        version: int | None = None,
        digest: str = "",
        timeout_s: float = 30.0,
    ) -> None:
        """As `Client`."""
        self._core = Core(target, model, version, digest, timeout_s)
        self._closed = False
        self._connection: _Connection | None = None

    async def generate(
        self,
        n: int | None = None,
        *,
        seed: int | None = None,
        first_index: int = 0,
        indices: IndicesLike | None = None,
        labels: LabelsLike | None = None,
        counts: CountsLike | None = None,
        truncation: float | None = None,
        format: ImageFormatName = "raw",  # noqa: A002
        quality: int | None = None,
        timeout_s: float | None = None,
    ) -> Samples:
        """As `Client.generate`."""
        query = self._core.addressed(
            n,
            seed=seed,
            first_index=first_index,
            indices=indices,
            labels=labels,
            counts=counts,
            truncation=truncation,
            format=format,
            quality=quality,
        )
        return await self._fetch(query, timeout_s)

    async def generate_from(
        self,
        latents: ArrayLike,
        *,
        labels: LabelsLike | None = None,
        format: ImageFormatName = "raw",  # noqa: A002
        quality: int | None = None,
        timeout_s: float | None = None,
    ) -> Samples:
        """As `Client.generate_from`."""
        query = self._core.explicit(latents, labels=labels, format=format, quality=quality)
        return await self._fetch(query, timeout_s)

    def stream(
        self,
        n: int | None = None,
        *,
        batch_size: int | None = None,
        seed: int | None = None,
        first_index: int = 0,
        labels: LabelsLike | None = None,
        counts: CountsLike | None = None,
        truncation: float | None = None,
        format: ImageFormatName = "raw",  # noqa: A002
        quality: int | None = None,
        timeout_s: float | None = None,
    ) -> AsyncIterator[Samples]:
        """As `Client.stream`."""
        query = self._core.addressed(
            n,
            seed=seed,
            first_index=first_index,
            labels=labels,
            counts=counts,
            truncation=truncation,
            format=format,
            quality=quality,
            endless=True,
        )
        return self._follow(StreamCursor(query, batch_size), self._core.wait_s(timeout_s))

    async def get_model(self, *, timeout_s: float | None = None) -> ServedModel:
        """As `Client.get_model`."""
        with self._core.call(timeout_s) as deadline:
            return await self._ask_for_model(deadline)

    async def list_models(self, *, timeout_s: float | None = None) -> list[ServedModel]:
        """As `Client.list_models`."""
        with self._core.call(timeout_s) as deadline:
            stub = await self._stub()
            reply = await stub.ListModels(ListModelsRequest(), timeout=deadline.left_s())
            return list(reply.models)

    async def close(self) -> None:
        """As `Client.close`."""
        self._closed = True
        connection, self._connection = self._connection, None
        if connection:
            await connection.channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _fetch(self, query: SampleQuery, timeout_s: float | None) -> Samples:
        with self._core.call(timeout_s) as deadline:
            model = self._core.served or await self._ask_for_model(deadline)
            most = model.max_samples_per_request
            (first,) = [samples async for samples in self._ask([first_part(query, most)], deadline)]
            later = self._ask(later_parts(query, most, first.model.digest), deadline)
            return Samples.join([first, *[samples async for samples in later]])

    async def _ask(self, queries: Iterable[SampleQuery], deadline: Deadline) -> AsyncIterator[Samples]:
        """Answers in the order of the queries, a few of which are under way at a time."""
        stub = await self._stub()
        pending: deque[_Pending] = deque()
        try:
            for query in queries:
                if len(pending) == MAX_IN_FLIGHT:
                    yield await pending[0].samples()
                    pending.popleft()
                pending.append(_Pending(query, stub.Generate(generate_request(query), timeout=deadline.left_s())))
            for answer in pending:
                yield await answer.samples()
        finally:
            for answer in pending:
                answer.call.cancel()

    async def _ask_for_model(self, deadline: Deadline) -> ServedModel:
        stub = await self._stub()
        reply = await stub.GetModel(self._core.model_request(), timeout=deadline.left_s())
        self._core.served = reply.model
        return reply.model

    async def _follow(self, cursor: StreamCursor, wait_s: float) -> AsyncIterator[Samples]:
        while cursor.unfinished:
            try:
                with self._core.call(wait_s):
                    async with aclosing(self._read(cursor, wait_s)) as replies:
                        async for samples in replies:
                            yield samples
            except UnavailableError as error:
                await asyncio.sleep(cursor.pause_s(error))

    async def _read(self, cursor: StreamCursor, wait_s: float) -> AsyncGenerator[Samples]:
        """What one StreamSamples call brings."""
        call = (await self._stub()).StreamSamples(cursor.request())
        try:
            while (reply := await _next_within(wait_s, call)) is not None:
                for samples in cursor.accept(reply.batch):
                    yield samples
            cursor.check_ended()
        finally:
            call.cancel()

    async def _stub(self) -> GeneratorServiceAsyncStub:
        """The stub on the channel, which is opened at need."""
        if self._closed:
            raise RuntimeError("this client is closed; make another")
        if self._connection is None:
            target = await asyncio.to_thread(channel_target, self._core.addresses)
            self._connection = self._connection or _Connection.open(target)
        return self._connection.stub


class _Connection(NamedTuple):
    channel: grpc.aio.Channel
    stub: GeneratorServiceAsyncStub

    @classmethod
    def open(cls, target: str) -> _Connection:
        channel = grpc.aio.insecure_channel(target, options=channel_options())
        return cls(channel, GeneratorServiceStub(channel))


class _Pending(NamedTuple):
    query: SampleQuery
    call: grpc.aio.UnaryUnaryCall[GenerateRequest, GenerateResponse]

    async def samples(self) -> Samples:
        return whole_reply(self.query, (await self.call).batch)


async def _next_within(
    wait_s: float, call: grpc.aio.UnaryStreamCall[StreamSamplesRequest, StreamSamplesResponse]
) -> StreamSamplesResponse | None:
    """The next reply, or None at the end. Raises DeadlineError when none comes in time."""
    try:
        reply = await asyncio.wait_for(call.read(), wait_s)
    except TimeoutError:
        raise DeadlineError(too_slow(wait_s)) from None
    return reply if isinstance(reply, StreamSamplesResponse) else None
