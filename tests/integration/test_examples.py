"""The scripts in examples/, run as a reader runs them."""

from __future__ import annotations

import io
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from ..servers import ServerProcess
from ..warm import run_python, start_python

EXAMPLES = Path(__file__).parents[2] / "examples"
TIMEOUT_S = 60


def run(script: str, *flags: str) -> subprocess.CompletedProcess[str]:
    return run_python(EXAMPLES / script, *flags)


def test_training_with_mix(models: Path) -> None:
    done = run("train_with_mix.py", "--bundle", str(models / "digits" / "1"), "--steps", "40")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split("images  ")[0].split()[-1] for line in lines] == ["360", "600", "750"]
    assert all(line.endswith("% right") for line in lines)


def test_training_without_a_bundle_says_what_to_do(tmp_path: Path) -> None:
    done = run("train_with_mix.py", "--bundle", str(tmp_path / "none"))
    assert done.returncode == 2
    assert "run `make demo` first, or give --bundle" in done.stderr


@pytest.fixture
def service(server: ServerProcess) -> Iterator[str]:
    flags = ("--server", server.address, "--model", "digits", "--port", "0")
    reader, writer = os.pipe()
    with os.fdopen(reader) as said, start_python(EXAMPLES / "service.py", *flags, stdout=writer) as process:
        os.close(writer)
        yield said.readline().removeprefix("listening on ").strip()
        process.terminate()
        assert process.wait(TIMEOUT_S) == 0


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as reply:  # noqa: S310
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_a_service(service: str) -> None:
    assert get(f"{service}/health") == (200, b"digits:2\n")
    status, picture = get(f"{service}/samples?n=16&seed=7")
    assert status == 200
    assert Image.open(io.BytesIO(picture)).format == "PNG"
    assert get(f"{service}/samples?n=16&seed=7") == (200, picture)
    assert get(f"{service}/samples?n=4&labels=cat")[0] == 400
    assert b"at most 256" in get(f"{service}/samples?n=1000")[1]
    assert get(f"{service}/samples?n=many")[0] == 400
    assert get(f"{service}/other")[0] == 404
