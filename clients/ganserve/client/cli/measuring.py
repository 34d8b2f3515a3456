"""What the commands that measure a server have in common: whom they ask, and where their figures go."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ganserve.client._client import Client
from ganserve.client._transport.access import Access
from ganserve.client._transport.addresses import parse_addresses
from ganserve.client._transport.route import Route
from ganserve.contract.files import new_file

from .access import AccessOptions, access_arguments
from .source import find_model, split_digest


@contextmanager
def open_only_server(
    address: str, model: str, *, timeout_s: float, access: AccessOptions | None
) -> Iterator[tuple[Client, Route]]:
    """A client of one model of one server, which answers, and the route there.

    Args:
        address: of the server.
        model: name, ``name:version`` or ``name:version@digest``.
        timeout_s: as for `Client`.
        access: certificates and a token.

    Raises:
        ConfigError: an address or a digest that cannot be used.
        PreconditionError: the server does not have the model that the digest behind the @ says.
        RequestError: as `Client.get_model` does.
    """
    (only_address,) = parse_addresses(address)
    name, beginning = split_digest(model)
    by = access_arguments(access)
    with Client(only_address, model=name, timeout_s=timeout_s, **by) as client:
        find_model(client, beginning)
        yield client, Route(only_address, Access.of([only_address], **by))


def write_figures(figures: dict[str, Any], path: Path) -> None:
    """Writes plain JSON values to a file, whole or not at all."""
    with new_file(path) as file:
        file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
