"""The flags that say where samples come from, for every command that takes samples."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Group, Parameter

from ganserve.client._client import Client
from ganserve.client._local import LocalGenerator
from ganserve.client._samples.model_info import ModelInfo, short_name
from ganserve.contract.errors import ConfigError, PreconditionError

from .access import AccessOptions, access_arguments

DEFAULT_SERVER: Final = "127.0.0.1:50051"
MODEL: Final = Group("Model", sort_key=1)

Servers = Annotated[
    tuple[str, ...],
    Parameter(negative="", show_default=", ".join, group=MODEL),
]


@contextmanager
def open_source(
    model: str | None,
    bundle: Path | None,
    server: tuple[str, ...],
    *,
    version: int | None,
    digest: str,
    timeout_s: float,
    access: AccessOptions | None = None,
) -> Iterator[Client | LocalGenerator]:
    """Where samples come from: one model of a server, or a bundle that is run here.

    The model is found once, and no other answers from then on, so that what is read off its card, such as the names of
    its classes, holds for every sample, though another server may have another model by that name.

    Args:
        model: name, ``name:version`` or ``name:version@digest`` of a server's model; or None.
        bundle: folder of a bundle; or None. Exactly one of the two is given.
        server: addresses of servers.
        version: as for `Client`.
        digest: as for `Client`.
        timeout_s: as for `Client`.
        access: certificates and a token, for servers.

    Raises:
        ConfigError: flags that exclude each other.
        PreconditionError: no server has the model that the digest behind the @ says.
    """
    if (model is None) == (bundle is None):
        raise ConfigError("give --model, for a server's model, or --bundle, for a bundle to run here")
    if bundle is not None:
        if version is not None or digest or server != (DEFAULT_SERVER,) or access not in (None, AccessOptions()):
            raise ConfigError(
                "--bundle is run here; --server, --version, --digest and the flags for certificates and tokens go with "
                "--model"
            )
        with LocalGenerator(bundle) as generator:
            yield generator
        return
    name, beginning = split_digest(model or "")
    by = access_arguments(access)
    with Client(server, model=name, version=version, digest=digest, timeout_s=timeout_s, **by) as client:
        served = find_model(client, beginning)
    with Client(server, model=name, version=version, digest=served.digest, timeout_s=timeout_s, **by) as client:
        yield client


def split_digest(model: str) -> tuple[str, str]:
    """What stands before the @ of a model as it is printed, and the beginning of a digest behind it, if any.

    Raises ConfigError where there is no name, or no digest behind the @.
    """
    name, at, digest = model.partition("@")
    if not name:
        raise ConfigError(f"--model {model!r} names no model; give a model's name, as `ganserve models` lists them")
    if at and not re.fullmatch("[0-9a-f]{1,64}", digest):
        raise ConfigError(
            f"--model {model}: behind the @ comes the beginning of a digest; leave it out, or copy it again"
        )
    return name, digest


def find_model(client: Client, beginning: str) -> ModelInfo:
    """The client's model, whichever of its servers has one whose digest begins so.

    Raises:
        PreconditionError: none has.
        RequestError: as `Client.get_model` does.
    """
    served = client.get_model()
    if served.digest.startswith(beginning):
        return served
    for other in client.list_models():
        if (other.name, other.version) == (served.name, served.version) and other.digest.startswith(beginning):
            return other
    raise PreconditionError(f"the server has {short_name(served.identity)} and not the model @{beginning}")


def show_waiting() -> None:
    """Has the client say on standard error that it waits for a server."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("ganserve: %(message)s"))
    logging.getLogger("ganserve.client").handlers = [handler]
