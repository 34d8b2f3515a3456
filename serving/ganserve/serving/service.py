"""`ganserve.v1.GeneratorService`: requests in, framed replies out."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from typing import Any, Final, TypeAlias

import grpc

from ganserve.contract import images as codec
from ganserve.contract.bundle import IMAGES_OUTPUT
from ganserve.contract.errors import OverloadedError, RequestError, UnavailableError
from ganserve.contract.images import Images
from ganserve.contract.tensors import frame_reply
from ganserve.runtime.replies import describe_batch
from ganserve.runtime.sources import Source, open_source
from ganserve.v1 import generator_pb2
from ganserve.v1.generator_pb2 import (
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
from .repository import Model, Repository
from .sampling import Made, make_all, make_parts
from .scheduler import Caller
from .status import status_code, status_details

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

SERVICE_NAME: Final = generator_pb2.DESCRIPTOR.services_by_name["GeneratorService"].full_name

_FILES_PER_TASK: Final = 16

_log = logging.getLogger(__name__)


class GeneratorService:
    """Answers the methods of the service. Replies are serialised here, for raw pixels without protobuf's copies."""

    def __init__(self, repository: Repository, *, workers: Executor, max_reply_bytes: int) -> None:
        """`workers` encode images, off the event loop."""
        self.state = ModelState.MODEL_STATE_LOADING
        self._repository = repository
        self._workers = workers
        self._budget = Budget(max_reply_bytes)
        self._num_calls = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def rpc_handler(self) -> grpc.GenericRpcHandler:
        """What a gRPC server needs to route calls here."""
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        return grpc.method_handlers_generic_handler(
            SERVICE_NAME,
            {
                "Generate": unary(self.generate, GenerateRequest.FromString),
                "StreamSamples": stream(self.stream_samples, StreamSamplesRequest.FromString),
                "GetModel": unary(self.get_model, GetModelRequest.FromString, GetModelResponse.SerializeToString),
                "ListModels": unary(
                    self.list_models, ListModelsRequest.FromString, ListModelsResponse.SerializeToString
                ),
            },
        )

    async def generate(self, request: GenerateRequest, context: Context) -> bytes:
        """Generate; the reply is a serialised GenerateResponse."""
        async with self._call(context):
            with self._use(request.query) as (model, source):
                model.limits.check_request(source.count, field=source.count_field)
                self._reserve(model.limits.reply_bytes(source.count), context)
                made = await make_all(model, source, _caller(context))
                return await self._serialise(model, source, made, request.query.encoding)

    async def stream_samples(self, request: StreamSamplesRequest, context: Context) -> None:
        """StreamSamples; the replies are serialised StreamSamplesResponses.

        They are written, not yielded: gRPC leaves a generator behind, with all it holds, when its caller is gone.
        """
        async with self._call(context):
            with self._use(request.query) as (model, source):
                asked = request.max_batch_size if request.HasField("max_batch_size") else None
                part_size = model.limits.part_size(asked)
                parts = make_parts(model, source, part_size, _caller(context), self._budget)
                async with aclosing(parts):
                    async for made in parts:
                        await context.write(await self._serialise(model, source, made, request.query.encoding))

    async def get_model(self, request: GetModelRequest, context: Context) -> GetModelResponse:
        """GetModel."""
        async with self._call(context):
            self._require_ready()
            return GetModelResponse(model=self._repository.resolve(request.model, field="model").describe(self.state))

    async def list_models(self, request: ListModelsRequest, context: Context) -> ListModelsResponse:  # noqa: ARG002
        """ListModels."""
        async with self._call(context):
            self._require_ready()
            return ListModelsResponse(models=[model.describe(self.state) for model in self._repository])

    async def finished(self, *, timeout_s: float) -> None:
        """Waits until no call is under way, but no longer than that."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), timeout_s)

    @asynccontextmanager
    async def _call(self, context: Context) -> AsyncIterator[None]:
        """One call: counted until it has ended, and ended with the status of the error that its body raises."""
        self._num_calls += 1
        self._idle.clear()
        context.add_done_callback(self._on_call_done)  # type: ignore[arg-type]
        async with _refusals_as_statuses(context):
            yield

    def _on_call_done(self, _: object) -> None:
        self._num_calls -= 1
        if not self._num_calls:
            self._idle.set()

    @contextmanager
    def _use(self, query: SampleQuery) -> Iterator[tuple[Model, Source]]:
        """The model of a query, which stays open for as long as the body runs, and the query as a source."""
        self._require_ready()
        with self._repository.use(query.model, field="query.model") as model:
            codec.check_encoding(query.encoding)
            yield model, open_source(query, model.card)

    def _require_ready(self) -> None:
        if self.state == ModelState.MODEL_STATE_LOADING:
            raise UnavailableError("the server is still loading its models; try again shortly", retry_after_s=1.0)

    def _reserve(self, num_bytes: int, context: Context) -> None:
        """Sets bytes aside until the call has ended. Raises OverloadedError."""
        if not self._budget.has_room(num_bytes):
            raise OverloadedError(
                f"replies of {self._budget.taken} bytes are under way, and {num_bytes} more would exceed the "
                f"{self._budget.limit} that this server allows; try again shortly",
                retry_after_s=1.0,
            )
        self._budget.take(num_bytes)
        context.add_done_callback(lambda _: self._budget.give_back(num_bytes))  # type: ignore[arg-type]

    async def _serialise(self, model: Model, source: Source, made: Made, encoding: ImageEncoding) -> bytes:
        images = made.rows.columns[IMAGES_OUTPUT]
        batch = describe_batch(model.identity, model.card, source, made.start, made.rows, encoding)
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


@asynccontextmanager
async def _refusals_as_statuses(context: Context) -> AsyncIterator[None]:
    """Ends the call with the status of the error that its body raises."""
    try:
        yield
    except RequestError as error:
        await context.abort(status_code(error), str(error), status_details(error))
    except grpc.aio.AbortError:
        raise
    except Exception:  # noqa: BLE001 - the last resort: the log gets the traceback, the caller a status
        _log.exception("a call failed")
        await context.abort(grpc.StatusCode.INTERNAL, "the server failed on this call; its log says why")


def _caller(context: Context) -> Caller:
    remaining_s = context.time_remaining()
    deadline_s = None if remaining_s is None or math.isinf(remaining_s) else time.monotonic() + remaining_s
    return Caller(client=context.peer(), deadline_s=deadline_s)
