from __future__ import annotations

import logging
from pathlib import Path

import pytest

from ganserve.contract.errors import AccessError, ConfigError, UnauthenticatedError
from ganserve.serving.access import Access
from ganserve.serving.scopes import ANY, Scope, scopes_of
from ganserve.serving.tokens import Grant, Quota, hash_token

GENERATE, ADMIN = frozenset({Scope.GENERATE}), frozenset({Scope.ADMIN})
ASKED = "ganserve.v1.GeneratorService/Generate"


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tokens.toml"
    write(path, ("training", "secret-1", GENERATE), ("ops", "secret-2", ADMIN))
    return path


@pytest.fixture
def access(path: Path, clock: Clock) -> Access:
    return Access(path, clock)


def write(path: Path, *entries: tuple[str, str, frozenset[Scope]], quota: Quota | None = None) -> None:
    grants = [Grant(name=name, sha256=hash_token(token), scopes=scopes, quota=quota) for name, token, scopes in entries]
    path.write_text("".join(f"{grant.line()}\n" for grant in grants))


def refusal(access: Access, authorization: str | None, scopes: frozenset[Scope] = GENERATE) -> AccessError:
    with pytest.raises(AccessError) as caught:
        access.identify(authorization, scopes, ASKED)
    assert "secret" not in str(caught.value)
    assert "tokens.toml" not in str(caught.value)
    return caught.value


def test_whoever_has_the_token_is_known(access: Access) -> None:
    assert access.identify("Bearer secret-1", GENERATE, ASKED).name == "training"
    assert access.identify("bearer  secret-2", ANY, ASKED).name == "ops"


@pytest.mark.parametrize(
    ("authorization", "message"),
    [
        (None, "this server wants a token, and none came; give it with token="),
        ("", "this server wants a token, and none came"),
        ("secret-1", "is not of the form `Bearer TOKEN`"),
        ("Basic secret-1", "is not of the form `Bearer TOKEN`"),
        ("Bearer secret", "does not know the token that came"),
        ("Bearer ", "does not know the token that came"),
        ("Bearer secret-1, Bearer secret-1", "does not know the token that came"),
        (f"Bearer {hash_token('secret-1').hex()}", "does not know the token that came"),
        ("Bearer \ud800", "does not know the token that came"),
    ],
)
def test_whoever_has_none_is_not(access: Access, authorization: str | None, message: str) -> None:
    error = refusal(access, authorization)
    assert isinstance(error, UnauthenticatedError)
    assert message in str(error)


def test_a_token_of_another_scope_is_not_enough(access: Access) -> None:
    error = refusal(access, "Bearer secret-2")
    assert not isinstance(error, UnauthenticatedError)
    assert str(error) == f"the token 'ops' is for admin, and {ASKED} needs one for generate"


def test_changes_of_the_file_are_taken_within_a_second(access: Access, path: Path, clock: Clock) -> None:
    write(path, ("ops", "secret-3", GENERATE))
    assert access.identify("Bearer secret-1", GENERATE, ASKED).name == "training"
    clock.now_s += 1.0
    refusal(access, "Bearer secret-1")
    assert access.identify("Bearer secret-3", GENERATE, ASKED).name == "ops"
    path.write_text("")  # the last one is withdrawn
    clock.now_s += 1.0
    refusal(access, "Bearer secret-3")


def test_a_file_that_is_spoilt_changes_nothing_and_is_reported(
    access: Access, path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for spoil in (lambda: path.write_text("ops = "), path.unlink):
        spoil()
        for _ in range(3):
            clock.now_s += 1.0
            assert access.identify("Bearer secret-1", GENERATE, ASKED).name == "training"
    write(path, ("ops", "secret-3", GENERATE))
    clock.now_s += 1.0
    refusal(access, "Bearer secret-1")
    levels = [(record.levelname, "the former tokens stay in use" in record.getMessage()) for record in caplog.records]
    assert levels == [("ERROR", True), ("ERROR", True), ("INFO", False)]


def test_who_stays_keeps_what_is_left_of_the_quota(path: Path, clock: Clock) -> None:
    quota = Quota(num_rows=5, period_s=60.0)
    write(path, ("training", "secret-1", GENERATE), quota=quota)
    access = Access(path, clock)
    before = access.identify("Bearer secret-1", GENERATE, ASKED)
    assert before.quota is not None
    write(path, ("training", "secret-1", GENERATE), ("more", "secret-4", GENERATE), quota=quota)
    clock.now_s += 1.0
    assert access.identify("Bearer secret-1", GENERATE, ASKED) is before
    assert access.identify("Bearer secret-4", GENERATE, ASKED).quota is not before.quota


def test_a_server_does_not_start_with_a_file_that_lets_nobody_in(path: Path) -> None:
    path.write_text("# none yet\n")
    with pytest.raises(ConfigError, match=f"--tokens {path}: it names no token; `ganserve token new NAME >> {path}`"):
        Access(path)


@pytest.mark.parametrize(
    ("method", "scopes"),
    [
        ("/ganserve.v1.GeneratorService/Generate", GENERATE),
        ("/ganserve.v1.GeneratorService/AddedLater", GENERATE),
        ("/inference.GRPCInferenceService/ModelInfer", GENERATE),
        ("/inference.GRPCInferenceService/RepositoryIndex", GENERATE),
        ("/inference.GRPCInferenceService/RepositoryModelLoad", ADMIN),
        ("/inference.GRPCInferenceService/RepositoryModelUnload", ADMIN),
        ("/ganserve.v1.ModelAdminService/LoadModel", ADMIN),
        ("/grpc.channelz.v1.Channelz/GetServers", ADMIN),
        ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", ANY),
        ("/grpc.health.v1.Health/Check", None),
        ("/grpc.health.v1.Healthy/Check", ADMIN),
        ("/added.Later/Do", ADMIN),
    ],
)
def test_the_scopes_of_methods(method: str, scopes: frozenset[Scope] | None) -> None:
    assert scopes_of(method) == scopes
