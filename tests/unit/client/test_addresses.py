from __future__ import annotations

import re
from typing import Any

import pytest

from ganserve.client import AsyncClient, Client, ConfigError
from ganserve.client._transport.addresses import is_local, parse_addresses, proxy_of

VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxy_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "target",
    [
        "127.0.0.1:50051",
        "localhost:1",
        "[::1]:65535",
        "dns:///name:50051",
        "unix:/run/ganserve.sock",
        "unix-abstract:ganserve",
        "ipv4:1.2.3.4:5",
        "grpcs://gpu.lan:50051",
        "grpcs://[::1]:1",
    ],
)
def test_one_address_goes_to_grpc_as_it_is(target: str) -> None:
    assert parse_addresses(target) == (target,)


@pytest.mark.parametrize(
    ("target", "addresses"),
    [
        (50051, ("127.0.0.1:50051",)),
        ("50051", ("127.0.0.1:50051",)),
        ([1, "a:2"], ("127.0.0.1:1", "a:2")),
        (["a:1", "b:2", "a:1"], ("a:1", "b:2")),
        (["unix:/a", "dns:///b:2"], ("unix:/a", "dns:///b:2")),
        ("grpc://a:1", ("a:1",)),
        (["grpcs://50051", "grpcs://a:1", "a:1"], ("grpcs://127.0.0.1:50051", "grpcs://a:1", "a:1")),
        ("ipv4:1.2.3.4:5,127.0.0.1:6", ("ipv4:1.2.3.4:5", "ipv4:127.0.0.1:6")),
    ],
)
def test_ports_lists_and_repeated_addresses(target: Any, addresses: tuple[str, ...]) -> None:
    assert parse_addresses(target) == addresses


@pytest.mark.parametrize(
    "target",
    [
        "",
        "localhost",
        "127.0.0.1",
        "127.0.0.1:",
        "a:b",
        "host:0",
        "host:65536",
        "::1:50051",
        "a:1,b:2",
        "http://a:1",
        "grpcs://a",
        "grpcs://a:1/b",
        "grpcs://unix:/a",
        "grpcs://grpcs://a:1",
        "grpcs:a:1",
    ],
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_text_that_is_no_address_is_refused(kind: Any, target: str) -> None:
    with pytest.raises(ConfigError, match=f"{re.escape(repr(target))} is no server address"):
        kind(target)


@pytest.mark.parametrize(
    "target",
    [[], 0, 65536, -1, True, None, 1.5, b"a:1", ["a:1", None], {"a:1"}],
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_what_is_no_address_is_refused_in_one_line(kind: Any, target: Any) -> None:
    with pytest.raises(ConfigError, match=r"server address") as caught:
        kind(target)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:1", "127.9.9.9:1", "localhost:1", "LOCALHOST.:1", "me.localhost:1", "[::1]:1", "[::ffff:127.0.0.1]:1"],
)
def test_a_loopback_address_is_this_machine(address: str) -> None:
    assert is_local(address)


@pytest.mark.parametrize(
    "address",
    [
        "grpcs://localhost:1",
        "0.0.0.0:1",
        "[::]:1",
        "unix:/a",
        "unix-abstract:a",
        "dns:///localhost:1",
        "dns:localhost:1",
        "ipv4:127.0.0.1:1",
    ],
)
def test_this_machine_is_reached_without_a_proxy(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    assert is_local(address)
    assert proxy_of(address) == ""


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1:1", "localhost.example:1", "[fe80::1]:1", "dns:///gpu.lan:1", "unixbox:1", "grpcs://unix.lan:1"],
)
def test_other_machines_are_not_this_one(address: str) -> None:
    assert not is_local(address)


@pytest.mark.parametrize(
    ("environment", "proxy"),
    [
        ({}, ""),
        ({"http_proxy": "http://a:1"}, "a:1, which http_proxy names"),
        ({"http_proxy": "http://a:1", "https_proxy": "http://b:2"}, "b:2, which https_proxy names"),
        ({"https_proxy": "http://b:2", "grpc_proxy": "http://me:secret@c"}, "c, which grpc_proxy names"),
        ({"http_proxy": "http://a:1", "no_proxy": "x, gpu.lan"}, ""),
        ({"http_proxy": "http://a:1", "no_proxy": ".LAN"}, ""),
        ({"http_proxy": "http://a:1", "no_proxy": ".example"}, "a:1, which http_proxy names"),
        ({"http_proxy": "http://a:1", "no_proxy": ".lan", "no_grpc_proxy": "x"}, "a:1, which http_proxy names"),
    ],
)
def test_the_proxy_that_grpc_takes_is_known(
    environment: dict[str, str], proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_of("gpu.lan:50051") == proxy_of("dns:///gpu.lan:50051") == proxy_of("grpcs://gpu.lan:50051") == proxy


@pytest.mark.parametrize(("network", "proxy"), [("10.0.0.0/8", ""), ("10.1.0.0/16", "a:1, which http_proxy names")])
def test_networks_are_taken_out_of_the_proxys(network: str, proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://a:1")
    monkeypatch.setenv("no_proxy", network)
    assert proxy_of("10.0.0.1:50051") == proxy
