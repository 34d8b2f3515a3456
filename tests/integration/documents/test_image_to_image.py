"""What docs/image-to-image.md prints: from somebody's file to a transformed folder."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tests.snippets import DOCUMENTS

from ganserve.client._calls import core
from ganserve.contract.textures import sample_textures
from ganserve.v1.bundle_pb2 import Parity
from ganserve.v1.model_pb2 import ModelCard

from ...translators import TILE, make_translator


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a reader who has ``sr2x.onnx``, ``photo.png`` and ``photos/``."""
    monkeypatch.chdir(tmp_path)
    axes = {"image": {0: "batch", 2: "height", 3: "width"}}
    network = torch.nn.Upsample(scale_factor=2, mode="bilinear")
    torch.onnx.export(
        network, (torch.zeros(1, 3, 64, 64),), "sr2x.onnx", input_names=["image"], dynamic_axes=axes, dynamo=False
    )
    photo = Image.fromarray(sample_textures(0, 0, 1, (90, 130, 3))[0])
    photo.save("photo.png")
    Path("photos").mkdir()
    photo.save("photos/holiday.webp")
    Path("horses").mkdir()
    photo.save("horses/grey.png")
    return tmp_path


@pytest.mark.filterwarnings("ignore")
def test_every_command_and_snippet_runs(
    reader: Path,
    run_command: Callable[..., Any],
    run_document: Callable[..., dict[str, Any]],
    start_server: Callable[..., AbstractContextManager[Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    make_bundle: Callable[..., Path],
    tiny_card: ModelCard,
    tiny_parity: Parity,
) -> None:
    faces = ModelCard()
    faces.CopyFrom(tiny_card)
    faces.image.height = faces.image.width = 64
    make_bundle(reader / "models", "faces", card=faces)
    make_translator(reader / "models", tiny_parity, "night")
    pets = [(torch.zeros(3, 20, 16, dtype=torch.uint8), label) for label in range(3)]
    text = (DOCUMENTS / "image-to-image.md").read_text()
    make_translator(reader / "models", tiny_parity, "zebras", is_tiled=False)
    bring, serve, transform, resized = (
        shlex.split(line)[1:] for line in re.findall(r"^    (ganserve .*)$", text, re.MULTILINE)
    )
    assert run_command(*bring).returncode == 0
    with start_server(None, *serve[1:]) as server:
        done = run_command(*transform, "--server", server.address)
        assert done.returncode == 0, done.stderr
        done = run_command(*resized, "--server", server.address)
        assert done.returncode == 0, done.stderr
        monkeypatch.setattr(core, "parse_addresses", lambda _: (server.address,))
        names = run_document("image-to-image.md", pets=pets)
        image, label = names["night"][2]
        assert (image.shape, label) == ((3, 40, 32), 2)
        names["client"].close()
    assert capsys.readouterr().out == "(180, 260, 3)\n"
    with Image.open(reader / "larger" / "holiday.webp") as larger:
        assert larger.size == (260, 180)
    with Image.open(reader / "zebras" / "grey.png") as zebra:
        assert zebra.size == (2 * TILE[1], 2 * TILE[0])
    (here,) = re.findall(r"`(ganserve transform .*)`", text)
    assert "all there already" in run_command(*shlex.split(here)[1:]).stdout
