"""A proxy in the environment, which gRPC would send every call through."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganserve.client import UnavailableError

from .conftest import Connect
from .scripted import Script, ScriptedServer


class RefusingProxy:
    """Says 403 to whoever connects.

    Attributes:
        asked: what they said first.
    """

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://me:secret@127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._refuse)
        self._thread.start()

    def _refuse(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection:
                if (asked := connection.recv(1000)) == b"stop":
                    return
                self.asked.append(asked)
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

    def stop(self) -> None:
        with socket.create_connection(self._listener.getsockname()) as caller:
            caller.sendall(b"stop")
        self._thread.join()
        self._listener.close()


@pytest.fixture(params=["grpc_proxy", "https_proxy", "http_proxy"])
def proxy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[RefusingProxy]:
    for name in ("grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    proxy = RefusingProxy()
    monkeypatch.setenv(request.param, proxy.url)
    yield proxy
    proxy.stop()


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "localhost:{}", "dns:///localhost:{}", "ipv4:127.0.0.1:{}"])
def test_this_machine_is_asked_directly(
    connect: Connect, server: ScriptedServer, proxy: RefusingProxy, form: str
) -> None:
    assert len(connect(form.format(server.port)).generate(1)) == 1
    assert proxy.asked == []


def test_so_are_several_servers_on_it(connect: Connect, server: ScriptedServer, proxy: RefusingProxy) -> None:
    other = ScriptedServer(Script())
    client = connect([server.address, f"localhost:{other.port}"])
    assert len(client.generate(50)) == 50
    assert other.script.requests
    assert proxy.asked == []
    other.stop()


def test_so_is_a_socket_in_a_file(connect: Connect, proxy: RefusingProxy, tmp_path: Path) -> None:
    server = ScriptedServer(Script(), target=f"unix:{tmp_path}/ganserve.sock")
    assert len(connect(server.address).generate(1)) == 1
    server.stop()
    assert proxy.asked == []


def test_a_proxy_in_front_of_another_machine_is_told(connect: Connect, proxy: RefusingProxy) -> None:
    with pytest.raises(UnavailableError, match=r"gpu\.invalid:1 is unavailable through the proxy 127\.") as caught:
        connect("gpu.invalid:1", retry_for_s=0, timeout_s=10).generate(1)
    assert proxy.asked[0].startswith(b"CONNECT gpu.invalid:1 ")
    assert "no_proxy" in str(caught.value)
    assert "secret" not in str(caught.value)
