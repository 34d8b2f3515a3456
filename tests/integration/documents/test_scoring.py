"""What docs/scoring.md prints: scores of images and of a folder of them, and the best of several."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.scorers import make_scorer
from tests.snippets import DOCUMENTS

from ganserve.client import Client
from ganserve.client._calls import core
from ganserve.contract.textures import sample_textures
from ganserve.v1.bundle_pb2 import Parity
from ganserve.v1.model_pb2 import ImageShape, ModelCard

CLASSES = ("cat", "dog", "frog")


@pytest.fixture
def reader(
    make_bundle: Callable[..., Path],
    tiny_card: ModelCard,
    tiny_parity: Parity,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """The folder of a reader who has exported a generator and its scorers, and has some images."""
    card = ModelCard()
    card.CopyFrom(tiny_card)
    card.image.CopyFrom(ImageShape(height=32, width=32, channels=3))
    card.ClearField("class_names")
    card.class_names.extend(CLASSES)
    make_bundle(tmp_path / "models", "pets", card=card)
    for kind in ("discriminator", "classifier"):
        make_scorer(tmp_path / "models", tiny_parity, f"pets-{kind}", classes=CLASSES, shape=(32, 32, 3))
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for number, name in enumerate(("a.png", "b.png", "photos/c.png", "photos/d.jpg")):
        Image.fromarray(sample_textures(0, number, 1, (40, 50, 3))[0]).save(name)
    return tmp_path


def test_every_snippet_and_the_command_for_folders_run(
    reader: Path,
    run_command: Callable[..., Any],
    run_document: Callable[..., dict[str, Any]],
    start_server: Callable[..., AbstractContextManager[Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (DOCUMENTS / "scoring.md").read_text()
    *_, serve, score = (shlex.split(line)[1:] for line in re.findall(r"^    (ganserve .*)$", text, re.MULTILINE))
    with start_server(None, *serve[1:]) as server:
        done = run_command(*score, "--server", server.address)
        assert done.returncode == 0, done.stderr
        monkeypatch.setattr(core, "parse_addresses", lambda _: (server.address,))
        run_document("scoring.md")
        (call,) = re.findall(r"^    client\.(generate\(.*\))$", text, re.MULTILINE)
        with Client(server.address, model="pets") as client:
            samples = eval(f"client.{call}", {"client": client})  # noqa: S307 - it is the document's own
    assert capsys.readouterr().out.count("\n") == 1
    assert (reader / "scores.csv").read_text().count("\n") == 3
    assert (reader / "scores.sheet.png").is_file()
    assert (len(samples), samples.best_of, samples.scorer.name) == (64, 4, "pets-classifier")


def test_flags_that_it_names_exist(run_command: Callable[..., Any]) -> None:
    helps = {command: run_command(command, "--help").stdout for command in ("export", "score", "generate", "dump")}
    for command, flag in (
        ("export", "--scorer"),
        ("export", "--test-data"),
        ("score", "--class-folders"),
        ("generate", "--best-of"),
        ("generate", "--then"),
        ("dump", "--best-of"),
    ):
        assert flag in helps[command]
