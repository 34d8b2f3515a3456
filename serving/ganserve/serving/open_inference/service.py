"""`inference.GRPCInferenceService`: requests in, framed replies out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping
from importlib.metadata import version
from typing import Any, Final

import grpc

from ganserve.contract.errors import (
    InvalidRequestError,
    NotFoundError,
    PreconditionError,
    UnavailableError,
    UnsupportedError,
)
from ganserve.serving.administration import Administration
from ganserve.serving.answers import Answers
from ganserve.serving.callers import caller_of, when_sent
from ganserve.serving.grpc_calls import Context
from ganserve.serving.model import Model
from ganserve.v1.model_pb2 import ModelState

from . import inference_pb2
from .descriptions import config, metadata, statistics
from .inference_pb2 import (
    ModelConfigRequest,
    ModelConfigResponse,
    ModelInferRequest,
    ModelMetadataRequest,
    ModelMetadataResponse,
    ModelReadyRequest,
    ModelReadyResponse,
    ModelStatisticsRequest,
    ModelStatisticsResponse,
    RepositoryIndexRequest,
    RepositoryIndexResponse,
    RepositoryModelLoadRequest,
    RepositoryModelLoadResponse,
    RepositoryModelUnloadRequest,
    RepositoryModelUnloadResponse,
    ServerLiveRequest,
    ServerLiveResponse,
    ServerMetadataRequest,
    ServerMetadataResponse,
    ServerReadyRequest,
    ServerReadyResponse,
)
from .ordered import Replies, answer_in_order
from .replies import frame_reply
from .requests import own_fields, read_request, select
from .streaming import StreamedRequests

_VERSION: Final = version("ganserve")
_SERVICE: Final = inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
_EXTENSIONS: Final = ("model_configuration", "parameters", "schedule_policy", "statistics")
_STATES: Final[Mapping[ModelState.ValueType, str]] = {
    ModelState.MODEL_STATE_LOADING: "LOADING",
    ModelState.MODEL_STATE_SERVING: "READY",
    ModelState.MODEL_STATE_DRAINING: "UNLOADING",
    ModelState.MODEL_STATE_UNAVAILABLE: "UNAVAILABLE",
}
_NOT_OFFERED: Final = {
    **{
        f"{kind}SharedMemory{action}": "this server uses no shared memory; send and take tensors in messages"
        for kind in ("System", "Cuda")
        for action in ("Status", "Register", "Unregister")
    },
    "TraceSetting": "this server has no trace settings",
    "LogSettings": "this server has no log settings",
}
"""Triton's methods that its tools may try, and what they are told."""


class OpenInferenceService:
    """The methods of the service, behind a `CallGate`, which turns the errors raised here into statuses."""

    name = _SERVICE.full_name
    descriptors = inference_pb2.DESCRIPTOR.pool

    def __init__(self, answers: Answers, administration: Administration | None = None) -> None:
        """`administration` loads and unloads models, where callers may do so."""
        self._answers = answers
        self._administration = administration

    def rpc_handler(self) -> grpc.GenericRpcHandler:
        """What a gRPC server needs to route calls here."""
        handlers = {
            "ServerLive": _unary(self.server_live, ServerLiveRequest),
            "ServerReady": _unary(self.server_ready, ServerReadyRequest),
            "ModelReady": _unary(self.model_ready, ModelReadyRequest),
            "ServerMetadata": _unary(self.server_metadata, ServerMetadataRequest),
            "ModelMetadata": _unary(self.model_metadata, ModelMetadataRequest),
            "ModelInfer": grpc.unary_unary_rpc_method_handler(self.model_infer, ModelInferRequest.FromString),
            "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(
                self.model_stream_infer, ModelInferRequest.FromString
            ),
            "ModelConfig": _unary(self.model_config, ModelConfigRequest),
            "ModelStatistics": _unary(self.model_statistics, ModelStatisticsRequest),
            "RepositoryIndex": _unary(self.repository_index, RepositoryIndexRequest),
            "RepositoryModelLoad": _unary(self.repository_model_load, RepositoryModelLoadRequest),
            "RepositoryModelUnload": _unary(self.repository_model_unload, RepositoryModelUnloadRequest),
            **{method: _not_offered(text) for method, text in _NOT_OFFERED.items()},
        }
        return grpc.method_handlers_generic_handler(self.name, handlers)

    async def server_live(self, request: ServerLiveRequest, context: Context) -> ServerLiveResponse:  # noqa: ARG002
        """ServerLive."""
        return ServerLiveResponse(live=True)

    async def server_ready(self, request: ServerReadyRequest, context: Context) -> ServerReadyResponse:  # noqa: ARG002
        """ServerReady: at least one model can be asked."""
        return ServerReadyResponse(ready=self._answers.is_ready)

    async def model_ready(self, request: ModelReadyRequest, context: Context) -> ModelReadyResponse:  # noqa: ARG002
        """ModelReady; of a model that there is not, it is no."""
        try:
            model = self._find(request.name, request.version)
        except (NotFoundError, PreconditionError, UnavailableError):
            return ModelReadyResponse(ready=False)
        is_serving = self._answers.state == ModelState.MODEL_STATE_SERVING
        return ModelReadyResponse(ready=is_serving and not self._answers.trouble(model))

    async def server_metadata(
        self,
        request: ServerMetadataRequest,  # noqa: ARG002
        context: Context,  # noqa: ARG002
    ) -> ServerMetadataResponse:
        """ServerMetadata."""
        return ServerMetadataResponse(name="ganserve", version=_VERSION, extensions=_EXTENSIONS)

    async def model_metadata(self, request: ModelMetadataRequest, context: Context) -> ModelMetadataResponse:  # noqa: ARG002
        """ModelMetadata."""
        model = self._find(request.name, request.version)
        versions = [other.identity.version for other in self._answers.find_all() if other.identity.name == request.name]
        return metadata(model, versions)

    async def model_config(self, request: ModelConfigRequest, context: Context) -> ModelConfigResponse:  # noqa: ARG002
        """ModelConfig."""
        return ModelConfigResponse(config=config(self._find(request.name, request.version)))

    async def model_statistics(self, request: ModelStatisticsRequest, context: Context) -> ModelStatisticsResponse:  # noqa: ARG002
        """ModelStatistics: of one version, of all versions of a model, or of all models."""
        models = self._answers.find_all()
        if request.name:
            found = self._find(request.name, request.version)
            models = [found] if request.version else [m for m in models if m.identity.name == request.name]
        return ModelStatisticsResponse(model_stats=map(statistics, models))

    async def repository_index(self, request: RepositoryIndexRequest, context: Context) -> RepositoryIndexResponse:  # noqa: ARG002
        """RepositoryIndex."""
        _check_no_repository(request.repository_name)
        reply = RepositoryIndexResponse()
        for model in self._answers.models():
            state, reason = _STATES[model.state], model.state_reason
            if state == "READY" or not request.ready:
                identity = model.identity
                reply.models.add(name=identity.name, version=str(identity.version), state=state, reason=reason)
        return reply

    async def repository_model_load(
        self,
        request: RepositoryModelLoadRequest,
        context: Context,  # noqa: ARG002
    ) -> RepositoryModelLoadResponse:
        """RepositoryModelLoad: the highest version that lies in the server's folder."""
        administration = self._administrate(request, takes=())
        with own_fields({"version": "model_name"}):
            await administration.load(request.model_name, None)
        return RepositoryModelLoadResponse()

    async def repository_model_unload(
        self,
        request: RepositoryModelUnloadRequest,
        context: Context,  # noqa: ARG002
    ) -> RepositoryModelUnloadResponse:
        """RepositoryModelUnload: all versions."""
        administration = self._administrate(request, takes=("unload_dependents",))
        with own_fields({"version": "model_name"}):
            await administration.unload(request.model_name, None)
        return RepositoryModelUnloadResponse()

    async def model_infer(self, request: ModelInferRequest, context: Context) -> bytes:
        """ModelInfer; the reply is a serialised ModelInferResponse."""
        with own_fields():
            ask = await read_request(request)
            caller = ask.adjust(caller_of(context))
            return frame_reply(await self._answers.samples(ask.query, caller, when_sent(context)), request)

    def model_stream_infer(self, requests: AsyncGenerator[ModelInferRequest, None], context: Context) -> Replies:
        """ModelStreamInfer; the replies are serialised ModelStreamInferResponses."""
        return answer_in_order(requests, StreamedRequests(self._answers, context).begin)

    def _find(self, name: str, version: str) -> Model:
        with own_fields({"query.model.name": "name"}):
            return self._answers.find(select(name, version, field="version"), field="query.model")

    def _administrate(
        self, request: RepositoryModelLoadRequest | RepositoryModelUnloadRequest, *, takes: Collection[str]
    ) -> Administration:
        """What does it. Raises RequestError where callers may not, or ask for more than a name."""
        if self._administration is None:
            raise UnsupportedError(
                f"{request.model_name[:80]!r} is left as it is: this server loads its models when it starts, and not "
                "by request; --allow-admin would let it"
            )
        _check_no_repository(request.repository_name)
        if others := sorted(set(request.parameters) - set(takes)):
            raise InvalidRequestError(
                f"the parameter {others[0][:80]!r} does not go with a model that lies in the server's folder",
                field="parameters",
            )
        return self._administration


def _unary(answer: Any, request: Any) -> grpc.RpcMethodHandler[Any, Any]:
    return grpc.unary_unary_rpc_method_handler(answer, request.FromString, lambda reply: reply.SerializeToString())


def _not_offered(text: str) -> grpc.RpcMethodHandler[Any, Any]:
    async def refuse(request: bytes, context: Context) -> bytes:  # noqa: ARG001
        raise UnsupportedError(text)

    return grpc.unary_unary_rpc_method_handler(refuse, bytes, bytes)


def _check_no_repository(name: str) -> None:
    if name:
        raise InvalidRequestError("there is one repository here, without a name; leave it out", field="repository_name")
