"""Dumps of tiny generators that run in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ganserve.client import LocalGenerator
from ganserve.v1.model_pb2 import ModelCard

MakeBundle = Callable[..., Path]


@pytest.fixture(scope="session")
def bundle(make_bundle: MakeBundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a generator of cats, dogs and emus."""
    return make_bundle(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def source(bundle: Path) -> Iterator[LocalGenerator]:
    """Its samples."""
    with LocalGenerator(bundle, device="cpu") as generator:
        yield generator


@pytest.fixture(scope="session")
def plain_source(
    make_bundle: MakeBundle, tiny_card: ModelCard, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalGenerator]:
    """Samples of an unconditional generator of greyscale images."""
    card = ModelCard()
    card.CopyFrom(tiny_card)
    del card.class_names[:]
    card.image.channels = 1
    bundle = make_bundle(tmp_path_factory.mktemp("models"), "plain", card=card)
    with LocalGenerator(bundle, device="cpu") as generator:
        yield generator


def content(folder: Path) -> dict[str, bytes]:
    """All files below a folder, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
