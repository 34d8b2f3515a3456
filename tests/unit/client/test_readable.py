"""What people see of a client and of models when they print them."""

from __future__ import annotations

import pytest

from ganserve.client import AsyncClient, Client

from .conftest import Connect
from .scripted import Script, ScriptedServer


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_client_shows_where_it_asks_and_for_what(kind: type[Client] | type[AsyncClient]) -> None:
    name = kind.__name__
    assert repr(kind(50051)) == f"{name}('127.0.0.1:50051', timeout_s=30)"
    assert repr(kind("a:1", model="digits")) == f"{name}('a:1', model='digits', timeout_s=30)"
    many = kind(["a:1", "b:2"], model="digits", version=3, digest="ab" * 32, timeout_s=0.5)
    assert repr(many) == f"{name}(['a:1', 'b:2'], model='digits', version=3, digest='{'ab' * 32}', timeout_s=0.5)"


def test_models_are_one_short_line_each(connect: Connect, server: ScriptedServer, script: Script) -> None:
    client = connect(server.address)
    (model,) = client.list_models()
    assert repr(model) == "<digits:2@abababababab, 4×5×1, 3 classes, mlp, serving>"
    assert model == client.get_model()
    assert (model.name, model.version, model.digest) == ("digits", 2, script.digest)
    assert (model.class_names, model.image_shape) == (("zero", "one", "two"), (4, 5, 1))
    assert model.card.metrics["fid"] == 12.5
    assert model.message == script.served()
    script.class_names = ()
    assert "no classes" in repr(client.get_model())
