"""`ganserve.v1.ModelAdminService`: a thin shell over `Administration`."""

from __future__ import annotations

from typing import Final

import grpc

from ganserve.v1 import admin_pb2
from ganserve.v1.admin_pb2 import (
    GetStatusRequest,
    GetStatusResponse,
    LoadModelRequest,
    LoadModelResponse,
    RemoveAliasRequest,
    RemoveAliasResponse,
    SetAliasRequest,
    SetAliasResponse,
    UnloadModelRequest,
    UnloadModelResponse,
)

from .administration import Administration
from .grpc_calls import Context

_SERVICE: Final = admin_pb2.DESCRIPTOR.services_by_name["ModelAdminService"]


class ModelAdminService:
    """The methods of the service, behind a `CallGate`, which turns the errors raised here into statuses."""

    name = _SERVICE.full_name
    descriptors = admin_pb2.DESCRIPTOR.pool

    def __init__(self, administration: Administration) -> None:
        self._administration = administration

    def rpc_handler(self) -> grpc.GenericRpcHandler:
        """What a gRPC server needs to route calls here."""
        unary = grpc.unary_unary_rpc_method_handler
        return grpc.method_handlers_generic_handler(
            self.name,
            {
                "LoadModel": unary(self.load_model, LoadModelRequest.FromString, LoadModelResponse.SerializeToString),
                "UnloadModel": unary(
                    self.unload_model, UnloadModelRequest.FromString, UnloadModelResponse.SerializeToString
                ),
                "SetAlias": unary(self.set_alias, SetAliasRequest.FromString, SetAliasResponse.SerializeToString),
                "RemoveAlias": unary(
                    self.remove_alias, RemoveAliasRequest.FromString, RemoveAliasResponse.SerializeToString
                ),
                "GetStatus": unary(self.get_status, GetStatusRequest.FromString, GetStatusResponse.SerializeToString),
            },
        )

    async def load_model(self, request: LoadModelRequest, context: Context) -> LoadModelResponse:  # noqa: ARG002
        """LoadModel."""
        version = request.version if request.HasField("version") else None
        return LoadModelResponse(model=await self._administration.load(request.name, version))

    async def unload_model(self, request: UnloadModelRequest, context: Context) -> UnloadModelResponse:  # noqa: ARG002
        """UnloadModel."""
        version = request.version if request.HasField("version") else None
        return UnloadModelResponse(versions=await self._administration.unload(request.name, version))

    async def set_alias(self, request: SetAliasRequest, context: Context) -> SetAliasResponse:  # noqa: ARG002
        """SetAlias."""
        former = await self._administration.move_alias(request.name, request.alias, request.version)
        return SetAliasResponse(former_version=former)

    async def remove_alias(self, request: RemoveAliasRequest, context: Context) -> RemoveAliasResponse:  # noqa: ARG002
        """RemoveAlias."""
        former = await self._administration.move_alias(request.name, request.alias, None)
        return RemoveAliasResponse(former_version=former or 0)

    async def get_status(self, request: GetStatusRequest, context: Context) -> GetStatusResponse:  # noqa: ARG002
        """GetStatus."""
        return GetStatusResponse(models=await self._administration.status())
