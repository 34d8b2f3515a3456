"""Generators that people have, given to `export` as they are: each is refused with its cause and its cure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from ganserve.contract.errors import ConfigError
from ganserve.exporter import ExportWarning, Target, export
from ganserve.exporter.trial import check_generator
from ganserve.v1.model_pb2 import ModelCard

from .misfits import (
    Branching,
    ChannelsLast,
    CountingRows,
    FlatRows,
    HalfImages,
    IgnoringLabels,
    IgnoringLatents,
    ImagesAndLatents,
    LatentsAlone,
    Linear,
    OneHotLabels,
    OneRow,
    Pixels,
    SpatialLatents,
    SpatialLatentsAlone,
    TooLarge,
    TwoRows,
    UnitRange,
)


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
        (LatentsAlone(), "unconditional", "2 positional arguments but 3 were given", "it takes latents alone"),
        (SpatialLatents(), "unconditional", "not enough values", r"it takes latents \(N, 7, 1, 1\), so wrap it"),
        (
            SpatialLatentsAlone(),
            "unconditional",
            "2 positional",
            r"it takes latents \(N, 7, 1, 1\) alone, so wrap it",
        ),
        (OneHotLabels(), "conditional", r"labels \[0, 1, 2\]\) fails", "it takes labels as one-hot rows"),
        (
            Linear(num_classes=2),
            "conditional",
            "index out of range",
            "it knows fewer classes than the card's 3 classes",
        ),
        (TwoRows(), "unconditional", "with 2 of them it does not", "its code fixes the batch size"),
        (OneRow(), "unconditional", r"images \(1, 3, 6, 5\) of 3 latents", "its code fixes the batch size"),
        (Pixels(), "conditional", "images of torch.uint8", r"floats in \[-1, 1\], as in images / 127.5 - 1"),
        (HalfImages(), "conditional", "images of torch.float16", r"return images\.float\(\)"),
        (Linear().half(), "conditional", "its weights are torch.float16", r"call generator\.float\(\)"),
        (FlatRows(), "conditional", r"images \(3, 90\)", r"return images.unflatten\(1, \(3, 6, 5\)\)"),
        (ChannelsLast(), "conditional", r"images \(3, 6, 5, 3\)", r"return images.permute\(0, 3, 1, 2\)"),
        (ImagesAndLatents(), "conditional", "gives a tuple", "return its images alone"),
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


@pytest.mark.parametrize(
    ("generator", "message"),
    [(None, "is None"), (lambda z, _: z, "is a function"), (Linear, r"is the class Linear; .*Linear\(")],
)
def test_what_is_no_module_is_refused(generator: Any, message: str, card: ModelCard, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"the generator {message}"):
        export(generator, card, Target(models=tmp_path, name="pets"))


def test_a_branch_on_values_is_one_plain_line(
    card: ModelCard, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match="its forward branches on values of tensors") as caught:
        export(Branching(), card, Target(models=tmp_path, name="pets"))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("generator", "message"),
    [(IgnoringLatents(), "ignores its latents"), (IgnoringLabels(), "ignores its labels")],
)
def test_what_the_images_do_not_depend_on_is_a_warning(
    generator: nn.Module, message: str, card: ModelCard, tmp_path: Path
) -> None:
    with pytest.warns(ExportWarning, match=message):
        result = export(generator, card, Target(models=tmp_path, name="pets"))
    assert len(result.warnings) == 1


def test_a_doubtful_range_is_a_warning_and_in_the_result(card: ModelCard, tmp_path: Path) -> None:
    with pytest.warns(ExportWarning, match="where black is 0 and not -1") as caught:
        result = export(UnitRange(), card, Target(models=tmp_path, name="pets"))
    assert [str(warning.message) for warning in caught] == list(result.warnings)
    assert caught[0].filename == __file__
    assert f"warning: {result.warnings[0]}" in repr(result)
    assert (result.folder / "model.onnx").is_file()
