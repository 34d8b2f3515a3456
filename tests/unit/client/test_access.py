"""What a client shows and wants to be shown, without a server; and that its token comes with every call."""

from __future__ import annotations

import pickle  # noqa: TID251 - clients travel to workers by it
import re
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.certificates import Authority

from ganserve.client import AsyncClient, Client, ConfigError, TokenFile, UnauthenticatedError
from ganserve.client._transport.access import Access

from .conftest import Connect
from .scripted import Script, ScriptedServer

VARIABLES = ("GANSERVE_CA", "GANSERVE_CERT", "GANSERVE_KEY", "GANSERVE_TOKEN", "GANSERVE_TOKEN_FILE")
ELSEWHERE = "gpu.lan:50051"
TLS = "grpcs://gpu.lan:50051"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


class Listener:
    """Notes what is sent with every call of a scripted server."""

    def __init__(self, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tokens: list[str | None] = []
        for name in ("Generate", "GenerateMany", "StreamSamples", "GetModel", "ListModels"):
            monkeypatch.setattr(script, name, self._noting(getattr(script, name)))

    def _noting(self, method: Any) -> Any:
        def answer(request: Any, context: Any) -> Any:
            if sent := dict(context.invocation_metadata()):  # of a request that came with others, there is none
                self.tokens.append(sent.get("authorization"))
            return method(request, context)

        return answer


@pytest.mark.coalescing_too
def test_a_token_comes_with_every_call(
    script: Script, server: ScriptedServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener(script, monkeypatch)
    client = connect(server.address, token="s3cret")
    client.generate(25)
    client.list_models()
    client.profile(3, repeats=1)
    assert sum(len(samples) for samples in client.stream(9, seed=1)) == 9
    assert len(listener.tokens) >= 8
    assert set(listener.tokens) == {"Bearer s3cret"}


def test_a_function_is_asked_for_the_token_of_every_call(
    script: Script, server: ScriptedServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener(script, monkeypatch)
    tokens = iter("abc")
    client = connect(server.address, token=lambda: next(tokens))
    for _ in range(3):
        client.list_models()
    assert listener.tokens == ["Bearer a", "Bearer b", "Bearer c"]


@pytest.mark.parametrize("token", ["", "two words", "é", "a\nb", b"bytes", None])
def test_a_function_that_gives_no_token_ends_the_call(server: ScriptedServer, connect: Connect, token: Any) -> None:
    client = connect(server.address, token=lambda: token)
    for ask in (client.list_models, lambda: next(client.stream(3, seed=1))):
        with pytest.raises(ConfigError, match="gave something else than one word of ASCII"):
            ask()


def test_what_a_function_raises_comes_out_of_the_call(server: ScriptedServer, connect: Connect) -> None:
    def fail() -> str:
        raise ValueError("the vault is shut")

    with pytest.raises(ValueError, match="the vault is shut"):
        connect(server.address, token=fail).generate(1)


def test_a_file_of_a_token_is_read_again_when_it_changes(
    script: Script, server: ScriptedServer, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener(script, monkeypatch)
    path = tmp_path / "token"
    path.write_text("first\n")
    client = connect(server.address, token=TokenFile(path))
    client.list_models()
    path.write_text("second-and-longer\n")
    client.list_models()
    assert listener.tokens == ["Bearer first", "Bearer second-and-longer"]
    path.unlink()
    with pytest.raises(ConfigError, match=f"token file {path}: it cannot be read"):
        client.list_models()


@pytest.mark.parametrize("content", ["", " \n", "two words", "é"])
def test_a_file_without_a_token_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    with pytest.raises(ConfigError, match=f"token file {path}: there is no token in it"):
        TokenFile(path)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    "target",
    [
        ELSEWHERE,
        "10.0.0.1:1",
        "dns:///gpu.lan:1",
        "unixbox:1",
        "dns://10.0.0.1/localhost:1",
        "me.localhost:1",
        ["127.0.0.1:1", ELSEWHERE],
        "ipv4:127.0.0.1:1,10.0.0.1:1",
    ],
)
def test_a_token_is_never_sent_where_others_could_read_it(kind: Any, target: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"is asked in plaintext, where others could read the token; write grpcs://"
    ) as caught:
        kind(target, token="s3cret")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "target", [TLS, "127.0.0.1:1", "localhost:1", "[::1]:1", 1, "unix:/a", "unix-abstract:a", "dns:///localhost:1"]
)
def test_it_may_be_sent_by_tls_and_to_this_machine(target: Any) -> None:
    assert Client(target, token="s3cret")._connections.access.token == "s3cret"


@pytest.mark.parametrize("token", ["two words", "é", "a\n", 5, b"x"])
def test_what_cannot_be_a_token_is_refused_and_not_repeated(token: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        Client(1, token=token)
    assert str(token) not in str(caught.value)


def test_a_coroutine_cannot_give_a_token() -> None:
    async def give() -> str:
        return "s3cret"

    with pytest.raises(ConfigError, match="not a coroutine"):
        AsyncClient(1, token=give)  # type: ignore[arg-type]


def test_the_environment_says_what_a_client_was_not_given(authority: Authority, tmp_path: Path) -> None:
    mine, other = authority.issue("mine"), authority.issue("other")
    (tmp_path / "token").write_text("filed")
    environment = {"GANSERVE_CA": str(authority.ca), "GANSERVE_CERT": str(mine.cert), "GANSERVE_KEY": str(mine.key)}
    access = Access.of([TLS], environment={**environment, "GANSERVE_TOKEN": "s3cret"})
    assert access == Access(ca=authority.ca, cert=mine.cert, key=mine.key, token="s3cret")
    access = Access.of([TLS], cert=other.cert, key=other.key, token="given", environment=environment)
    assert access == Access(ca=authority.ca, cert=other.cert, key=other.key, token="given")
    access = Access.of([TLS], environment={"GANSERVE_TOKEN_FILE": str(tmp_path / "token")})
    assert access.metadata() == (("authorization", "Bearer filed"),)
    assert Access.of(["127.0.0.1:1"], environment=environment) == Access()
    empty = dict.fromkeys(VARIABLES, "")
    assert Access.of([TLS], environment=empty) == Access()
    assert Access.of([ELSEWHERE], token="", environment={"GANSERVE_TOKEN": "s3cret"}) == Access()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"GANSERVE_TOKEN": "s3cret"}, f"{ELSEWHERE} is asked in plaintext, .* the token of GANSERVE_TOKEN; write"),
        ({"GANSERVE_TOKEN": "a", "GANSERVE_TOKEN_FILE": "b"}, "GANSERVE_TOKEN and GANSERVE_TOKEN_FILE are both set"),
        ({"GANSERVE_TOKEN_FILE": "/nowhere"}, "token file /nowhere: it cannot be read"),
    ],
)
def test_an_environment_that_cannot_be_used_is_named(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Access.of([ELSEWHERE], environment=environment)


def test_certificates_that_cannot_be_used_are_refused_before_anything_is_sent(
    authority: Authority, tmp_path: Path
) -> None:
    mine, other = authority.issue("mine"), authority.issue("other")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"ca": tmp_path / "nowhere"}, "ca= (--ca, GANSERVE_CA) .*nowhere: it cannot be read"),
        ({"ca": mine.key}, "ca= (--ca, GANSERVE_CA) .*: there is no certificate of a CA"),
        ({"cert": mine.cert}, "cert= (--cert, GANSERVE_CERT) and key= (--key, GANSERVE_KEY) go together"),
        ({"cert": mine.cert, "key": other.key}, "key= .*: it is not the key of cert= "),
    ]
    for arguments, message in cases:
        with pytest.raises(ConfigError, match=message.replace("(", r"\(").replace(")", r"\)")):
            Client(TLS, **arguments)


def test_certificates_and_a_plaintext_address_contradict_each_other(authority: Authority) -> None:
    with pytest.raises(ConfigError, match=re.escape("ca= (--ca, GANSERVE_CA) is given, and 127.0.0.1:1 is asked in")):
        Client(1, ca=authority.ca)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_client_shows_its_token_to_nobody(kind: Any) -> None:
    client = kind(TLS, token="s3cret", model="pets")
    assert repr(client) == f"{kind.__name__}('{TLS}', model='pets', timeout_s=30)"
    assert "s3cret" not in repr(client._connections.access)
    assert "s3cret" not in repr(vars(client))


def test_a_copy_of_a_client_shows_the_same_token(
    script: Script, server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("filed")
    listener = Listener(script, monkeypatch)
    for token in ("s3cret", TokenFile(tmp_path / "token")):
        with pickle.loads(pickle.dumps(Client(server.address, token=token))) as copy:  # noqa: S301 (our own)
            copy.list_models()
    assert listener.tokens == ["Bearer s3cret", "Bearer filed"]


def test_a_server_that_refuses_the_caller_is_passed_over(server: ScriptedServer, connect: Connect) -> None:
    strict = Script()
    strict.GetModel = strict.Generate = strict.ListModels = _refuse  # type: ignore[method-assign]
    other = ScriptedServer(strict)
    try:
        client = connect([other.address, server.address])
        for _ in range(4):
            assert len(client.generate(3, seed=1)) == 3
        assert [model.name for model in client.list_models()] == ["digits"]
        with pytest.raises(UnauthenticatedError, match="who are you"):
            connect(other.address).list_models()
    finally:
        other.stop()


def _refuse(request: Any, context: Any) -> Any:  # noqa: ARG001
    context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")
