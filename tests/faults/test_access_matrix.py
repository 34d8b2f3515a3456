"""Every way to connect, with every kind of token, on every method: nobody is let in who should not be."""

from __future__ import annotations

import secrets
from collections import Counter
from pathlib import Path
from typing import Any

import grpc

from ganserve.serving.scopes import Scope
from ganserve.serving.tokens import Grant, hash_token

from ..certificates import Authority, Issued
from ..servers import StartServer
from .conftest import Note
from .methods import methods_of

CLOSED = {"UNAUTHENTICATED", "PERMISSION_DENIED"}
UNKNOWN_TOKENS = ("", "guessed")
# What asks neither for samples nor for a change of models.
OPEN, ANY_TOKEN = "/grpc.health.", "/grpc.reflection."
ADMIN_FLAGS = ("--allow-admin", "--channelz")
ADMIN = ("ModelAdminService/", "/RepositoryModelLoad", "/RepositoryModelUnload", "/grpc.channelz.")


def is_let_in(path: str, token: str) -> bool:
    """Whether whoever has a certificate and this token may call a method."""
    if path.startswith(OPEN):
        return True
    if token in UNKNOWN_TOKENS:
        return False
    scope = Scope.ADMIN if any(part in path for part in ADMIN) else Scope.GENERATE
    return path.startswith(ANY_TOKEN) or token in (scope, "both")


def test_nobody_is_let_in_who_should_not_be(
    models: Path, start_server: StartServer, tmp_path: Path, note: Note
) -> None:
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    server_cert, client_cert = ours.issue("server"), ours.issue("client")
    tokens = {name: secrets.token_urlsafe() for name in ("generate", "admin", "both")}
    scopes = {"generate": [Scope.GENERATE], "admin": [Scope.ADMIN], "both": list(Scope)}
    grants = [Grant(name=name, sha256=hash_token(tokens[name]), scopes=frozenset(scopes[name])) for name in tokens]
    (tmp_path / "tokens.toml").write_text("".join(f"{grant.line()}\n" for grant in grants))
    tokens |= dict.fromkeys(UNKNOWN_TOKENS, "") | {"guessed": "guessed"}
    flags = ("--tls-cert", server_cert.cert, "--tls-key", server_cert.key, "--client-ca", ours.ca)
    with start_server(models, *map(str, flags), "--tokens", str(tmp_path / "tokens.toml"), *ADMIN_FLAGS) as server:
        address = server.address.removeprefix("grpcs://")
        strangers = {
            "plaintext": None,
            "another CA for the server": credentials(theirs, client_cert),
            "no certificate": credentials(ours, None),
            "a certificate of another CA": credentials(ours, theirs.issue("client")),
            "a certificate that has expired": credentials(ours, ours.issue("old", days=(-2, -1))),
        }
        with open_channel(address, credentials(ours, client_cert), tokens["both"]) as channel:
            paths = list(methods_of(channel))
        seen: Counter[str] = Counter()
        for way in strangers.values():
            with open_channel(address, way) as channel:
                for path in paths:
                    assert status_of(channel, path, tokens["both"]) == "UNAVAILABLE"
                    seen["not connected"] += 1
        with open_channel(address, credentials(ours, client_cert)) as channel:
            for path in paths:
                for name, token in tokens.items():
                    status = status_of(channel, path, token)
                    assert (status not in CLOSED) is is_let_in(path, name), (path, name, status)
                    seen["let in" if is_let_in(path, name) else "refused"] += 1
        assert server.stop() == 0
    assert not [token for token in tokens.values() if token and token in "\n".join(server.log)]
    note(
        fault="plaintext, certificates of others and expired ones, and no, guessed and lesser tokens",
        load=f"mutual TLS and tokens, all {len(paths)} methods with each",
        expected="who has both is let in by scope, all others are refused; no token in the log",
        seen=", ".join(f"{count:,} {outcome}" for outcome, count in seen.items()),
    )


def credentials(authority: Authority, client: Issued | None) -> Any:
    """Of a client that trusts an authority."""
    certificate = (client.key.read_bytes(), client.cert.read_bytes()) if client else (None, None)
    return grpc.ssl_channel_credentials(authority.ca.read_bytes(), *certificate)


def open_channel(address: str, way: Any, token: str = "") -> Any:
    """A channel that sends the token with every call, or none."""
    if way is None:
        return grpc.insecure_channel(address)
    if token:
        way = grpc.composite_channel_credentials(way, grpc.access_token_call_credentials(token))
    return grpc.secure_channel(address, way)


def status_of(channel: Any, path: str, token: str) -> str:
    """The status of an empty request; one reply of a stream is enough."""
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    replies = channel.stream_stream(path)(iter([b""]), timeout=30, metadata=metadata)
    try:
        next(iter(replies), None)
    except grpc.RpcError:
        return str(replies.code().name)
    replies.cancel()
    return "OK"
