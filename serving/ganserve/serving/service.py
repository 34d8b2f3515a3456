"""`ganserve.v1.GeneratorService`: requests in, framed replies out."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, Final, TypeAlias

import grpc

from ganserve.contract import images as codec
from ganserve.contract.card import image_shape
from ganserve.contract.errors import InvalidRequestError, RequestError, UnavailableError
from ganserve.contract.tensors import frame_reply
from ganserve.v1 import generator_pb2
from ganserve.v1.generator_pb2 import (
    GenerateRequest,
    GenerateResponse,
    GetModelRequest,
    GetModelResponse,
    ImageEncoding,
    ListModelsRequest,
    ListModelsResponse,
    SampleBatch,
    SampleQuery,
    StreamSamplesRequest,
)
from ganserve.v1.model_pb2 import ModelState

from .admission import ReplyBudget
from .repository import Model, Repository
from .sampling import Caller, Sampled, Sampler, stream_depth
from .sources import Source, open_source
from .status import status_code, status_details

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

SERVICE_NAME: Final = generator_pb2.DESCRIPTOR.services_by_name["GeneratorService"].full_name

_STREAM_REPLY_BYTES: Final = 1024**2
_STREAM_REPLY_SAMPLES: Final = 1024
_FILES_PER_TASK: Final = 16

_log = logging.getLogger(__name__)


class GeneratorService:
    """Answers the methods of the service. Replies are serialised here, for raw pixels without protobuf's copies."""

    def __init__(self, repository: Repository, *, workers: Executor, max_reply_bytes: int) -> None:
        """`workers` derive latents and encode images, off the event loop."""
        self.state = ModelState.MODEL_STATE_LOADING
        self._repository = repository
        self._sampler = Sampler(workers)
        self._workers = workers
        self._budget = ReplyBudget(max_reply_bytes)
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
            model, source = self._open(request.query)
            if source.count > model.max_samples_per_request:
                raise InvalidRequestError(
                    f"{source.count} samples do not fit one reply; this model makes 1 to "
                    f"{model.max_samples_per_request} a Generate call; ask in several calls, or use StreamSamples",
                    field="query.latents.values" if source.seed is None else "query.address.count",
                )
            self._reserve(source.count * _sample_bytes(model), context)
            sampled = await self._sampler.sample(model, source, _caller(context))
            return await self._serialise(model, source, sampled, request.query.encoding)

    async def stream_samples(self, request: StreamSamplesRequest, context: Context) -> AsyncIterator[bytes]:
        """StreamSamples; the replies are serialised StreamSamplesResponses."""
        async with self._call(context):
            model, source = self._open(request.query)
            max_count = _samples_per_stream_reply(model, request)
            num_under_way = min(source.count, stream_depth(model, max_count) * max_count)
            self._reserve(num_under_way * _sample_bytes(model), context)
            async with aclosing(self._sampler.stream(model, source, max_count, _caller(context))) as stream:
                async for sampled in stream:
                    yield await self._serialise(model, source, sampled, request.query.encoding)

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

    def _open(self, query: SampleQuery) -> tuple[Model, Source]:
        self._require_ready()
        model = self._repository.resolve(query.model, field="query.model")
        codec.check_encoding(query.encoding)
        return model, open_source(query, model.card)

    def _require_ready(self) -> None:
        if self.state == ModelState.MODEL_STATE_LOADING:
            raise UnavailableError("the server is still loading its models; try again shortly", retry_after_s=1.0)

    def _reserve(self, num_bytes: int, context: Context) -> None:
        self._budget.take(num_bytes)
        context.add_done_callback(lambda _: self._budget.give_back(num_bytes))  # type: ignore[arg-type]

    async def _serialise(self, model: Model, source: Source, sampled: Sampled, encoding: ImageEncoding) -> bytes:
        batch = SampleBatch(
            model=model.identity,
            count=len(sampled.images),
            image=model.card.image,
            seed=source.seed,
            first_index=sampled.first_index,
            labels=None if sampled.labels is None else sampled.labels.tolist(),
            format=encoding.format or generator_pb2.IMAGE_FORMAT_RAW,
        )
        if codec.is_raw(encoding):
            return frame_reply(batch, sampled.images)
        batch.files.extend(await self._encode(sampled, encoding))
        # StreamSamplesResponse has the same one field.
        return GenerateResponse(batch=batch).SerializeToString()

    async def _encode(self, sampled: Sampled, encoding: ImageEncoding) -> list[bytes]:
        def encode_some(start: int) -> list[bytes]:
            return [codec.encode(image, encoding) for image in sampled.images[start : start + _FILES_PER_TASK]]

        loop = asyncio.get_running_loop()
        starts = range(0, len(sampled.images), _FILES_PER_TASK)
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


def _sample_bytes(model: Model) -> int:
    return math.prod(image_shape(model.card))


def _samples_per_stream_reply(model: Model, request: StreamSamplesRequest) -> int:
    fitting = min(_STREAM_REPLY_BYTES // _sample_bytes(model), _STREAM_REPLY_SAMPLES, model.max_samples_per_part)
    fitting = max(1, fitting)
    if not request.HasField("max_batch_size"):
        return fitting
    if request.max_batch_size == 0:
        raise InvalidRequestError("max_batch_size is 0; give at least 1, or leave it out", field="max_batch_size")
    return min(fitting, request.max_batch_size)
