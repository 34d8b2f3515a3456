"""Calls of `ganserve.v1.ModelAdminService`, which manages the models of one server."""

from __future__ import annotations

import math
from types import TracebackType
from typing import Any, Self

import grpc

from ganserve.contract.errors import UnsupportedError
from ganserve.v1.admin_pb2 import (
    GetStatusRequest,
    GetStatusResponse,
    LoadModelRequest,
    ModelStatus,
    RemoveAliasRequest,
    SetAliasRequest,
    UnloadModelRequest,
)
from ganserve.v1.admin_pb2_grpc import ModelAdminServiceStub

from .access import Access
from .channel import open_channel
from .errors import request_error


class Administrator:
    """Manages the models of a server that was started with `--allow-admin`.

    Nothing is asked twice. Every method raises a subclass of `RequestError` where it was not done.
    """

    def __init__(self, address: str, access: Access, timeout_s: float) -> None:
        """Sends nothing yet. Raises ConfigError where a certificate cannot be used."""
        self._address = address
        self._access = access
        self._timeout_s = timeout_s
        self._deadline_s = None if math.isinf(timeout_s) else timeout_s
        self._channel = open_channel(address, access.credentials(address))
        self._stub = ModelAdminServiceStub(self._channel)

    def load(self, name: str, version: int | None) -> ModelStatus:
        """Has a version loaded, or the highest in the server's folder, and waits until it serves."""
        reply = self._ask("LoadModel", LoadModelRequest(name=name, version=version))
        status: ModelStatus = reply.model
        return status

    def unload(self, name: str, version: int | None) -> list[int]:
        """Has a version unloaded, or all; tells which."""
        return list(self._ask("UnloadModel", UnloadModelRequest(name=name, version=version)).versions)

    def set_alias(self, name: str, alias: str, version: int) -> int | None:
        """Points an alias to a version; tells where it pointed before."""
        reply = self._ask("SetAlias", SetAliasRequest(name=name, alias=alias, version=version))
        return int(reply.former_version) if reply.HasField("former_version") else None

    def remove_alias(self, name: str, alias: str) -> int:
        """Removes an alias; tells where it pointed."""
        return int(self._ask("RemoveAlias", RemoveAliasRequest(name=name, alias=alias)).former_version)

    def status(self) -> GetStatusResponse:
        """All versions of all models, those in the folder that are not loaded included."""
        reply: GetStatusResponse = self._ask("GetStatus", GetStatusRequest())
        return reply

    def _ask(self, method: str, request: Any) -> Any:
        try:
            return getattr(self._stub, method)(request, timeout=self._deadline_s, metadata=self._access.metadata())
        except grpc.RpcError as error:
            failure = request_error(error, self._address, self._timeout_s)
            if isinstance(failure, UnsupportedError):
                raise UnsupportedError(
                    f"{self._address} lets nobody manage its models; start it with `ganserve serve --allow-admin`"
                ) from None
            raise failure from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()
