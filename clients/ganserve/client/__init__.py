"""Asks ganserve servers for samples.

    from ganserve.client import Client

    with Client("127.0.0.1:50051", model="digits") as client:
        batch = client.generate(64, seed=7, labels="balanced", truncation=1.5)
        batch.numpy()  # uint8 (64, height, width, channels)

A sample is an address: the same model, seed, index, labels and truncation give the same image, whoever asks, however
often. So calls are repeated safely, and a seed that nobody gave is drawn by the client before its first attempt.

`Client` is for threads and processes, `AsyncClient` for asyncio. In a forked process, such as a `DataLoader` worker,
use `Client`: it opens channels of its own in every process.
"""

from ganserve.contract.errors import (
    AccessError,
    ArtifactError,
    CallCancelledError,
    ConfigError,
    DeadlineError,
    GanserveError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    PreconditionError,
    RequestError,
    ServerError,
    UnavailableError,
    UnsupportedError,
)

from ._async_client import AsyncClient
from ._client import Client
from ._labels import LabelsLike
from ._model_info import ModelInfo
from ._requests import ImageFormatName
from ._samples import Samples

__all__ = [
    "AccessError",
    "ArtifactError",
    "AsyncClient",
    "CallCancelledError",
    "Client",
    "ConfigError",
    "DeadlineError",
    "GanserveError",
    "ImageFormatName",
    "InvalidRequestError",
    "LabelsLike",
    "ModelInfo",
    "NotFoundError",
    "OverloadedError",
    "PreconditionError",
    "RequestError",
    "Samples",
    "ServerError",
    "UnavailableError",
    "UnsupportedError",
]
