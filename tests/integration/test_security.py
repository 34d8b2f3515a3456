"""TLS and tokens between real servers, clients and commands."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import resource
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from tests.certificates import Authority, Issued

from ganserve.client import (
    AccessError,
    AsyncClient,
    Client,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    RequestError,
    TokenFile,
    UnauthenticatedError,
    UnavailableError,
)
from ganserve.serving.tokens import read_grants

from ..servers import RunCommand, ServerProcess, StartServer
from ..warm import run_python

TOKENS = {
    "trainer": ("--rows-per-minute", "1000"),
    "ops": ("--scopes", "admin"),
    "all": ("--scopes", "generate", "admin"),
}


class Site(NamedTuple):
    """A server that speaks TLS and wants tokens, and all that it is reached with."""

    server: ServerProcess
    authority: Authority
    cert: Issued
    tokens: Path
    folder: Path

    def client(self, **arguments: Any) -> Client:
        """One that is answered, unless it is told otherwise."""
        usual = {
            "model": "tiny",
            "ca": self.authority.ca,
            "token": TokenFile(self.folder / "all.token"),
            "timeout_s": 20,
        }
        return Client(self.server.address, **{**usual, **arguments})

    def flags(self, token: str = "all") -> tuple[str | Path, ...]:
        """The same for a command."""
        return ("--ca", self.authority.ca, "--token-file", self.folder / f"{token}.token")

    def plain_address(self) -> str:
        return self.server.address.removeprefix("grpcs://")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, make_bundle: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("tiny-models")
    make_bundle(folder)
    return folder


@pytest.fixture
def make_tokens(run_command: RunCommand) -> Callable[[Path], Path]:
    """Makes the tokens of this module, as an operator would, each in a file of its own beside `tokens.toml`."""

    def make(folder: Path) -> Path:
        with (folder / "tokens.toml").open("w") as lines:
            for name, flags in TOKENS.items():
                done = run_command("token", "new", name, *flags, "--out", folder / f"{name}.token")
                assert done.returncode == 0, done.stderr
                lines.write(done.stdout)
        return folder / "tokens.toml"

    return make


@pytest.fixture
def site(tmp_path: Path, tiny: Path, start_server: StartServer, make_tokens: Callable[[Path], Path]) -> Iterator[Site]:
    authority = Authority(tmp_path)
    cert, tokens = authority.issue("server"), make_tokens(tmp_path)
    flags = ("--tls-cert", str(cert.cert), "--tls-key", str(cert.key), "--tokens", str(tokens))
    with start_server(tiny, *flags) as server:
        yield Site(server, authority, cert, tokens, tmp_path)


def failure(client: Client) -> RequestError:
    """What a call ends with: one line, whichever call it is."""
    with client:
        errors = []
        for ask in (lambda: client.generate(1), client.list_models, lambda: next(client.stream(seed=1))):
            with pytest.raises(RequestError) as caught:
                ask()
            errors.append(caught.value)
    assert len({type(error) for error in errors}) == 1
    assert all("\n" not in str(error) for error in errors)
    return errors[0]


def test_whoever_has_all_of_it_is_answered_in_every_way(site: Site, run_command: RunCommand, tmp_path: Path) -> None:
    assert site.server.address.startswith("grpcs://127.0.0.1:")
    with site.client() as client, site.client(coalesce=True) as coalescing:
        samples = client.generate(5, seed=1)
        assert np.array_equal(coalescing.generate(5, seed=1).numpy(), samples.numpy())
        assert sum(map(len, client.stream(10, seed=1))) == 10

    async def ask() -> Any:
        async with AsyncClient(
            site.server.address, model="tiny", ca=site.authority.ca, token=TokenFile(site.folder / "all.token")
        ) as client:
            assert [len(part) async for part in client.stream(4, seed=1, batch_size=2)] == [2, 2]
            return (await client.generate(5, seed=1)).numpy()

    assert np.array_equal(asyncio.run(ask()), samples.numpy())
    address, out = site.server.address, tmp_path / "out"
    for command in (
        f"models --server {address}",
        f"models --model tiny --server {address}",
        f"generate --model tiny -n 4 --server {address} -o {out}.png",
        f"dump --model tiny -n 4 --format npz --server {address} -o {out}",
        f"interpolate --model tiny --from 1:0 --to 1:1 --labels cat -n 2 --server {address} -o {out}.webp",
        f"bench server {address} --model tiny --loads closed --rounds 1 --seconds 0.02 --processes 2",
        f"bench client {address} --model tiny --rounds 1 --seconds 0.02 --workers 1 --size 4",
    ):
        done = run_command(*command.split(), *site.flags())
        assert done.returncode == 0, done.stderr


def test_the_environment_reaches_every_command(
    site: Site, monkeypatch: pytest.MonkeyPatch, run_command: RunCommand
) -> None:
    monkeypatch.setenv("GANSERVE_CA", str(site.authority.ca))
    monkeypatch.setenv("GANSERVE_TOKEN", (site.folder / "all.token").read_text().strip())
    assert run_command("models", "--server", site.server.address).returncode == 0
    with Client(site.server.address) as client:
        assert [model.name for model in client.list_models()] == ["tiny"]


def test_what_is_wrong_with_a_certificate_is_said_at_once(site: Site) -> None:
    other = Authority(site.folder, "other")
    for arguments, message in (
        ({"ca": other.ca}, "its certificate is by no CA that is known here"),
        ({"ca": None}, "its certificate is by no CA that is known here"),
    ):
        error = failure(site.client(**arguments))
        assert isinstance(error, AccessError)
        assert str(error).startswith(f"{site.server.address} is not trusted: {message}")
    for changed, message in (
        ({"days": (-2, -1)}, "its certificate has expired"),
        ({"days": (1, 2)}, "its certificate is not yet valid"),
        ({"hosts": ["elsewhere.example"]}, "its certificate is for another name"),
    ):
        site.authority.issue_to(site.cert, "server", **changed)
        error = failure(site.client())
        assert isinstance(error, AccessError)
        assert str(error).startswith(f"{site.server.address} is not trusted: {message}")
    site.authority.issue_to(site.cert, "server")
    with site.client() as client:
        assert len(client.generate(1)) == 1


def test_a_new_certificate_is_taken_and_a_spoilt_one_is_not(site: Site) -> None:
    other = Authority(site.folder, "other")
    with site.client() as former:
        former.generate(1)
        other.issue_to(site.cert, "server")
        with site.client(ca=other.ca) as client:
            client.generate(1)
        former.generate(1)  # on the connection that it has
    site.cert.key.write_text("half a ke")
    with site.client(ca=other.ca) as client:
        client.generate(1)
    (line,) = [line for line in site.server.log if "the former certificate stays in use" in line]
    assert f"--tls-key {site.cert.key}: there is no private key in PEM in it" in line


def test_plaintext_and_tls_do_not_meet(site: Site, tiny: Path, start_server: StartServer) -> None:
    error = failure(Client(site.plain_address(), model="tiny", retry_for_s=0, timeout_s=20))
    assert isinstance(error, UnavailableError)
    assert f"it may speak TLS (write {site.server.address})" in str(error)
    with start_server(tiny) as plain:
        error = failure(Client(f"grpcs://{plain.address}", model="tiny", ca=site.authority.ca))
        assert isinstance(error, AccessError)
        assert str(error).startswith(f"grpcs://{plain.address} does not speak TLS; write its address without grpcs://")


def test_mutual_tls_lets_in_whoever_has_a_certificate(tmp_path: Path, tiny: Path, start_server: StartServer) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    cert, mine = authority.issue("server"), authority.issue("mine")
    flags = ("--tls-cert", str(cert.cert), "--tls-key", str(cert.key), "--client-ca", str(authority.ca))
    with start_server(tiny, *flags) as server:

        def connect(**by: Any) -> Client:
            return Client(server.address, model="tiny", ca=authority.ca, retry_for_s=0, timeout_s=20, **by)

        with connect(cert=mine.cert, key=mine.key) as client:
            assert len(client.generate(1)) == 1
        theirs, old = other.issue("theirs"), authority.issue("old", days=(-2, -1))
        for wrong in ({}, {"cert": theirs.cert, "key": theirs.key}, {"cert": old.cert, "key": old.key}):
            error = failure(connect(**wrong))
            assert isinstance(error, UnavailableError)
            assert "it may want a certificate of yours (cert= and key=; --cert and --key)" in str(error)


def test_tokens_are_told_apart(site: Site) -> None:
    ops = TokenFile(site.folder / "ops.token")
    for token, kind, message in (
        ("", UnauthenticatedError, "refuses the caller: this server wants a token, and none came"),
        ("guessed", UnauthenticatedError, "refuses the caller: this server does not know the token that came"),
        (ops, AccessError, "refuses the caller: the token 'ops' is for admin, and ganserve.v1.GeneratorService/"),
    ):
        error = failure(site.client(token=token))
        assert type(error) is kind
        assert f"{site.server.address} {message}" in str(error)
    assert not any("guessed" in line for line in site.server.log)


def test_tokens_come_and_go_without_a_restart(site: Site, run_command: RunCommand) -> None:
    """A call that is patient sees the change within the second that the server takes to look."""
    made = run_command("token", "new", "late")
    token = made.stderr.splitlines()[-1]
    with site.tokens.open("a") as lines:
        lines.write(made.stdout)
    with site.client(token=token) as client:
        ask_until(lambda: client.generate(1), None)
        lines_left = [line for line in site.tokens.read_text().splitlines() if not line.startswith("late")]
        site.tokens.write_text("\n".join(lines_left))
        ask_until(lambda: client.generate(1), UnauthenticatedError)
    assert not any(token in line for line in site.server.log)


def ask_until(ask: Callable[[], Any], kind: type[Exception] | None) -> None:
    """Asks until it is answered, or refused in that way."""
    while True:
        try:
            ask()
        except AccessError as error:
            if type(error) is kind:
                return
        else:
            if kind is None:
                return


def test_a_quota_is_refused_with_a_time_to_come_back(site: Site) -> None:
    trainer = TokenFile(site.folder / "trainer.token")
    with site.client(token=trainer, retry_for_s=0) as client:
        assert sum(len(client.generate(250)) for _ in range(4)) == 1000
        with pytest.raises(OverloadedError, match="the token 'trainer' has had its 1,000 samples a minute") as caught:
            client.generate(100)
        assert 0 < (caught.value.retry_after_s or 0) <= 6
    with site.client() as others:
        assert len(others.generate(100)) == 100
    with site.client(token=trainer) as client:  # comes back when it is told to, and a stream waits for what there is
        assert len(client.generate(2)) == 2
        assert len(next(client.stream(seed=1))) <= 16


def test_nothing_that_a_caller_reads_names_a_file_of_the_server(site: Site, tiny: Path) -> None:
    secrets = (str(tiny), str(site.folder), str(Path.cwd()), str(Path.home()), "site-packages", "serving/", ".py")
    names = ("../tiny", "/etc/passwd", "tiny/1", str(tiny), "nobody", "a" * 1000, "\0", "tiny:9")
    with site.client() as client, site.client(model=None) as any_model:
        told: list[str] = [repr(model.message) for model in any_model.list_models()]
        for name in names:
            with pytest.raises((NotFoundError, InvalidRequestError)) as caught:
                Client(
                    site.server.address, model=name, ca=site.authority.ca, token=TokenFile(site.folder / "all.token")
                ).generate(1)
            told.append(str(caught.value).replace(name, ""))
        for wrong in ({"n": 10**9}, {"n": 1, "labels": "zebra"}, {"n": 1, "indices": []}):
            with pytest.raises(RequestError) as refused:
                client.generate(**wrong)
            told.append(str(refused.value))
    assert not [(secret, text) for secret in secrets for text in told if secret in text]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--listen", "0.0.0.0:0"), "--listen 0.0.0.0:0: other machines can reach it"),
        (
            ("--listen", "[::]:0"),
            "other machines can reach it, and they would be answered in plaintext; give --tls-cert",
        ),
        (("--tls-cert", "a.pem"), "--tls-cert and --tls-key go together"),
        (("--tls-key", "a.key"), "--tls-cert and --tls-key go together"),
        (("--client-ca", "a.pem"), "--client-ca is for clients that connect by TLS"),
        (("--tls-cert", "a.pem", "--tls-key", "a.key"), "--tls-cert a.pem: it cannot be read"),
        (("--tls-cert", "a.pem", "--tls-key", "a.key", "--plaintext"), "contradict each other"),
        (("--tls-cert", "a.pem", "--tls-key", "a.key", "--listen", "unix:a"), "a socket of this machine needs no TLS"),
        (("--tokens", "nowhere.toml"), "--tokens nowhere.toml: it cannot be read"),
        (("--max-connection-age-s", "0"), "--max-connection-age-s is 0.0; give 1 to 1,209,600, or inf"),
        (("--connection-grace-s", "-1"), "--connection-grace-s is -1.0; give 0 to 86,400"),
        (("--max-connections", "0"), "--max-connections is 0; give 1 to 1,000,000"),
    ],
)
def test_a_server_that_would_be_insecure_does_not_start(
    run_command: RunCommand, tiny: Path, flags: tuple[str, ...], message: str
) -> None:
    done = run_command("serve", "--models", tiny, *flags)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert message in line


def test_plaintext_elsewhere_is_served_where_it_is_wanted(tiny: Path, start_server: StartServer) -> None:
    with start_server(tiny, "--listen", "0.0.0.0:0", "--plaintext") as server:
        port = server.address.rpartition(":")[2]
        with Client(int(port), model="tiny") as client:
            assert len(client.generate(1)) == 1


def test_the_ready_file_of_a_server_with_tls_is_an_address_for_clients(
    site: Site, tmp_path: Path, tiny: Path, start_server: StartServer
) -> None:
    ready = tmp_path / "address"
    ready.write_text("grpcs://127.0.0.1:1\n")  # of a server that was killed
    flags = ("--tls-cert", str(site.cert.cert), "--tls-key", str(site.cert.key), "--ready-file", str(ready))
    with start_server(tiny, *flags), Client(ready.read_text().strip(), model="tiny", ca=site.authority.ca) as client:
        assert len(client.generate(1)) == 1


def test_a_server_leaves_no_core_file(tiny: Path, start_server: StartServer) -> None:
    with start_server(tiny) as server:
        assert resource.prlimit(server.process.pid, resource.RLIMIT_CORE) == (0, 0)
        files, most = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        assert files == most


def test_connections_beyond_the_bound_are_closed_as_they_come(tiny: Path, start_server: StartServer) -> None:
    with start_server(tiny, "--max-connections", "2") as server:
        with Client(server.address, model="tiny") as one, Client(server.address, model="tiny") as two:
            one.generate(1)
            two.generate(1)
            error = failure(Client(server.address, model="tiny", retry_for_s=0))
            assert isinstance(error, UnavailableError)
            assert "or have no room for a connection" in str(error)
        with Client(server.address, model="tiny") as three:
            assert len(three.generate(1)) == 1


def test_a_new_token_is_shown_once_and_only_its_hash_is_kept(run_command: RunCommand, tmp_path: Path) -> None:
    done = run_command("token", "new", "trainer", "--rows-per-second", "5")
    assert done.returncode == 0
    token = done.stderr.splitlines()[-1]
    assert token.startswith("ganserve_")
    assert token not in done.stdout
    (tmp_path / "tokens.toml").write_text(done.stdout)
    (grant,) = read_grants(tmp_path / "tokens.toml")
    assert (grant.name, grant.quota and grant.quota.num_rows) == ("trainer", 5)
    out = tmp_path / "a.token"
    done = run_command("token", "new", "trainer", "--out", out)
    assert out.stat().st_mode & 0o777 == 0o600
    assert TokenFile(out)().startswith("ganserve_")
    assert TokenFile(out)() not in done.stdout + done.stderr
    done = run_command("token", "new", "trainer", "--out", out)
    assert done.returncode == 3
    assert "there is a file of that name; take another" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a b",), "the name 'a b' is none"),
        (("a", "--scopes", "root"), "root"),
        (("a", "--rows-per-second", "0"), "are at least 1"),
        (("a", "--rows-per-second", "1", "--rows-per-minute", "1"), "not both"),
        (("a", "--out", "nowhere/a"), "it cannot be written"),
    ],
)
def test_a_token_that_cannot_be_is_refused(run_command: RunCommand, arguments: tuple[str, ...], message: str) -> None:
    done = run_command("token", "new", *arguments)
    assert done.returncode in (2, 3)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert message in line


def test_workers_that_are_forked_and_spawned_reach_a_secure_server(site: Site) -> None:
    code = f"""
import multiprocessing, sys
from ganserve.client import Client, TokenFile

def ask(client, n):
    sys.exit(0 if len(client.generate(n)) == n else 1)

if __name__ == "__main__":
    client = Client({site.server.address!r}, model="tiny", ca={str(site.authority.ca)!r},
                    token=TokenFile({str(site.folder / "all.token")!r}))
    client.generate(1)
    for way in ("fork", "spawn"):
        worker = multiprocessing.get_context(way).Process(target=ask, args=(client, 3))
        worker.start()
        worker.join(60)
        assert worker.exitcode == 0, way
"""
    script = site.folder / "workers.py"
    script.write_text(code)
    done = run_python(script)
    assert done.returncode == 0, done.stderr


def test_every_message_hides_the_token(site: Site) -> None:
    token = (site.folder / "trainer.token").read_text().strip()
    with site.client(token=token) as client:
        samples = client.generate(3)
        said = [repr(client), repr(samples), repr(client.get_model())]
    assert not [text for text in (*said, *site.server.log) if token in text]


@pytest.mark.parametrize("kind", ["threads", "asyncio"])
def test_a_client_takes_its_own_new_certificate_when_the_old_one_is_no_longer_taken(
    tmp_path: Path, tiny: Path, start_server: StartServer, kind: str
) -> None:
    """As connections age, it meets the server's new CA; nothing that it is asked for fails."""
    authority, successor = Authority(tmp_path), Authority(tmp_path, "successor")
    cert, mine = authority.issue("server"), authority.issue("mine")
    taken = tmp_path / "taken.pem"
    taken.write_bytes(authority.ca.read_bytes())
    flags = ["--tls-cert", str(cert.cert), "--tls-key", str(cert.key), "--client-ca", str(taken)]
    by: dict[str, Any] = {"model": "tiny", "ca": authority.ca, "cert": mine.cert, "key": mine.key, "retry_for_s": 0.0}

    def replace() -> None:
        successor.issue_to(mine, "mine")
        taken.write_bytes(successor.ca.read_bytes())

    def has_renewed(client: Any, first: Any) -> bool:
        return client._connections.to(client._core.addresses[0]) is not first

    async def ask_asynchronously(address: str) -> None:
        async with AsyncClient(address, **by) as client:
            await client.generate(1)
            first = client._connections.to(address)
            replace()
            while not has_renewed(client, first):
                assert len(await client.generate(1)) == 1

    with start_server(tiny, *flags, "--max-connection-age-s", "1", "--connection-grace-s", "0.5") as server:
        if kind == "asyncio":
            asyncio.run(ask_asynchronously(server.address))
            return
        with Client(server.address, **by) as client:
            client.generate(1)
            first = client._connections.to(server.address)
            replace()
            while not has_renewed(client, first):
                assert len(client.generate(1)) == 1


def read_https(address: str, path: str, authority: Authority, token: str = "", client: Issued | None = None) -> int:
    """The status of a reply."""
    context = ssl.create_default_context(cafile=str(authority.ca))
    if client is not None:
        context.load_cert_chain(client.cert, client.key)
    connection = http.client.HTTPSConnection(address, timeout=60, context=context)
    try:
        connection.request("GET", path, headers={"authorization": f"Bearer {token}"} if token else {})
        return connection.getresponse().status
    finally:
        connection.close()


def http_address(server: ServerProcess) -> str:
    (address,) = [match[1] for line in server.log if (match := re.search(r"HTTP on https://([^\s\"]+)", line))]
    return address


def test_http_speaks_tls_and_wants_tokens_as_grpc_does(
    tmp_path: Path, tiny: Path, start_server: StartServer, make_tokens: Callable[[Path], Path]
) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    cert, tokens = authority.issue("server"), make_tokens(tmp_path)
    token = (tmp_path / "all.token").read_text().strip()
    flags = ("--tls-cert", str(cert.cert), "--tls-key", str(cert.key), "--tokens", str(tokens), "--http", "0.0.0.0:0")
    with start_server(tiny, *flags, "--log-calls", "all", "--log-format", "json") as server:
        address = f"127.0.0.1:{http_address(server).rpartition(':')[2]}"
        assert read_https(address, "/readyz", authority) == 200
        assert read_https(address, "/v1/models", authority) == 401
        assert read_https(address, "/v1/models/tiny/samples/7/0.png", authority, token) == 200
        other.issue_to(cert, "server")
        assert read_https(address, "/readyz", other) == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            read_https(address, "/readyz", authority)
        with Client(server.address, model="tiny", ca=other.ca, token=token) as client:
            assert len(client.generate(1)) == 1
        assert server.stop() == 0
    lines = [json.loads(line) for line in server.log]
    made = {line["method"].partition(" ")[0]: line["token"] for line in lines if line.get("rows") == 1}
    assert made == {"GET": "all", "ganserve.v1.GeneratorService/Generate": "all"}


def test_http_wants_the_certificates_that_grpc_wants(tmp_path: Path, tiny: Path, start_server: StartServer) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    cert, taken = authority.issue("server"), tmp_path / "taken.pem"
    taken.write_bytes(authority.ca.read_bytes())
    flags = ("--tls-cert", str(cert.cert), "--tls-key", str(cert.key), "--client-ca", str(taken))
    with start_server(tiny, *flags, "--http", "127.0.0.1:0") as server:
        address, mine, theirs = http_address(server), authority.issue("mine"), other.issue("theirs")
        assert read_https(address, "/livez", authority, client=mine) == 200
        for wrong in (None, theirs):
            with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
                read_https(address, "/livez", authority, client=wrong)
        taken.write_bytes(other.ca.read_bytes())
        assert read_https(address, "/livez", authority, client=theirs) == 200
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
            read_https(address, "/livez", authority, client=mine)
