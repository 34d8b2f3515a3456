from __future__ import annotations

from typing import Any

import pytest

from ganserve.contract import card as model_card
from ganserve.contract.errors import ArtifactError
from ganserve.v1.model_pb2 import (
    DatasetFingerprint,
    ImageInput,
    ImageRole,
    ImageShape,
    ModelCard,
    ModelKind,
    ScoreOutput,
)

from ...scorers import scorer_card


def make_card(**changes: Any) -> ModelCard:
    fields: dict[str, Any] = {
        "latent_dim": 64,
        "image": ImageShape(height=28, width=20, channels=1),
        "class_names": ["cat", "dog"],
        "architecture": "dcgan",
        "loss": "non-saturating",
        "dataset": DatasetFingerprint(name="pets", digest="0" * 64, num_images=10),
        "latent_scheme": model_card.LATENT_SCHEME,
    }
    card = ModelCard(**fields | changes)
    card.training_config.update({"steps": 10, "lr": 2e-4})
    return card


def test_json_makes_the_round_trip_and_is_stable() -> None:
    card = make_card()
    text = model_card.to_json(card)
    assert model_card.from_json(text, source="here") == card
    assert model_card.to_json(model_card.from_json(text, source="here")) == text


def test_fields_of_a_newer_ganserve_are_passed_over() -> None:
    text = model_card.to_json(make_card()).replace("{", '{"invented_later": 1,', 1)
    assert model_card.from_json(text, source="here") == make_card()


def test_the_questions() -> None:
    assert model_card.is_conditional(make_card())
    assert not model_card.is_conditional(make_card(class_names=[]))
    assert model_card.image_shape(make_card()) == (28, 20, 1)


def test_people_read_its_facts() -> None:
    card = make_card(images_seen=64_000)
    settings: dict[str, Any] = {
        "augment": "",
        "arch": "dcgan",
        "betas": [0.0, 0.9],
        "mirror": True,
        "size": None,
        "seed": 2**53 - 1,
    }
    card.training_config.update(settings)
    facts = dict(model_card.facts(card))
    assert facts["images seen"] == "64,000"
    assert facts["training"] == (
        'arch dcgan, augment "", betas [0, 0.9], lr 0.0002, mirror true, seed 9007199254740991, size null, steps 10'
    )


def test_warnings_are_told_one_by_one() -> None:
    card = make_card(warnings=["samples repeat themselves", "the judge is weak"])
    told = [text for name, text in model_card.facts(card) if name == "warning"]
    assert told == ["samples repeat themselves", "the judge is weak"]
    assert model_card.from_json(model_card.to_json(card), source="here") == card
    assert "warnings" not in model_card.to_json(make_card()), "a card without any has the text that it always had"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent_dim": 0}, "latent_dim is 0"),
        ({"image": ImageShape(height=28, width=20, channels=2)}, "2 channels"),
        ({"image": ImageShape(height=0, width=20, channels=1)}, "0×20"),
        ({"class_names": ["cat", "cat"]}, "the same name"),
        ({"latent_scheme": "other"}, "'other'"),
    ],
)
def test_impossible_cards_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError, match="pets: the model card is not usable") as caught:
        model_card.from_json(model_card.to_json(make_card(**changes)), source="pets")
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"latent_dim": "many"}'])
def test_what_is_no_card_is_refused(text: str) -> None:
    with pytest.raises(ArtifactError, match="here: the model card"):
        model_card.from_json(text, source="here")


def make_translator_card(**changes: Any) -> ModelCard:
    shape = ImageShape(height=32, width=48, channels=3)
    image = ImageInput(name="image", role=ImageRole.IMAGE_ROLE_IMAGE, shape=shape)
    fields: dict[str, Any] = {
        "kind": ModelKind.MODEL_KIND_TRANSLATOR,
        "image": ImageShape(height=64, width=96, channels=3),
        "inputs": [image],
        "halo": 6,
    }
    return ModelCard(**fields | changes)


def test_a_translator_takes_images_and_need_not_take_latents() -> None:
    card = make_translator_card()
    model_card.check(card, source="here")
    assert model_card.is_translator(card)
    assert not model_card.is_translator(make_card())
    assert model_card.scale_of(card) == 2
    assert dict(model_card.facts(card))["larger images"] == "are cut into tiles, with a halo of 6"
    card.ClearField("halo")
    assert dict(model_card.facts(card))["larger images"] == "are not taken"


def test_cards_of_generators_say_nothing_of_kinds() -> None:
    assert "kind" not in model_card.to_json(make_card())
    assert "halo" not in model_card.to_json(make_card())


def mask(height: int, width: int) -> ImageInput:
    shape = ImageShape(height=height, width=width, channels=1)
    return ImageInput(name="mask", role=ImageRole.IMAGE_ROLE_MASK, shape=shape)


@pytest.mark.parametrize(
    ("card", "fault"),
    [
        (make_card(halo=1), "a generator takes no images"),
        (make_card(kind=9), "it is of kind 9, which this ganserve does not know"),
        (make_translator_card(inputs=[]), "a translator takes an image, and perhaps a mask"),
        (make_translator_card(inputs=[mask(32, 48)]), "a translator takes an image, and perhaps a mask"),
        (
            make_translator_card(inputs=[*make_translator_card().inputs, mask(32, 32)]),
            "its mask has another shape than its image",
        ),
        (make_translator_card(image=ImageShape(height=65, width=96, channels=3)), "its images are not whole multiples"),
        (make_translator_card(image=ImageShape(height=64, width=48, channels=3)), "it stretches images"),
        (make_translator_card(halo=16), "its halo is 16, and nothing is left of an image of 32×48"),
        (make_translator_card(latent_dim=8), "its latent scheme is ''"),
    ],
)
def test_what_no_model_can_be(card: ModelCard, fault: str) -> None:
    with pytest.raises(ArtifactError, match=fault):
        model_card.check(card, source="here")


def make_scorer_card(**changes: Any) -> ModelCard:
    card = scorer_card(["cat", "dog"])
    for name, value in changes.items():
        card.ClearField(name)  # type: ignore[arg-type]
        card.MergeFrom(ModelCard(**{name: value}))
    return card


def named(*names: str, of_class: bool = False) -> list[ScoreOutput]:
    return [ScoreOutput(name=name, of_class=of_class) for name in names]


def test_a_scorer_takes_images_and_gives_numbers() -> None:
    card = make_scorer_card()
    model_card.check(card, source="here")
    assert model_card.from_json(model_card.to_json(card), source="here") == card
    assert model_card.is_scorer(card)
    assert model_card.takes_images(card)
    assert not model_card.is_translator(card)
    assert not model_card.is_conditional(card)
    assert not any(map(model_card.is_scorer, (make_card(), make_translator_card())))
    assert [model_card.takes_images(other) for other in (make_card(), make_translator_card())] == [False, True]
    kinds = [model_card.kind_of(other) for other in (make_card(), make_translator_card(), card)]
    assert kinds == ["generator", "translator", "scorer"]
    model_card.check(make_scorer_card(scores=named("realness")), source="here")


def test_people_read_what_a_model_makes_of_what() -> None:
    assert model_card.shapes(make_card()) == "28×20×1"
    assert model_card.shapes(make_translator_card()) == "32×48×3 → 64×96×3"
    assert model_card.shapes(make_scorer_card()) == "6×5×3 → 3 scores"
    assert model_card.shapes(make_scorer_card(scores=named("realness"))) == "6×5×3 → 1 score"


def test_people_read_the_facts_of_a_scorer() -> None:
    facts = dict(model_card.facts(make_scorer_card()))
    assert facts["takes image"] == "6×5×3"
    assert facts["scores"] == "realness, cat, dog"
    assert facts["quantiles"] == "each, over held-out real images, by class"
    assert not {"image", "latent_dim", "classes", "larger images"} & set(facts)
    assert dict(model_card.facts(make_scorer_card(scores=named("realness"))))["quantiles"] == "not measured"


def test_cards_of_other_models_say_nothing_of_scores() -> None:
    assert "scores" not in model_card.to_json(make_card())
    assert "scores" not in model_card.to_json(make_translator_card())


@pytest.mark.parametrize(
    ("card", "fault"),
    [
        (make_scorer_card(inputs=[]), "a scorer takes an image, and nothing else"),
        (
            make_scorer_card(inputs=[*make_scorer_card().inputs, mask(6, 5)]),
            "a scorer takes an image, and nothing else",
        ),
        (make_scorer_card(class_names=["cat"]), "a scorer takes an image, and nothing else"),
        (
            make_scorer_card(latent_dim=3, latent_scheme=model_card.LATENT_SCHEME),
            "a scorer takes an image, and nothing",
        ),
        (make_scorer_card(image=ImageShape(height=6, width=5, channels=3)), "a scorer makes no images"),
        (make_scorer_card(halo=1), "a scorer makes no images"),
        (make_scorer_card(scores=[]), "whose class is not known, and that first"),
        (make_scorer_card(scores=named("cat", of_class=True)), "whose class is not known, and that first"),
        (make_scorer_card(scores=named("realness", "")), "its scores have no names, or two of them the same"),
        (make_scorer_card(scores=named("cat") + named("cat", of_class=True)), "have no names, or two of them the same"),
        (
            make_scorer_card(scores=[ScoreOutput(name="realness", quantiles=[1, 2])]),
            "the quantiles of realness are not 113 in ascending order",
        ),
        (
            make_scorer_card(scores=[ScoreOutput(name="realness", quantiles=range(113, 0, -1))]),
            "the quantiles of realness are not 113 in ascending order",
        ),
        (
            make_scorer_card(scores=[ScoreOutput(name="realness", quantiles=[float("nan")] * 113)]),
            "the quantiles of realness are not 113 in ascending order",
        ),
        (
            make_scorer_card(inputs=[ImageInput(name="image", role=ImageRole.IMAGE_ROLE_IMAGE, shape=ImageShape())]),
            "the image is 0×0",
        ),
        (make_card(scores=named("realness")), "a generator gives no scores"),
        (make_translator_card(scores=named("realness")), "a translator gives no scores"),
    ],
)
def test_what_no_scorer_can_be(card: ModelCard, fault: str) -> None:
    with pytest.raises(ArtifactError, match=fault):
        model_card.check(card, source="here")
