"""Asks ganserve servers for samples.

    from ganserve.client import Client

    with Client("127.0.0.1:50051", model="digits") as client:
        batch = client.generate(64, seed=7, labels="balanced", truncation=1.5)
        batch.numpy()  # uint8 (64, height, width, channels)

A sample is an address: the same model, seed, index, labels, truncation and spread give the same image, whoever asks,
however often. So calls are repeated safely, and a seed that nobody gave is drawn by the client before its first
attempt.

`Client` is for threads and processes, `AsyncClient` for asyncio. In a forked process, such as a `DataLoader` worker,
use `Client`: it opens channels of its own in every process. `LocalGenerator` makes the same samples in this process,
from a bundle and without a server.
"""

from ganserve.contract.errors import (
    AccessError,
    ArtifactError,
    CallCancelledError,
    ConfigError,
    DatasetError,
    DeadlineError,
    GanserveError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    PreconditionError,
    RequestError,
    ServerError,
    UnauthenticatedError,
    UnavailableError,
    UnsupportedError,
)
from ganserve.contract.images import ImageFormatName

from ._async_client import AsyncClient
from ._calls.partial import Partial
from ._calls.profile import CallProfile, Profile
from ._calls.retry_event import RetryEvent
from ._client import Client
from ._local import LocalGenerator
from ._queries.labels import CountsLike, LabelsLike
from ._queries.requests import IndicesLike, PriorityName
from ._sample_address import Address, address_of
from ._samples.model_info import ModelInfo
from ._samples.samples import Samples
from ._samples.scores import Scores
from ._source import SampleSource
from ._transport.access import TokenFile

__all__ = [
    "AccessError",
    "Address",
    "ArtifactError",
    "AsyncClient",
    "CallCancelledError",
    "CallProfile",
    "Client",
    "ConfigError",
    "CountsLike",
    "DatasetError",
    "DeadlineError",
    "GanserveError",
    "ImageFormatName",
    "IndicesLike",
    "InvalidRequestError",
    "LabelsLike",
    "LocalGenerator",
    "ModelInfo",
    "NotFoundError",
    "OverloadedError",
    "Partial",
    "PreconditionError",
    "PriorityName",
    "Profile",
    "RequestError",
    "RetryEvent",
    "SampleSource",
    "Samples",
    "Scores",
    "ServerError",
    "TokenFile",
    "UnauthenticatedError",
    "UnavailableError",
    "UnsupportedError",
    "address_of",
]
