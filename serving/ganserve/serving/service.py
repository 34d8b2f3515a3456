"""`ganserve.v1.GeneratorService`: requests in, framed replies out."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Sized
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import replace
from typing import Final

import grpc

from ganserve.contract import images as codec
from ganserve.contract.bundle import IMAGES_OUTPUT
from ganserve.contract.errors import InvalidRequestError, OverloadedError, UnavailableError
from ganserve.contract.grpc_keys import CALL_TIMES_KEY, PROFILE_KEY
from ganserve.contract.images import Images
from ganserve.contract.tensors import frame_outcomes, frame_reply
from ganserve.runtime.replies import describe_batch
from ganserve.runtime.sources import Source, open_source
from ganserve.v1 import generator_pb2
from ganserve.v1.generator_pb2 import (
    GenerateManyRequest,
    GenerateRequest,
    GenerateResponse,
    GetModelRequest,
    GetModelResponse,
    ImageEncoding,
    ListModelsRequest,
    ListModelsResponse,
    SampleQuery,
    StreamSamplesRequest,
)
from ganserve.v1.model_pb2 import ModelState

from .admission import Budget
from .call_gate import Context
from .joint_call import answer_jointly
from .limits import REPLY_BYTES
from .repository import Model, Repository
from .sampling import Made, make_all, make_parts
from .scheduler import Caller, Priority
from .stopwatch import Stopwatch

SERVICE_NAME: Final = generator_pb2.DESCRIPTOR.services_by_name["GeneratorService"].full_name

_PRIORITIES: Final = {
    generator_pb2.PRIORITY_INTERACTIVE: Priority.INTERACTIVE,
    generator_pb2.PRIORITY_BULK: Priority.BULK,
}
_FILES_PER_TASK: Final = 16
_ENTRIES_READ_AT_ONCE: Final = 1024


class GeneratorService:
    """Answers the methods of the service, behind a `CallGate`, which turns the errors raised here into statuses.

    Replies are serialised here, for raw pixels without protobuf's copies.
    """

    def __init__(
        self,
        repository: Repository,
        *,
        workers: Executor,
        max_reply_bytes: int,
        check_model: Callable[[Model], None],
    ) -> None:
        """
        Args:
            repository: the models.
            workers: encode images and read long requests, off the event loop.
            max_reply_bytes: most bytes of replies under way at once.
            check_model: raises a RequestError where a model cannot run.
        """
        self.state = ModelState.MODEL_STATE_LOADING
        self._repository = repository
        self._workers = workers
        self._budget = Budget(max_reply_bytes)
        self._check_model = check_model

    def rpc_handler(self) -> grpc.GenericRpcHandler:
        """What a gRPC server needs to route calls here."""
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        return grpc.method_handlers_generic_handler(
            SERVICE_NAME,
            {
                "Generate": unary(self.generate, GenerateRequest.FromString),
                "GenerateMany": unary(self.generate_many, GenerateManyRequest.FromString),
                "StreamSamples": stream(self.stream_samples, StreamSamplesRequest.FromString),
                "GetModel": unary(self.get_model, GetModelRequest.FromString, GetModelResponse.SerializeToString),
                "ListModels": unary(
                    self.list_models, ListModelsRequest.FromString, ListModelsResponse.SerializeToString
                ),
            },
        )

    async def generate(self, request: GenerateRequest, context: Context) -> bytes:
        """Generate; the reply is a serialised GenerateResponse."""
        if not _wants_times(context):
            return await self._answer(request, _caller(context, request.priority), context)
        stopwatch = Stopwatch()
        caller = replace(_caller(context, request.priority), stopwatch=stopwatch)
        reply = await self._answer(request, caller, context)
        stopwatch.mark_encoded()
        context.set_trailing_metadata(((CALL_TIMES_KEY, stopwatch.times().SerializeToString()),))
        return reply

    async def generate_many(self, request: GenerateManyRequest, context: Context) -> bytes:
        """GenerateMany; the reply is a serialised GenerateManyResponse."""
        of_call = _caller(context)
        room = Budget(REPLY_BYTES)

        async def answer(one: GenerateRequest, deadline_s: float | None) -> bytes:
            caller = replace(
                of_call, priority=_PRIORITIES.get(one.priority, Priority.INTERACTIVE), deadline_s=deadline_s
            )
            return await self._answer(one, caller, context, room)

        return frame_outcomes(await answer_jointly(request.requests, of_call.deadline_s, answer))

    async def stream_samples(self, request: StreamSamplesRequest, context: Context) -> AsyncIterator[bytes]:
        """StreamSamples; the replies are serialised StreamSamplesResponses."""
        model = self._find_model(request.query)
        with model.in_use:
            source = await self._read(request.query, model)
            asked = request.max_batch_size if request.HasField("max_batch_size") else None
            part_size = model.limits.part_size(asked)
            caller = _caller(context, request.priority, default=Priority.BULK)
            async with aclosing(make_parts(model, source, part_size, caller, self._budget)) as parts:
                async for made in parts:
                    yield await self._serialise(model, source, made, request.query.encoding)

    async def get_model(self, request: GetModelRequest, context: Context) -> GetModelResponse:  # noqa: ARG002
        """GetModel."""
        self._require_ready()
        return GetModelResponse(model=self._repository.resolve(request.model, field="model").describe(self.state))

    async def list_models(self, request: ListModelsRequest, context: Context) -> ListModelsResponse:  # noqa: ARG002
        """ListModels."""
        self._require_ready()
        return ListModelsResponse(models=[model.describe(self.state) for model in self._repository])

    async def _answer(
        self, request: GenerateRequest, caller: Caller, context: Context, room: Budget | None = None
    ) -> bytes:
        """A serialised GenerateResponse; where several share the `room` of one reply, one that has its place there."""
        model = self._find_model(request.query)
        with model.in_use:
            source = await self._read(request.query, model)
            model.limits.check_request(source.count, field=source.count_field)
            if room is not None:
                _take_room(room, model.limits.framed_bytes(source.count))
            self._reserve(model.limits.reply_bytes(source.count), caller, context)
            made = await make_all(model, source, caller)
            if caller.stopwatch:
                caller.stopwatch.mark_made()
            return await self._serialise(model, source, made, request.query.encoding)

    def _find_model(self, query: SampleQuery) -> Model:
        """The model of a query, where it can answer in the form asked for."""
        self._require_ready()
        model = self._repository.resolve(query.model, field="query.model")
        self._check_model(model)
        codec.check_encoding(query.encoding)
        return model

    async def _read(self, query: SampleQuery, model: Model) -> Source:
        """The query as a source. A list of millions of classes or indices must not hold up the other calls."""
        labels = query.labels
        lists: tuple[Sized, ...] = (
            labels.list.classes,
            labels.weighted.weights,
            labels.blocks.blocks,
            query.address.indices,
        )
        num_entries = sum(len(entries) for entries in lists)
        if num_entries <= _ENTRIES_READ_AT_ONCE:
            return open_source(query, model.card)
        return await asyncio.get_running_loop().run_in_executor(self._workers, open_source, query, model.card)

    def _require_ready(self) -> None:
        if self.state == ModelState.MODEL_STATE_LOADING:
            raise UnavailableError("the server is still loading its models; try again shortly", retry_after_s=1.0)

    def _reserve(self, num_bytes: int, caller: Caller, context: Context) -> None:
        """Sets bytes aside until the call has ended. Raises OverloadedError."""
        if not self._budget.has_room(num_bytes, caller.priority):
            raise OverloadedError(
                f"replies of {self._budget.taken} bytes are under way, and {num_bytes} more would exceed the "
                f"{self._budget.limit_of(caller.priority)} that this server allows"
                f"{' for bulk requests' if caller.priority is Priority.BULK else ''}; try again shortly",
                retry_after_s=1.0,
            )
        self._budget.take(num_bytes)
        context.add_done_callback(lambda _: self._budget.give_back(num_bytes))  # type: ignore[arg-type]

    async def _serialise(self, model: Model, source: Source, made: Made, encoding: ImageEncoding) -> bytes:
        images = made.rows.columns[IMAGES_OUTPUT]
        batch = describe_batch(model.loaded, source, made.start, made.rows, encoding)
        if codec.is_raw(encoding):
            return frame_reply(batch, images)
        batch.files.extend(await self._encode(images, encoding))
        # StreamSamplesResponse has the same one field.
        return GenerateResponse(batch=batch).SerializeToString()

    async def _encode(self, images: Images, encoding: ImageEncoding) -> list[bytes]:
        def encode_some(start: int) -> list[bytes]:
            return [codec.encode(image, encoding) for image in images[start : start + _FILES_PER_TASK]]

        loop = asyncio.get_running_loop()
        starts = range(0, len(images), _FILES_PER_TASK)
        parts = await asyncio.gather(*(loop.run_in_executor(self._workers, encode_some, start) for start in starts))
        return [file for part in parts for file in part]


def _wants_times(context: Context) -> bool:
    return any(key == PROFILE_KEY for key, _ in context.invocation_metadata() or ())


def _take_room(room: Budget, num_bytes: int) -> None:
    if not room.has_room(num_bytes):
        raise InvalidRequestError(
            "the samples of the requests in this call do not fit one reply; send this one by itself", field="requests"
        )
    room.take(num_bytes)


def _caller(
    context: Context,
    priority: generator_pb2.Priority.ValueType = generator_pb2.PRIORITY_UNSPECIFIED,
    default: Priority = Priority.INTERACTIVE,
) -> Caller:
    remaining_s = context.time_remaining()
    deadline_s = None if remaining_s is None or math.isinf(remaining_s) else time.monotonic() + remaining_s
    return Caller(client=context.peer(), priority=_PRIORITIES.get(priority, default), deadline_s=deadline_s)
