"""What a token allows, and which methods need it."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from typing import Final


class Scope(StrEnum):
    """What a token allows its holder."""

    GENERATE = "generate"
    """To ask for models and samples."""

    ADMIN = "admin"
    """To change which models are served."""


ANY: Final = frozenset(Scope)

# A service that stands in neither table is for administrators: a new one is closed until somebody has thought about it.
_BY_SERVICE: Final = {
    # Open: what probes, load balancers and meshes send has no token. It tells whether a model serves, and nothing else.
    "grpc.health.v1.Health": None,
    "ganserve.v1.GeneratorService": frozenset({Scope.GENERATE}),
    "inference.GRPCInferenceService": frozenset({Scope.GENERATE}),
    "ganserve.v1.ModelAdminService": frozenset({Scope.ADMIN}),
    "grpc.channelz.v1.Channelz": frozenset({Scope.ADMIN}),
    "grpc.reflection.v1.ServerReflection": ANY,
    "grpc.reflection.v1alpha.ServerReflection": ANY,
}
_BY_METHOD: Final = {
    "/inference.GRPCInferenceService/RepositoryModelLoad": frozenset({Scope.ADMIN}),
    "/inference.GRPCInferenceService/RepositoryModelUnload": frozenset({Scope.ADMIN}),
}

# Of HTTP. What stands here is for probes and those who watch the server; all else shows models and samples.
_BY_PATH: Final = {"/livez": None, "/readyz": None, "/metrics": ANY}


@cache
def scopes_of(method: str) -> frozenset[Scope] | None:
    """The scopes of which a caller needs one; None where nobody needs a token.

    Args:
        method: `/package.Service/Method`, of those that the server has.
    """
    if method in _BY_METHOD:
        return _BY_METHOD[method]
    return _BY_SERVICE.get(method.split("/")[1], frozenset({Scope.ADMIN}))


def scopes_of_path(path: str) -> frozenset[Scope] | None:
    """The same for the path of a URL."""
    return _BY_PATH.get(path, frozenset({Scope.GENERATE}))
