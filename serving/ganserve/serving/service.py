"""`ganserve.v1.GeneratorService`: requests in, framed replies out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Final

import grpc

from ganserve.contract import images as codec
from ganserve.contract.grpc_keys import CALL_TIMES_KEY, PROFILE_KEY
from ganserve.contract.tensors import frame_outcomes, frame_reply
from ganserve.v1 import generator_pb2
from ganserve.v1.generator_pb2 import (
    GenerateManyRequest,
    GenerateRequest,
    GenerateResponse,
    GetModelRequest,
    GetModelResponse,
    ListModelsRequest,
    ListModelsResponse,
    StreamSamplesRequest,
)

from .admission import Budget
from .answers import Answer, Answers
from .callers import caller_of, when_sent
from .grpc_calls import Context
from .joint_call import answer_jointly
from .limits import REPLY_BYTES
from .scheduler import Priority
from .stopwatch import Stopwatch

SERVICE_NAME: Final = generator_pb2.DESCRIPTOR.services_by_name["GeneratorService"].full_name

_PRIORITIES: Final = {
    generator_pb2.PRIORITY_INTERACTIVE: Priority.INTERACTIVE,
    generator_pb2.PRIORITY_BULK: Priority.BULK,
}


class GeneratorService:
    """The methods of the service, behind a `CallGate`, which turns the errors raised here into statuses.

    Replies are serialised here, for raw pixels without protobuf's copies.
    """

    name = SERVICE_NAME
    descriptors = generator_pb2.DESCRIPTOR.pool

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

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
        caller = caller_of(context, _priority(request.priority))
        reply = await self._serialise(await self._answers.samples(request.query, caller, when_sent(context)))
        caller.stopwatch.mark_encoded()
        if _wants_times(context):
            context.set_trailing_metadata(((CALL_TIMES_KEY, caller.stopwatch.times().SerializeToString()),))
        return reply

    async def generate_many(self, request: GenerateManyRequest, context: Context) -> bytes:
        """GenerateMany; the reply is a serialised GenerateManyResponse."""
        of_call = caller_of(context)
        room = Budget(REPLY_BYTES)

        async def answer(one: GenerateRequest, deadline_s: float | None) -> bytes:
            priority = _priority(one.priority)
            caller = replace(of_call, priority=priority, deadline_s=deadline_s, stopwatch=Stopwatch())
            reply = await self._serialise(await self._answers.samples(one.query, caller, when_sent(context), room=room))
            caller.stopwatch.mark_encoded()
            return reply

        return frame_outcomes(await answer_jointly(request.requests, of_call.deadline_s, answer))

    async def stream_samples(self, request: StreamSamplesRequest, context: Context) -> AsyncIterator[bytes]:
        """StreamSamples; the replies are serialised StreamSamplesResponses."""
        caller = caller_of(context, _priority(request.priority, Priority.BULK))
        asked = request.max_batch_size if request.HasField("max_batch_size") else None
        async with aclosing(self._answers.stream(request.query, caller, asked)) as parts:
            async for part in parts:
                yield await self._serialise(part)

    async def get_model(self, request: GetModelRequest, context: Context) -> GetModelResponse:  # noqa: ARG002
        """GetModel."""
        return GetModelResponse(model=self._answers.model(request.model, field="model"))

    async def list_models(self, request: ListModelsRequest, context: Context) -> ListModelsResponse:  # noqa: ARG002
        """ListModels."""
        return ListModelsResponse(models=self._answers.models())

    async def _serialise(self, answer: Answer) -> bytes:
        """A GenerateResponse; StreamSamplesResponse has the same one field."""
        batch = answer.describe()
        if answer.images is None:
            return GenerateResponse(batch=batch).SerializeToString()
        if codec.is_raw(answer.encoding):
            return frame_reply(batch, answer.images)
        batch.files.extend(await self._answers.encode(answer))
        return GenerateResponse(batch=batch).SerializeToString()


def _priority(asked: generator_pb2.Priority.ValueType, default: Priority = Priority.INTERACTIVE) -> Priority:
    return _PRIORITIES.get(asked, default)


def _wants_times(context: Context) -> bool:
    return any(key == PROFILE_KEY for key, _ in context.invocation_metadata() or ())
