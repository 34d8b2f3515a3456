"""Requests of any content on the HTTP port: URLs, headers and bytes that are no HTTP at all."""

from __future__ import annotations

import random
import re
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest

from ..servers import ServerProcess, StartServer
from .conftest import Note, Size
from .methods import mutate
from .process import resident_mib

PATHS: Final = (
    "/",
    "/v1/models",
    "/v1/models/digits",
    "/v1/models/digits/samples/7/3.png?class=5&truncation=0.7",
    "/v1/models/plain:1/samples/7/0-8.png?columns=3&gap=2",
    "/v1/models/digits/interpolations/7:3/8:12.png?class=3&steps=5",
    "/metrics",
    "/livez",
    "/readyz",
)
METHODS: Final = ("GET", "GET", "GET", "HEAD", "POST", "PUT", "OPTIONS", "", "G\0T", "get")
VALUES: Final = ("-1", "0", "", "nan", "1e400", "9" * 400, "2**63", "..", "%00", "%ff", "{}", "a&b=c", "7:3", "0-99999")
HEADERS: Final = (
    "Accept: */*",
    "Accept: application/openmetrics-text; version=1.0.0",
    "Authorization: Bearer \xff",
    "Content-Length: -1",
    "Content-Length: 99999999999999999999",
    "Expect: 100-continue",
    'If-None-Match: *, W/"x", \'',
    "Range: bytes=5-1",
    "Transfer-Encoding: chunked",
    "Upgrade: h2c",
    "X-Long: " + "x" * 70_000,
    "no header at all",
)


@pytest.fixture
def http_server(models: Path, start_server: StartServer) -> Iterator[ServerProcess]:
    with start_server(models, "--http", "127.0.0.1:0") as server:
        yield server


def test_no_http_request_is_beyond_what_the_server_foresees(http_server: ServerProcess, size: Size, note: Note) -> None:
    (address,) = [match[1] for line in http_server.log if (match := re.search(r"HTTP on http://(\S+)", line))]
    rng = random.Random(1)  # noqa: S311 (keeps no secret)
    num_requests = size(300, 5_000)
    codes: Counter[str] = Counter()
    for path in PATHS:
        assert status_of(address, request("GET", path, [])) == "200", path
    before_mib = resident_mib(http_server.process.pid)
    for _ in range(num_requests):
        sent = any_request(rng)
        status = status_of(address, sent, patience_s=0.1)
        codes[status] += 1
        assert not status.startswith("5"), sent
    grown_mib = resident_mib(http_server.process.pid) - before_mib
    for path in PATHS:
        assert status_of(address, request("GET", path, [])) == "200", path
    assert http_server.stop() == 0
    note(
        fault=f"{num_requests:,} random and mutated HTTP requests",
        load="all routes of the HTTP port",
        expected="no 5xx, no crash, no growth",
        seen=f"{', '.join(f'{count:,} {status}' for status, count in codes.most_common())}; {grown_mib:+.0f} MiB",
    )
    assert grown_mib < 32
    assert not [line for line in http_server.log if "Traceback" in line]


def any_request(rng: random.Random) -> bytes:
    """A URL that is nearly sensible with headers that are not, or bytes that were a request once."""
    path = re.sub(
        r"[\w.]+", lambda part: rng.choice((part[0], part[0], part[0], rng.choice(VALUES))), rng.choice(PATHS)
    )
    if rng.random() < 0.2:
        path = quote(mutate(path.encode(), rng))
    sent = request(rng.choice(METHODS), path, rng.sample(HEADERS, rng.choice((0, 0, 1, 2))))
    return mutate(sent, rng) if rng.random() < 0.3 else sent


def request(method: str, path: str, headers: list[str]) -> bytes:
    """As it travels; the connection is for nothing else."""
    lines = (f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers, "", "")
    return "\r\n".join(lines).encode("latin-1")


def status_of(address: str, sent: bytes, *, patience_s: float = 30.0) -> str:
    """The status that comes, or what comes in its place: part of a request may be answered by nothing at all."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=patience_s) as connection:
        try:
            connection.sendall(sent)
            reply = connection.recv(4096)
        except TimeoutError:
            return "unanswered"
        except ConnectionError:
            return "closed"
    status = re.match(rb"HTTP/1\.1 (\d{3})", reply)
    return status[1].decode() if status else "closed"
