"""The names and signatures that people's code relies on. A change here is a change for them."""

from __future__ import annotations

import inspect
from types import ModuleType

import pytest

import ganserve.client
import ganserve.client.torch
import ganserve.dump
import ganserve.exporter
import ganserve.training
from ganserve.client import AsyncClient, Client
from ganserve.client._queries.options import SampleOptions
from ganserve.contract import errors

CLIENT_NAMES = [
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
METHODS = (
    "batches",
    "close",
    "for_model",
    "generate",
    "generate_from",
    "get_model",
    "interpolate",
    "list_models",
    "pinned",
    "profile",
    "resume",
    "score",
    "stream",
    "transform",
    "wait_until_ready",
)
OPTIONS_OF_OTHERS = {"self", "n", "timeout_s"}


def public_methods(client: type) -> list[str]:
    return sorted(name for name in vars(client) if not name.startswith("_"))


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (ganserve.client, CLIENT_NAMES),
        (
            ganserve.client.torch,
            [
                "ImageType",
                "MixedDataset",
                "SyntheticDataset",
                "SyntheticStream",
                "Transformed",
                "UnevenShareWarning",
                "mix",
            ],
        ),
        (
            ganserve.exporter,
            [
                "Convention",
                "Export",
                "ExportWarning",
                "Licences",
                "Scorer",
                "Target",
                "export",
                "export_run",
                "export_scorer",
                "import_onnx",
                "rename",
                "scorers_of",
            ],
        ),
        (ganserve.dump, ["Plan", "make_plan", "read_dump", "write_dump", "write_shard"]),
        (
            ganserve.training,
            ["RunSummary", "TrainingConfig", "load_generator", "resume_training", "training_from_config"],
        ),
    ],
)
def test_the_public_names(module: ModuleType, names: list[str]) -> None:
    assert module.__all__ == names
    assert all(hasattr(module, name) for name in names)


def test_every_error_of_a_request_can_be_caught_by_its_public_name() -> None:
    request_errors = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.RequestError)
    }
    assert request_errors <= set(ganserve.client.__all__)


def test_both_clients_have_the_same_methods() -> None:
    assert tuple(public_methods(AsyncClient)) == METHODS
    assert sorted({*METHODS, "submit"}) == public_methods(Client)  # of an AsyncClient's call, a task is made


def test_what_other_methods_take_is_what_generate_takes() -> None:
    of_generate = set(inspect.signature(Client.generate).parameters) - OPTIONS_OF_OTHERS
    assert set(SampleOptions.__annotations__) == of_generate


@pytest.mark.parametrize("name", ["__init__", *METHODS])
def test_both_clients_take_the_same_arguments(name: str) -> None:
    of_threads, of_asyncio = (inspect.signature(getattr(client, name)) for client in (Client, AsyncClient))
    assert list(of_threads.parameters.values()) == list(of_asyncio.parameters.values())
    assert of_threads.return_annotation == of_asyncio.return_annotation.replace("Async", "")
