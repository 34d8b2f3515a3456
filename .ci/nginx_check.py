"""Puts a real nginx, with the configuration of `deploy/nginx`, in front of a real server, and asks through it.

nginx runs as whoever runs this, in a folder of its own and on free ports of the loopback interface.
"""

from __future__ import annotations

import getpass
import grp
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from local_server import WAIT_S, http_address, make_digits, run, serving

from ganserve.client import AccessError, Client
from ganserve.client._transport.access import Access
from ganserve.client._transport.administrator import Administrator

CONFIGURATION = Path(__file__).resolve().parents[1] / "deploy" / "nginx" / "ganserve.conf"
AROUND = """
daemon off;
user {user} {group};
pid {work}/nginx.pid;
error_log {work}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {work}/body;
    proxy_temp_path {work}/proxy;
    fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi;
    scgi_temp_path {work}/scgi;
    include {work}/ganserve.conf;
}}
"""
SELF_SIGNED = (
    *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"),
    *("-subj", "/CN=ganserve", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
    *("-keyout", "server.key", "-out", "server.pem"),
)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        run(*SELF_SIGNED, cwd=work)
        with (
            serving(make_digits(work), work, "--http", "127.0.0.1:0", "--allow-admin") as address,
            nginx(work, address) as port,
        ):
            check_grpc(port, address, work / "server.pem")
            check_administration(port, address, work / "server.pem")
            check_http(port, ssl.create_default_context(cafile=str(work / "server.pem")))
    print("nginx passes on gRPC and pictures, and keeps pictures")


@contextmanager
def nginx(work: Path, address: str) -> Iterator[int]:
    """nginx in front of the server; gives its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    text = CONFIGURATION.read_text()
    for printed, here in (
        ("127.0.0.1:50051", address),
        ("127.0.0.1:8080", http_address(work)),
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("/etc/ganserve/", f"{work}/"),
        ("/var/cache/nginx/ganserve", f"{work}/cache"),
    ):
        if printed not in text:
            sys.exit(f"{CONFIGURATION} has no {printed!r}")
        text = text.replace(printed, here)
    (work / "ganserve.conf").write_text(text)
    (work / "nginx.conf").write_text(
        AROUND.format(work=work, user=getpass.getuser(), group=grp.getgrgid(os.getgid()).gr_name)
    )
    words = ["nginx", "-p", str(work), "-c", str(work / "nginx.conf"), "-e", str(work / "error.log")]
    run(*words, "-t", "-q", cwd=work)
    process = subprocess.Popen(words, cwd=work)
    try:
        wait_until_open(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(WAIT_S)


def wait_until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    end_s = time.monotonic() + WAIT_S
    while time.monotonic() < end_s and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    sys.exit("nginx does not listen")


def check_grpc(port: int, address: str, ca: Path) -> None:
    """A client gets through nginx what it gets without it, also where it leaves a stream halfway."""
    target = f"grpcs://localhost:{port}"
    with Client(target, model="digits", ca=ca) as through, Client(address, model="digits") as direct:
        same = np.array_equal(through.generate(100, seed=7).numpy(), direct.generate(100, seed=7).numpy())
        streamed = sum(map(len, through.stream(20_000, seed=7)))
        for _ in range(10):
            next(through.stream(seed=7))
        if not same or streamed != 20_000 or len(through.generate(1, seed=7)) != 1:
            sys.exit("gRPC through nginx is not what it is without it")


def check_administration(port: int, address: str, ca: Path) -> None:
    """Whoever comes through nginx manages nothing, though the server takes all of them for local."""
    access = Access(ca=ca)
    with Administrator(address, Access(), WAIT_S) as direct:
        direct.status()
    with Administrator(f"grpcs://localhost:{port}", access, WAIT_S) as through:
        for manage in (through.status, lambda: through.load("digits", None), lambda: through.unload("digits", None)):
            try:
                manage()
            except AccessError:
                continue
            sys.exit("models can be managed through nginx")


def check_http(port: int, context: ssl.SSLContext) -> None:
    """The second who asks for a picture gets it from the cache, and metrics are nobody's business."""
    url = f"https://localhost:{port}"

    def get(path: str) -> tuple[str, bytes]:
        with urllib.request.urlopen(url + path, timeout=WAIT_S, context=context) as reply:  # noqa: S310 - of this machine
            return reply.headers["X-Cache-Status"], reply.read()

    (model,) = json.loads(get("/v1/models")[1])["models"]
    pinned = f"/v1/models/digits@{model['identity']['digest']}/samples/7/0-63.png"
    (first, picture), (second, again) = get(pinned), get(pinned)
    if (first, second) != ("MISS", "HIT") or picture != again or not picture.startswith(b"\x89PNG"):
        sys.exit(f"the picture was a {first} and then a {second}")
    if not re.search(rb"<title>", get("/")[1]):
        sys.exit("there is no page")
    try:
        get("/metrics")
    except urllib.error.HTTPError as error:
        if error.code == 403:
            return
    sys.exit("metrics are shown to all")


if __name__ == "__main__":
    main()
