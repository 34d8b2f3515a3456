from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.certificates import Authority, encrypted

from ganserve.contract.certificates import FileStamp, NamedFile, read_authorities, read_key_pair
from ganserve.contract.errors import ConfigError


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def read(cert: Path, key: Path) -> None:
    pair = read_key_pair(NamedFile("--tls-cert", cert), NamedFile("--tls-key", key))
    assert (pair.chain, pair.key) == (cert.read_bytes(), key.read_bytes())


def test_a_pair_is_read_as_it_is(authority: Authority) -> None:
    read(*authority.issue("server"))


def test_the_key_of_another_is_named(authority: Authority) -> None:
    one, other = authority.issue("one"), authority.issue("other")
    with pytest.raises(ConfigError, match=f"--tls-key {other.key}: it is not the key of --tls-cert {one.cert}"):
        read(one.cert, other.key)


def test_what_is_no_pem_is_named(authority: Authority, tmp_path: Path) -> None:
    issued = authority.issue("server")
    with pytest.raises(ConfigError, match=f"--tls-cert {issued.key}: there is no certificate in PEM in it"):
        read(issued.key, issued.key)
    with pytest.raises(ConfigError, match=f"--tls-key {issued.cert}: there is no private key in PEM in it"):
        read(issued.cert, issued.cert)
    torn = tmp_path / "torn.pem"
    torn.write_bytes(issued.cert.read_bytes()[:200])
    with pytest.raises(ConfigError, match=f"--tls-cert {torn}: it cannot be used"):
        read(torn, issued.key)
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(ConfigError, match=f"--tls-cert {path}: it cannot be read: "):
            read(path, issued.key)


def test_a_key_with_a_password_is_named(authority: Authority, tmp_path: Path) -> None:
    issued = authority.issue("server")
    key = encrypted(issued.key, tmp_path / "encrypted.key")
    with pytest.raises(ConfigError, match=f"--tls-key {key}: the key wants a password"):
        read(issued.cert, key)


def test_authorities(authority: Authority, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(authority.ca.read_bytes() + Authority(tmp_path, "other").ca.read_bytes())
    assert read_authorities(NamedFile("--client-ca", both)) == both.read_bytes()
    for content in (b"", b"\xff", b"hello", authority.issue("server").key.read_bytes()):
        both.write_bytes(content)
        with pytest.raises(ConfigError, match=f"--client-ca {both}: there is no certificate of a CA in PEM") as caught:
            read_authorities(NamedFile("--client-ca", both))
        assert "\n" not in str(caught.value)


def test_a_stamp_tells_a_file_from_the_next(tmp_path: Path) -> None:
    path, link = tmp_path / "a", tmp_path / "link"
    assert FileStamp.of([path]) == FileStamp.of([path])
    before = FileStamp.of([path])
    path.write_text("a")
    link.symlink_to(path)
    assert FileStamp.of([path]) != before
    before = FileStamp.of([link])
    shutil.copy(path, tmp_path / "b")
    link.unlink()
    link.symlink_to(tmp_path / "b")  # as Kubernetes replaces what is in a volume
    assert FileStamp.of([link]) != before
