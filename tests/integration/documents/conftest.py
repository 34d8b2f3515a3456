"""What documents speak of: two servers, their models, and a folder with the bundles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from PIL import Image

from ganserve.client._calls import core
from ganserve.client._transport.addresses import Target, parse_addresses
from ganserve.v1.model_pb2 import ImageShape, ModelCard

MakeBundle = Callable[..., Path]
StartServer = Callable[..., AbstractContextManager[Any]]

CLASSES: Final = ("cat", "dog", "frog")
COUNTS: Final = {"cat": 40, "dog": 15, "frog": 6}
"""Real images of each class that a reader has."""


@pytest.fixture(scope="session")
def pets(make_bundle: MakeBundle, tiny_card: ModelCard, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bundle ``models/pets/1``, of 32×32 images of three classes."""
    card = ModelCard()
    card.CopyFrom(tiny_card)
    card.image.CopyFrom(ImageShape(height=32, width=32, channels=3))
    card.ClearField("class_names")
    card.class_names.extend(CLASSES)
    folder = tmp_path_factory.mktemp("documented")
    make_bundle(folder / "models", "pets", card=card)
    return folder


@pytest.fixture(scope="session")
def addresses(pets: Path, start_server: StartServer) -> Iterator[dict[str, str]]:
    """Where the servers that documents name really are, by the addresses that are printed."""
    with start_server(pets / "models") as one, start_server(pets / "models") as other:
        yield {"127.0.0.1:50051": one.address, "127.0.0.1:50052": other.address}


@pytest.fixture
def reader(pets: Path, addresses: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which a reader runs what is printed, with the servers of the document within reach."""

    def parse_printed(target: Target) -> tuple[str, ...]:
        return tuple(addresses.get(address, address) for address in parse_addresses(target))

    monkeypatch.setattr(core, "parse_addresses", parse_printed)
    monkeypatch.chdir(pets)
    return pets


@pytest.fixture
def folder(reader: Path) -> Path:
    """Where the reader has ``pets/cat/1.png``, …."""
    rng = np.random.default_rng(0)
    for name, count in COUNTS.items():
        (reader / "pets" / name).mkdir(parents=True, exist_ok=True)
        for number in range(1, count + 1):
            picture = Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8))
            picture.save(reader / "pets" / name / f"{number}.png")
    return reader
