"""The code that docs/exporting.md shows for a generator of one's own, run as it stands there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ganserve.contract.latents import sample_latents
from ganserve.exporter import Target, export
from ganserve.exporter.trial import check_generator
from ganserve.runtime.inspection import inspect_bundle
from ganserve.v1.model_pb2 import ModelCard

from .misfits import (
    ChannelsLast,
    FlatRows,
    ImagesAndLatents,
    LatentsAlone,
    Linear,
    OneHotLabels,
    Pixels,
    SpatialLatentsAlone,
    UnitRange,
)

ADAPTERS: list[tuple[str, nn.Module]] = [
    ("TakesLatentsAlone", LatentsAlone()),
    ("TakesSpatialLatents", SpatialLatentsAlone()),
    ("TakesOneHotLabels", OneHotLabels()),
    ("GivesUnitRange", UnitRange()),
    ("GivesPixels", Pixels()),
    ("GivesChannelsLast", ChannelsLast()),
    ("GivesRows", FlatRows()),
    ("GivesMore", ImagesAndLatents()),
]


@pytest.fixture(scope="module")
def documented(run_document: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All names that the code defines, after it was run in a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("documented"))
        names = run_document("exporting.md", "A generator of your own in PyTorch")
        names["inspection"] = inspect_bundle(Path("models/mine/1"))
    return names


def test_the_export_line_works(documented: dict[str, Any]) -> None:
    card = documented["inspection"].card
    assert (card.latent_dim, list(card.class_names)) == (64, ["cat", "dog"])
    assert documented["result"].warnings == ()


def test_every_adapter_is_tried_here(documented: dict[str, Any]) -> None:
    adapters = {name for name, value in documented.items() if name != "Adapter" and is_adapter(documented, value)}
    assert adapters == {name for name, _ in ADAPTERS}


def is_adapter(documented: dict[str, Any], value: object) -> bool:
    return isinstance(value, type) and issubclass(value, documented["Adapter"])


@pytest.mark.parametrize(("name", "generator"), ADAPTERS)
def test_an_adapter_makes_its_generator_fit(
    documented: dict[str, Any], tiny_card: ModelCard, name: str, generator: nn.Module
) -> None:
    documented["card"].CopyFrom(tiny_card)
    adapted = documented[name](generator).eval()
    check_generator(adapted, tiny_card)
    latents, labels = torch.from_numpy(sample_latents(0, 0, 3, 7)), torch.tensor([0, 1, 2])
    expected = Linear()(latents, None if "Latents" in name else labels)
    assert (adapted(latents, labels) - expected).abs().max() <= 1 / 127.5


@pytest.mark.parametrize(("name", "generator"), [ADAPTERS[1], ADAPTERS[2], ADAPTERS[4]])
def test_an_adapted_generator_is_exported(
    documented: dict[str, Any], tiny_card: ModelCard, tmp_path: Path, name: str, generator: nn.Module
) -> None:
    card = ModelCard()
    card.CopyFrom(tiny_card)
    if "Latents" in name:
        del card.class_names[:]  # these generators take no labels
    documented["card"].CopyFrom(card)
    result = export(documented[name](generator), card, Target(models=tmp_path, name="pets"))
    assert result.warnings == ()
