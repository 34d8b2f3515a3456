from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ganserve.contract.errors import ConfigError, DatasetError
from ganserve.training.datasets import load, load_test


@dataclass
class Web:
    """A server on the loopback, and what it has been asked for."""

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    promised_bytes: int | None = None
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def web() -> Iterator[Web]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append(self.path)
            if self.path in site.redirects:
                self.send_response(302)
                self.send_header("Location", site.redirects[self.path])
                self.end_headers()
            elif self.path in site.files:
                body = site.files[self.path]
                self.send_response(200)
                self.send_header("Content-Length", str(site.promised_bytes or len(body)))
                self.end_headers()
                self.wfile.write(body)
            else:
                self.send_error(404)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site = Web(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield site
        server.shutdown()
        thread.join()


@pytest.fixture
def archive(folder: Path, tmp_path: Path, zip_folder: Callable[..., str]) -> bytes:
    return Path(zip_folder(folder, tmp_path / "animals.zip")).read_bytes()


def test_an_archive_is_fetched_once(web: Web, archive: bytes, folder: Path) -> None:
    web.files["/pets/animals.zip"] = archive
    told: list[tuple[int, int]] = []
    dataset = load(f"{web.address}/pets/animals.zip", on_progress=lambda done, total: told.append((done, total)))
    assert dataset.digest == load(str(folder)).digest
    assert dataset.name == "animals"
    assert (len(archive), len(archive)) in told
    load(f"{web.address}/pets/animals.zip")
    assert load_test(f"{web.address}/pets/animals.zip") is None
    assert web.asked == ["/pets/animals.zip"]


def test_the_checksum_holds(web: Web, archive: bytes) -> None:
    web.files["/animals.zip"] = archive
    sha256 = hashlib.sha256(archive).hexdigest()
    assert len(load(f"{web.address}/animals.zip#sha256={sha256.upper()}").images) == 3


def test_another_checksum_is_refused_and_nothing_kept(web: Web, archive: bytes, cache: Path) -> None:
    web.files["/animals.zip"] = archive
    with pytest.raises(DatasetError, match=f"its SHA-256 is [0-9a-f]{{64}}, not {'0' * 64}"):
        load(f"{web.address}/animals.zip#sha256={'0' * 64}")
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_a_file_without_its_checksum_does_not_stand_in_for_one_with(web: Web, archive: bytes) -> None:
    web.files["/animals.zip"] = archive
    load(f"{web.address}/animals.zip")
    with pytest.raises(DatasetError, match="its SHA-256 is"):
        load(f"{web.address}/animals.zip#sha256={'0' * 64}")


def test_a_download_that_breaks_off(web: Web, archive: bytes, cache: Path) -> None:
    web.files["/animals.zip"] = archive
    web.promised_bytes = len(archive) + 1
    with pytest.raises(DatasetError, match=r"animals\.zip: broke off"):
        load(f"{web.address}/animals.zip")
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_what_is_not_there(web: Web) -> None:
    with pytest.raises(DatasetError, match=r"nothing\.zip: cannot be fetched .*404"):
        load(f"{web.address}/nothing.zip")


def test_what_is_no_archive(web: Web) -> None:
    web.files["/page.zip"] = b"<html>"
    with pytest.raises(DatasetError, match="named like a zip file, but no zip file"):
        load(f"{web.address}/page.zip")


def test_redirects_are_followed_where_one_may_go(web: Web, archive: bytes) -> None:
    web.files["/b.zip"] = archive
    web.redirects |= {"/a.zip": f"{web.address}/b.zip", "/c.zip": "http://192.0.2.1/b.zip"}
    assert len(load(f"{web.address}/a.zip").images) == 3
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1/b\.zip: data are fetched over https only"):
        load(f"{web.address}/c.zip")


def test_without_a_cache_it_works_all_the_same(web: Web, archive: bytes, cache: Path) -> None:
    web.files["/animals.zip"] = archive
    cache.write_text("in the way")
    assert len(load(f"{web.address}/animals.zip").images) == 3


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("http://example.org/a.zip", "over https only"),
        ("https:///a.zip", "over https only"),
        ("https://[/a.zip", "not an address"),
        ("https://example.org/a.zip#md5=00", "after # comes sha256="),
        ("https://example.org/a.zip#sha256=00", "after # comes sha256="),
    ],
)
def test_addresses_that_are_refused(source: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        load(source)
