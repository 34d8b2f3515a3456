"""Archives from the web, fetched once into the cache."""

from __future__ import annotations

import hashlib
import http.client
import re
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import unquote, urldefrag, urlsplit

from ganserve.contract.errors import ArtifactError, ConfigError, DatasetError
from ganserve.contract.files import new_file

from .cache import cache_folder
from .dataset import OnProgress

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_TIMEOUT_S = 30.0
_PIECE_BYTES = 2**20
_SHA256_LENGTH = 64


def is_url(source: str) -> bool:
    """Whether `source` is to be fetched."""
    return source.startswith(("https://", "http://"))


@contextmanager
def fetched(url: str, on_progress: OnProgress | None = None) -> Iterator[Path]:
    """The file behind `url`, for the duration of the `with`. What the cache holds is not fetched again.

    A fragment `#sha256=<64 hex digits>` is what the file's SHA-256 has to be. Where the cache cannot be written, the
    file is fetched into a temporary folder.

    Raises:
        ConfigError: the URL is neither https nor on the loopback, or its fragment is of another kind.
        DatasetError: it cannot be fetched in full, or has another checksum.
    """
    address, fragment = urldefrag(url)
    _check(address)
    sha256 = _expected_sha256(url, fragment)
    name = PurePosixPath(unquote(urlsplit(address).path)).name or "download"
    key = hashlib.sha256(f"{address}\0{sha256}".encode()).hexdigest()
    path = cache_folder() / "downloads" / key[:32] / re.sub(r"[^\w.-]", "_", name)[-100:]
    if not path.is_file():
        try:
            _fetch(address, path, sha256, on_progress)
        except DatasetError:
            raise
        except ArtifactError:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / path.name
                _fetch(address, path, sha256, on_progress)
                yield path
                return
    yield path


def _fetch(address: str, path: Path, sha256: str, on_progress: OnProgress | None) -> None:
    """Raises DatasetError where the web is at fault, and ArtifactError where `path` cannot be written."""
    with new_file(path) as partial, partial.open("wb") as file, _answer(address) as answer:
        found = _copy(answer, file, address, on_progress)
        if sha256 and found != sha256:
            raise DatasetError(f"{address}: its SHA-256 is {found}, not {sha256}; it is not the file that was meant")


def _copy(answer: Any, file: IO[bytes], address: str, on_progress: OnProgress | None) -> str:
    """Copies all there is and returns its SHA-256."""
    length = answer.headers.get("Content-Length", "")
    num_bytes = int(length) if length.isdecimal() else 0
    sha256, num_done = hashlib.sha256(), 0
    while piece := _read(answer, address):
        file.write(piece)
        sha256.update(piece)
        num_done += len(piece)
        if on_progress is not None and num_bytes:
            on_progress(num_done, num_bytes)
    if num_bytes and num_done != num_bytes:
        raise DatasetError(f"{address}: broke off after {num_done:,} of {num_bytes:,} bytes; try again")
    return sha256.hexdigest()


def _read(answer: Any, address: str) -> bytes:
    try:
        piece: bytes = answer.read(_PIECE_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise DatasetError(f"{address}: broke off ({error}); try again") from error
    return piece


@contextmanager
def _answer(address: str) -> Iterator[Any]:
    request = urllib.request.Request(address, headers={"User-Agent": "ganserve"})  # noqa: S310 — `_check` saw it
    try:
        answer = urllib.request.build_opener(_CheckedRedirects).open(request, timeout=_TIMEOUT_S)
    except (OSError, http.client.HTTPException) as error:
        raise DatasetError(f"{address}: cannot be fetched ({error}); check the address and the network") from error
    with answer:
        yield answer


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to where one may go directly."""

    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: str) -> Any:
        """Raises ConfigError for an address that `fetched` would refuse."""
        _check(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check(address: str) -> None:
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError as error:
        raise ConfigError(f"{address}: not an address ({error})") from error
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)):
        raise ConfigError(f"{address}: data are fetched over https only")


def _expected_sha256(url: str, fragment: str) -> str:
    if not fragment:
        return ""
    match = re.fullmatch(f"sha256=([0-9a-fA-F]{{{_SHA256_LENGTH}}})", fragment)
    if match is None:
        raise ConfigError(f"{url}: after # comes sha256= and {_SHA256_LENGTH} hexadecimal digits, or nothing")
    return match[1].lower()
