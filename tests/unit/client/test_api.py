from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import ganserve.client
from ganserve.client import AsyncClient, Client
from ganserve.contract import errors

PUBLIC_NAMES = [
    "AccessError",
    "ArtifactError",
    "AsyncClient",
    "CancelledError",
    "Client",
    "ConfigError",
    "DeadlineError",
    "GanserveError",
    "ImageFormatName",
    "InvalidRequestError",
    "LabelsLike",
    "NotFoundError",
    "OverloadedError",
    "PreconditionError",
    "RequestError",
    "Samples",
    "ServerError",
    "UnavailableError",
    "UnsupportedError",
]
METHODS = ("close", "generate", "generate_from", "get_model", "list_models", "stream")


def public_methods(client: type) -> list[str]:
    return sorted(name for name in vars(client) if not name.startswith("_"))


def test_the_public_names() -> None:
    assert ganserve.client.__all__ == PUBLIC_NAMES
    assert all(hasattr(ganserve.client, name) for name in PUBLIC_NAMES)


def test_every_error_of_a_request_can_be_caught_by_its_public_name() -> None:
    request_errors = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.RequestError)
    }
    assert request_errors <= set(ganserve.client.__all__)


def test_both_clients_have_the_same_methods() -> None:
    assert tuple(public_methods(Client)) == tuple(public_methods(AsyncClient)) == METHODS


@pytest.mark.parametrize("name", ["__init__", *METHODS])
def test_both_clients_take_the_same_arguments(name: str) -> None:
    of_threads, of_asyncio = (inspect.signature(getattr(client, name)) for client in (Client, AsyncClient))
    assert list(of_threads.parameters.values()) == list(of_asyncio.parameters.values())
    assert of_threads.return_annotation == of_asyncio.return_annotation.replace("AsyncIterator", "Iterator")


@pytest.mark.parametrize("module", ["ganserve.client", "ganserve.cli", "ganserve.client.cli"])
def test_nothing_heavy_is_imported(module: str) -> None:
    code = f"""
import sys, {module}
heavy = ("torch", "onnx", "onnxruntime", "ganserve.training", "ganserve.exporter", "ganserve.serving")
sys.exit(", ".join(name for name in heavy if name in sys.modules) or 0)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
