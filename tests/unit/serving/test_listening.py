from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import pytest

from ganserve.contract.errors import ConfigError
from ganserve.serving.listening import bind, check_address, check_exposure


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for a UNIX socket."""
    with TemporaryDirectory(prefix="gs") as name:
        yield Path(name)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:0", "0.0.0.0:65535", "localhost:50051", "[::1]:80", "[fe80::1%eth0]:80", "unix:a.sock", "unix:///a/b"],
)
def test_addresses_that_can_be_listened_on(address: str) -> None:
    check_address(address)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:70000", "ports go from 0, which takes a free one, to 65535"),
        ("127.0.0.1:65536", "ports go from 0"),
        ("127.0.0.1", "give host:port"),
        ("127.0.0.1:", "give host:port"),
        (":50051", "give host:port"),
        ("::1:50051", "give host:port"),
        ("http://127.0.0.1:80", "give host:port"),
        ("127.0.0.1:-1", "give host:port"),
        ("a b:80", "give host:port"),
        ("unix:", "give unix:path"),
        ("unix://host/path", "give unix:path"),
        ("unix:/" + "x" * 107, "of up to 107 bytes"),
    ],
)
def test_others_are_refused(address: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_address(address)
    assert str(caught.value).startswith(f"--listen {address}: ")
    assert message in str(caught.value)


def listen(address: str) -> str:
    """Binds and starts a server, reaches it, and stops it; gives the address that it got."""

    async def run() -> str:
        server = grpc.aio.server()
        try:
            bound = bind(server, address, grpc.insecure_server_credentials())
            await server.start()
            async with grpc.aio.insecure_channel(bound) as channel:
                await channel.channel_ready()
            return bound
        finally:
            await server.stop(0)

    return asyncio.run(asyncio.wait_for(run(), 30))


def test_port_0_is_a_free_one() -> None:
    bound = listen("127.0.0.1:0")
    assert int(bound.rpartition(":")[2]) > 0


def test_a_socket_that_a_killed_server_left_is_taken_over(folder: Path) -> None:
    path = folder / "a.sock"
    with socket.socket(socket.AF_UNIX) as former:
        former.bind(str(path))
    assert path.exists()
    for address in (f"unix:{path}", f"unix://{path}"):
        assert listen(address) == address
        assert not path.exists()


def test_a_socket_that_is_in_use_is_left_alone(folder: Path) -> None:
    path = folder / "a.sock"
    with socket.socket(socket.AF_UNIX) as former:
        former.bind(str(path))
        former.listen()
        with pytest.raises(ConfigError, match=f"--listen unix:{path}: a server is listening there; stop it"):
            listen(f"unix:{path}")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_file_that_is_no_socket_is_left_alone(folder: Path) -> None:
    path = folder / "notes"
    path.write_text("notes")
    with pytest.raises(ConfigError, match="there is a file of that name, which is no socket"):
        listen(f"unix:{path}")
    assert path.read_text() == "notes"


def test_a_folder_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match="its folder may be missing"):
        listen(f"unix:{folder / 'nowhere' / 'a.sock'}")


@pytest.mark.parametrize(
    "address", ["127.0.0.1:0", "127.9.9.9:1", "localhost:1", "[::1]:80", "[::ffff:127.0.0.1]:1", "unix:a.sock"]
)
def test_nobody_else_reaches_a_loopback_address(address: str) -> None:
    check_exposure(address, flag="--listen")


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:1", "10.0.0.1:1", "[fe80::1%lo]:1", "[::ffff:10.0.0.1]:1"])
def test_where_others_do_it_must_be_wanted(address: str) -> None:
    with pytest.raises(
        ConfigError, match=r"other machines can reach it.*give --tls-cert and --tls-key or.*--plaintext"
    ):
        check_exposure(address, flag="--listen")


def test_a_name_is_as_safe_as_all_of_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"here": ["127.0.1.1", "::1"], "localhost": ["127.0.0.1", "10.0.0.1"]}

    def look_up(host: str, *_: object) -> list[tuple[object, ...]]:
        if host not in names:
            raise socket.gaierror
        return [(0, 0, 0, "", (address, 0)) for address in names[host]]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    check_exposure("here:1", flag="--listen")
    with pytest.raises(ConfigError, match="other machines can reach it"):
        check_exposure("localhost:1", flag="--listen")
    with pytest.raises(ConfigError, match="--listen nowhere:1: this machine knows no host 'nowhere'"):
        check_exposure("nowhere:1", flag="--listen")
