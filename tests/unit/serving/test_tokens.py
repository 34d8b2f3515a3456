from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ganserve.contract.errors import ConfigError
from ganserve.serving.scopes import Scope
from ganserve.serving.tokens import Grant, Quota, draw_token, hash_token, read_grants

HASH = "0123456789abcdef" * 4


def write(folder: Path, text: str) -> Path:
    path = folder / "tokens.toml"
    path.write_text(text)
    return path


def test_a_token_is_drawn_and_hashed() -> None:
    token = draw_token()
    assert token.startswith("ganserve_")
    assert len(token) == len("ganserve_") + 43
    assert token != draw_token()
    assert hash_token(token) == hashlib.sha256(token.encode()).digest()


@pytest.mark.parametrize("quota", [None, Quota(num_rows=5, period_s=1.0), Quota(num_rows=700, period_s=60.0)])
def test_lines_are_read_as_they_were_printed(tmp_path: Path, quota: Quota | None) -> None:
    grants = [
        Grant(name="training", sha256=hash_token("a"), scopes=frozenset({Scope.GENERATE}), quota=quota),
        Grant(name="ops-1_x", sha256=hash_token("b"), scopes=frozenset(Scope)),
    ]
    assert read_grants(write(tmp_path, "# mine\n" + "\n".join(grant.line() for grant in grants))) == grants


def test_a_table_of_several_lines_is_the_same(tmp_path: Path) -> None:
    text = f'[training]\nsha256 = "{HASH}"\nscopes = ["admin"]\nrows_per_minute = 6\n'
    (grant,) = read_grants(write(tmp_path, text))
    assert grant.scopes == {Scope.ADMIN}
    assert grant.quota == Quota(num_rows=6, period_s=60.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = ", "it is no TOML"),
        ("a = 1", "a is no table; a line is NAME = {"),
        ('"a b" = {}', "the name 'a b' is none; take up to 64 letters"),
        (f'{"a" * 65} = {{ sha256 = "{HASH}", scopes = ["admin"] }}', "is none; take up to 64"),
        ('a = { scopes = ["admin"] }', "a has no sha256 of 64 hexadecimal digits"),
        (f'a = {{ sha256 = "{HASH.upper()}", scopes = ["admin"] }}', "a has no sha256 of 64 hexadecimal digits"),
        (f'a = {{ sha256 = "{HASH}" }}', "a has no list of scopes; give one or more of generate, admin"),
        (f'a = {{ sha256 = "{HASH}", scopes = [] }}', "a has no list of scopes"),
        (f'a = {{ sha256 = "{HASH}", scopes = "admin" }}', "a has no list of scopes"),
        (f'a = {{ sha256 = "{HASH}", scopes = ["root"] }}', "a has no list of scopes"),
        (f'a = {{ sha256 = "{HASH}", scopes = [["admin"]] }}', "a has no list of scopes"),
        (f'a = {{ sha256 = "{HASH}", scopes = ["admin"], scope = 1 }}', "a has 'scope', which nothing reads"),
        (f'a = {{ sha256 = "{HASH}", scopes = ["admin"], rows_per_second = 0 }}', "rows_per_second = 0; give a whole"),
        (f'a = {{ sha256 = "{HASH}", scopes = ["admin"], rows_per_second = true }}', "give a whole number"),
        (
            f'a = {{ sha256 = "{HASH}", scopes = ["admin"], rows_per_second = 1, rows_per_minute = 1 }}',
            "a has rows_per_second and rows_per_minute; give one of them",
        ),
        (
            f'a = {{ sha256 = "{HASH}", scopes = ["admin"] }}\nb = {{ sha256 = "{HASH}", scopes = ["admin"] }}',
            "a and b are the same token; make one for each",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_said_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_grants(path)
    assert str(caught.value).startswith(f"--tokens {path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match=f"--tokens {path}: it cannot be read: "):
            read_grants(path)
    path = tmp_path / "binary"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=f"--tokens {path}: it is no TOML"):
        read_grants(path)


def test_a_token_in_the_wrong_place_is_never_repeated(tmp_path: Path) -> None:
    token = draw_token()
    for text in (
        f'{token} = {{ sha256 = "{HASH}", scopes = ["admin"] }}',
        f'a = {{ sha256 = "{token}", scopes = ["admin"] }}',
        f'a = {{ sha256 = "{HASH}", scopes = ["{token}"] }}',
        f'a = {{ sha256 = "{HASH}", scopes = ["admin"], {token} = 1 }}',
        f"a = {token}",
        token,
    ):
        with pytest.raises(ConfigError) as caught:
            read_grants(write(tmp_path, text))
        assert token not in str(caught.value)
