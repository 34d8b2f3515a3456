"""`ganserve interpolate`, against a real server."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganserve.cli import main
from ganserve.client import Client
from ganserve.client.formats.xmp import find_recipe

from .scripted import HEIGHT, WIDTH, Script, ScriptedServer


def command(server: ScriptedServer, out: Path, *flags: str) -> list[str]:
    common = ["--server", server.address, "--model", "digits", "--from", "7:3", "--to", "8:12", "--out", str(out)]
    return ["interpolate", *common, *flags]


@pytest.mark.parametrize("flags", [(), ("--columns", "3")])
def test_the_samples_of_the_client_in_one_image(
    server: ScriptedServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...]
) -> None:
    out = tmp_path / "steps.png"
    assert (
        main(command(server, out, "-n", "9", "--labels", "two", "--truncation", "1.5", "--spread", "1.25", *flags)) == 0
    )
    with Client(server.address, model="digits") as client:
        samples = client.interpolate((7, 3), (8, 12), 9, labels="two", truncation=1.5, spread=1.25)
    expected = np.asarray(samples.grid(3 if flags else 9))
    with Image.open(out) as image:
        np.testing.assert_array_equal(np.asarray(image), expected)
        assert "trainedAlgorithmicMedia" in image.info["XML:com.adobe.xmp"]
    assert json.loads(find_recipe(out.read_bytes()) or "") == {
        "model": "digits:2",
        "digest": "ab" * 32,
        "start": "7:3",
        "stop": "8:12",
        "n": 9,
        "labels": "two",
        "truncation": 1.5,
        "spread": 1.25,
    }
    assert "9 samples of digits:2@abababababab, from 7:3 to 8:12" in capsys.readouterr().out
    assert expected.shape[1] > 3 * WIDTH * (1 if flags else 2)
    assert expected.shape[0] >= HEIGHT


@pytest.mark.parametrize(
    ("flags", "code", "fault"),
    [
        (["--from", "7"], 2, "--from is '7'; give a seed and an index, such as 7:3"),
        (["--to", "x:1"], 2, "--to is 'x:1'"),
        (["--out", "steps.npz"], 2, "give a .png, .jpg or .webp file"),
        (["--out", "steps/"], 2, "give a .png, .jpg or .webp file"),
        ([], 2, "give labels, one class for all images"),
        (["--labels", "one", "-n", "1"], 2, "n is 1; it must be at least 2"),
        (["--labels", "one", "-n", "-4"], 2, "n is -4; it must be at least 2"),
        (["--labels", "0=1,1=2"], 2, "all images of an interpolation are of one class"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(
    server: ScriptedServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    code: int,
    fault: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"--from": "7:3", "--to": "8:12", "--out": "steps.png"}
    names.update(zip(flags[::2], flags[1::2], strict=True))
    words = [word for pair in names.items() for word in pair]
    assert main(["interpolate", "--server", server.address, "--model", "digits", *words]) == code
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert fault in line
    assert list(tmp_path.iterdir()) == []


def test_a_generator_without_classes(server: ScriptedServer, script: Script, tmp_path: Path) -> None:
    script.class_names = ()
    assert main(command(server, tmp_path / "steps.webp")) == 0
