"""One tree of errors, and the one table between request errors and gRPC statuses.

GanserveError                     exit code
├── ConfigError                   2   a flag, a config value or a missing extra
├── ArtifactError                 3   a file or folder that is missing, torn, altered or not what it should be
│   ├── DatasetError              3
│   └── ParityError               4   an exported model that differs from its generator
├── DivergenceError               6   training that is no longer finite, after all that could be tried
└── RequestError                  5   a request that was not answered; each subclass names its gRPC status
    ├── InvalidRequestError       2   INVALID_ARGUMENT
    ├── NotFoundError                 NOT_FOUND
    ├── PreconditionError             FAILED_PRECONDITION
    ├── OverloadedError               RESOURCE_EXHAUSTED
    ├── DeadlineError                 DEADLINE_EXCEEDED
    ├── CallCancelledError                CANCELLED
    ├── UnavailableError              UNAVAILABLE
    ├── UnsupportedError              UNIMPLEMENTED
    ├── AccessError                   PERMISSION_DENIED
    │   └── UnauthenticatedError      UNAUTHENTICATED
    └── ServerError                   INTERNAL and every other status
"""

from __future__ import annotations

from typing import Any, ClassVar


class GanserveError(Exception):
    """Base of all errors that ganserve raises on purpose. Its text says what is wrong, where, and how to mend it."""

    exit_code: ClassVar[int] = 1


class ConfigError(GanserveError):
    """A flag or config value that cannot be used, or an extra that is not installed."""

    exit_code = 2


class ArtifactError(GanserveError):
    """A file or folder that is missing, torn, altered or not what it should be."""

    exit_code = 3


class DatasetError(ArtifactError):
    """Images that cannot be trained on. The text lists the offending files."""


class ParityError(ArtifactError):
    """An exported model whose images differ from its generator's."""

    exit_code = 4


class DivergenceError(GanserveError):
    """Training whose losses, gradients or weights are no longer finite."""

    exit_code = 6


class RequestError(GanserveError):
    """A request that was not answered.

    Attributes:
        field: dotted path of the request field at fault, such as ``query.address.count``; empty where there is none.
        retry_after_s: seconds after which the server suggests another try, or None.
        request_id: by which the server's log knows the call; empty where the server did not say.
        partial: of a client's call for samples, a `ganserve.client.Partial`: what came before it failed; else None.
    """

    exit_code = 5
    status: ClassVar[str] = "UNKNOWN"

    def __init__(self, message: str, *, field: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.retry_after_s = retry_after_s
        self.request_id = ""
        self.partial: Any = None  # its type belongs to the client, of which the contract knows nothing


class InvalidRequestError(RequestError):
    """The request itself is wrong; sending it again cannot help.

    On the command line it is a flag that cannot be used, whether that is found out here or by the server.
    """

    exit_code = 2
    status = "INVALID_ARGUMENT"


class NotFoundError(RequestError):
    """The server holds no such model or version."""

    status = "NOT_FOUND"


class PreconditionError(RequestError):
    """The server is not in the state that the request needs, such as a model of another digest."""

    status = "FAILED_PRECONDITION"


class OverloadedError(RequestError):
    """The server has more work than it may queue. Try again after `retry_after_s`."""

    status = "RESOURCE_EXHAUSTED"


class DeadlineError(RequestError):
    """The time allowed ran out, or would have before the work could be done."""

    status = "DEADLINE_EXCEEDED"


class CallCancelledError(RequestError):
    """The caller took the request back."""

    status = "CANCELLED"


class UnavailableError(RequestError):
    """No server answered, or it is stopping."""

    status = "UNAVAILABLE"


class UnsupportedError(RequestError):
    """The server does not know the method; it is not a ganserve server, or an older one."""

    status = "UNIMPLEMENTED"


class AccessError(RequestError):
    """The server does not answer this caller, or the caller does not trust the server: other credentials are wanted."""

    status = "PERMISSION_DENIED"


class UnauthenticatedError(AccessError):
    """The server does not know the caller: no token, or one that is not known or no longer."""

    status = "UNAUTHENTICATED"


class ServerError(RequestError):
    """The server failed in a way that it did not foresee."""

    status = "INTERNAL"


_OWN_STATUS: tuple[type[RequestError], ...] = (
    InvalidRequestError,
    NotFoundError,
    PreconditionError,
    OverloadedError,
    DeadlineError,
    CallCancelledError,
    UnavailableError,
    UnsupportedError,
    AccessError,
    UnauthenticatedError,
    ServerError,
)
_BY_STATUS: dict[str, type[RequestError]] = {
    **{error.status: error for error in _OWN_STATUS},
    "OUT_OF_RANGE": InvalidRequestError,
}


def request_error_type(status: str) -> type[RequestError]:
    """The error that stands for a gRPC status name such as ``NOT_FOUND``; `ServerError` for one without its own."""
    return _BY_STATUS.get(status, ServerError)
