"""The command `ganserve models`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Group, Parameter
from google.protobuf.json_format import MessageToJson

from ganserve.client._client import Client
from ganserve.console import open_console
from ganserve.contract.errors import ConfigError
from ganserve.flags import Timeout
from ganserve.v1.generator_pb2 import ListModelsResponse

from .access import AccessFlags, access_arguments
from .source import DEFAULT_SERVER, MODEL, Servers, find_model, split_digest
from .tables import card_table, model_table

_OUTPUT = Group("Output", sort_key=3)


def models(
    *,
    server: Servers = (DEFAULT_SERVER,),
    model: Annotated[str | None, Parameter(group=MODEL)] = None,
    version: Annotated[int | None, Parameter(group=MODEL)] = None,
    json: Annotated[bool, Parameter(negative="", show_default=False, group=_OUTPUT)] = False,
    timeout: Annotated[Timeout, Parameter(group=MODEL)] = 10.0,
    access: AccessFlags = None,
) -> None:
    """List the models of a server, or show one model's card.

    For example:

        ganserve models --server 127.0.0.1:50051
        ganserve models --model digits
        ganserve models --json

    Args:
        server: Address of a server, host:port. Give it several times for several servers.
        model: Name of one model, or name:version, whose card is shown.
        version: Version of that model; the alias stable, or else the highest, by default.
        json: Print JSON: a ListModelsResponse, or with --model a ServedModel.
        timeout: Most seconds to wait.
    """
    if version is not None and model is None:
        raise ConfigError("--version goes with --model")
    name, beginning = (None, "") if model is None else split_digest(model)
    by = access_arguments(access)
    with Client(server, model=name, version=version, timeout_s=timeout, retry_for_s=0, **by) as client:
        if model is not None:
            served = find_model(client, beginning)
            shown, message = card_table(served), MessageToJson(served.message, preserving_proto_field_name=True)
        else:
            every = client.list_models()
            reply = ListModelsResponse(models=[model.message for model in every])
            shown, message = model_table(every), MessageToJson(reply, preserving_proto_field_name=True)
    if json:
        print(message)
    else:
        open_console().print(shown)
