"""Generators that people have, given to `export` as they are: each is refused with its cause and its cure."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganserve.contract.errors import ConfigError
from ganserve.exporter import ExportWarning, Target, export
from ganserve.exporter.trial import check_generator
from ganserve.v1.model_pb2 import ModelCard


class Linear(nn.Module):
    """Images of 6×5 from seven latents, shifted by a row of the label's own where there is one."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.project = nn.Linear(7, 90)
        self.embedding = nn.Embedding(num_classes, 7)

    def images(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        if labels is not None:
            z = z + self.embedding(labels)
        return torch.tanh(self.project(z)).unflatten(1, (3, 6, 5))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.images(z, labels)


class OfLatentsAlone(Linear):
    def forward(self, z: Tensor) -> Tensor:  # type: ignore[override]
        return self.images(z)


class OfSpatialLatents(Linear):
    def forward(self, z: Tensor, _labels: Tensor | None = None) -> Tensor:
        batch, size, _, _ = z.shape
        return self.images(z.reshape(batch, size))


class OfSpatialLatentsAlone(OfSpatialLatents):
    def forward(self, z: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(z)


class OfOneHotLabels(Linear):
    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        assert labels is not None
        return self.images(z + labels @ self.embedding.weight)


class OfTwoRows(Linear):
    def forward(self, z: Tensor, _labels: Tensor | None = None) -> Tensor:
        return torch.tanh(self.project(z)).reshape(2, 3, 6, 5)


class OfOneRow(Linear):
    def forward(self, z: Tensor, _labels: Tensor | None = None) -> Tensor:
        return self.images(z)[:1]


class CountingRows(Linear):
    def forward(self, z: Tensor, _labels: Tensor | None = None) -> Tensor:
        return torch.tanh(self.project(z)).reshape(len(z), 3, 6, 5)


class ToPixels(Linear):
    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return (self.images(z, labels) * 127.5 + 127.5).to(torch.uint8)


class ToRows(Linear):
    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.images(z, labels).flatten(1)


class ChannelsLast(Linear):
    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.images(z, labels).permute(0, 2, 3, 1)


class WithFeatures(Linear):
    def forward(self, z: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return self.images(z, labels), z


class TooLarge(Linear):
    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return F.interpolate(self.images(z, labels), scale_factor=2)


class BetweenNoughtAndOne(Linear):
    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.images(z, labels) / 2 + 0.5


@pytest.fixture
def card(tiny_card: ModelCard, request: pytest.FixtureRequest) -> ModelCard:
    card = ModelCard()
    card.CopyFrom(tiny_card)
    if getattr(request, "param", "conditional") == "unconditional":
        del card.class_names[:]
    return card


@pytest.mark.parametrize(
    ("generator", "card", "cause", "cure"),
    [
        (OfLatentsAlone(), "unconditional", "2 positional arguments but 3 were given", "it takes latents alone"),
        (OfSpatialLatents(), "unconditional", "not enough values", r"it takes latents \(N, 7, 1, 1\), so wrap it"),
        (
            OfSpatialLatentsAlone(),
            "unconditional",
            "2 positional",
            r"it takes latents \(N, 7, 1, 1\) alone, so wrap it",
        ),
        (OfOneHotLabels(), "conditional", r"labels \[0, 1, 2\]\) fails", "it takes labels as one-hot rows"),
        (
            Linear(num_classes=2),
            "conditional",
            "index out of range",
            "it knows fewer classes than the card's 3 classes",
        ),
        (OfTwoRows(), "unconditional", "with 2 of them it does not", "its code fixes the batch size"),
        (OfOneRow(), "unconditional", r"images \(1, 3, 6, 5\) of 3 latents", "its code fixes the batch size"),
        (ToPixels(), "conditional", "images of torch.uint8", r"floats in \[-1, 1\], as in images / 127.5 - 1"),
        (ToRows(), "conditional", r"images \(3, 90\)", r"return images.unflatten\(1, \(3, 6, 5\)\)"),
        (ChannelsLast(), "conditional", r"images \(3, 6, 5, 3\)", r"return images.permute\(0, 3, 1, 2\)"),
        (WithFeatures(), "conditional", "gives a tuple", "return its images alone"),
        (TooLarge(), "conditional", r"images \(3, 3, 12, 10\)", "correct the card's image, or the generator"),
        (nn.Linear(8, 90), "unconditional", "2 positional", "the card has latent_dim 7 and no classes"),
        (Linear().to("meta"), "conditional", "the generator is on meta", r"generator\.cpu\(\)"),
    ],
    indirect=["card"],
)
def test_a_generator_that_does_not_fit_is_refused_with_cause_and_cure(
    generator: nn.Module, card: ModelCard, cause: str, cure: str
) -> None:
    with pytest.raises(ConfigError, match=f"{cause}.*{cure}") as caught:
        check_generator(generator.eval(), card)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("card", ["conditional", "unconditional"], indirect=True)
def test_one_that_fits_is_taken(card: ModelCard) -> None:
    check_generator(Linear().eval(), card)


@pytest.mark.parametrize("card", ["unconditional"], indirect=True)
def test_a_batch_size_that_tracing_fixes_is_named(card: ModelCard, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"for all batch sizes: its code fixes the batch size, as len\(z\)"):
        export(CountingRows(), card, Target(models=tmp_path / "models", name="pets"))
    assert not (tmp_path / "models").exists()


def test_a_doubtful_range_is_a_warning_and_in_the_result(card: ModelCard, tmp_path: Path) -> None:
    with pytest.warns(ExportWarning, match="where black is 0 and not -1") as caught:
        result = export(BetweenNoughtAndOne(), card, Target(models=tmp_path, name="pets"))
    assert [str(warning.message) for warning in caught] == list(result.warnings)
    assert caught[0].filename == __file__
    assert f"warning: {result.warnings[0]}" in repr(result)
    assert (result.folder / "model.onnx").is_file()
