"""The model card: its JSON form, its checks, and the few questions that every component asks of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from google.protobuf import json_format

from ganserve.contract.errors import ArtifactError, InvalidRequestError
from ganserve.contract.scores import PERCENTS, knows_classes
from ganserve.contract.text import counted
from ganserve.v1.model_pb2 import ImageRole, ImageShape, ModelCard, ModelKind

LATENT_SCHEME = "philox4x64-as241-v1"
UNKNOWN = "unknown"
"""Where a generator from elsewhere does not say its family, loss or data."""
MAX_LATENT_DIM = 65_536
MAX_IMAGE_SIDE = 16_384
_MOST_CLASS_NAMES = 20


def to_json(card: ModelCard) -> str:
    """The card as JSON with sorted keys, so that equal cards give equal text."""
    return json_format.MessageToJson(card, preserving_proto_field_name=True, sort_keys=True, indent=2)


def from_json(text: str, *, source: str) -> ModelCard:
    """Reads and checks a card; `source` names the file it came from. Raises ArtifactError.

    Unknown fields are ignored, so that an older ganserve reads a newer card.
    """
    try:
        card = json_format.Parse(text, ModelCard(), ignore_unknown_fields=True)
    except (json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise ArtifactError(f"{source}: the model card cannot be read ({error})") from error
    check(card, source=source)
    return card


def check(card: ModelCard, *, source: str) -> None:
    """Raises ArtifactError where the card cannot describe a model."""

    def require(condition: bool, fault: str) -> None:
        if not condition:
            raise ArtifactError(f"{source}: the model card is not usable: {fault}")

    require(card.kind in ModelKind.values(), f"it is of kind {card.kind}, which this ganserve does not know")
    least = 0 if takes_images(card) else 1
    require(
        least <= card.latent_dim <= MAX_LATENT_DIM,
        f"latent_dim is {card.latent_dim}, not {least} to {MAX_LATENT_DIM}",
    )
    made = () if is_scorer(card) else (("image", card.image),)
    for name, shape in (*made, *((entry.name, entry.shape) for entry in card.inputs)):
        require(
            1 <= shape.height <= MAX_IMAGE_SIDE and 1 <= shape.width <= MAX_IMAGE_SIDE,
            f"the {name} is {shape.height}×{shape.width}, not 1 to {MAX_IMAGE_SIDE} a side",
        )
        require(shape.channels in (1, 3), f"the {name} has {shape.channels} channels, not 1 or 3")
    require(len(set(card.class_names)) == len(card.class_names), "two classes have the same name")
    require(
        card.latent_dim == 0 or card.latent_scheme == LATENT_SCHEME,
        f"its latent scheme is {card.latent_scheme!r}, and this ganserve knows {LATENT_SCHEME!r}",
    )
    fault = {
        ModelKind.MODEL_KIND_TRANSLATOR: _translator_fault,
        ModelKind.MODEL_KIND_SCORER: _scorer_fault,
    }.get(card.kind, _generator_fault)(card)
    require(not fault, fault)


def _generator_fault(card: ModelCard) -> str:
    """What is wrong with a generator beside its shapes; empty where nothing is."""
    if card.inputs or card.HasField("halo"):
        return "a generator takes no images"
    return "a generator gives no scores" if card.scores else ""


def _translator_fault(card: ModelCard) -> str:
    """What is wrong with the images that a translator takes; empty where nothing is."""
    if card.scores:
        return "a translator gives no scores"
    roles = [entry.role for entry in card.inputs]
    if roles not in ([ImageRole.IMAGE_ROLE_IMAGE], [ImageRole.IMAGE_ROLE_IMAGE, ImageRole.IMAGE_ROLE_MASK]):
        return "a translator takes an image, and perhaps a mask"
    image, mask = card.inputs[0].shape, card.inputs[-1].shape
    if (card.image.height % image.height, card.image.width % image.width) != (0, 0):
        return "its images are not whole multiples of those that it takes"
    if card.image.height // image.height != card.image.width // image.width:
        return "it stretches images"
    if len(roles) > 1 and (mask.height, mask.width, mask.channels) != (image.height, image.width, 1):
        return "its mask has another shape than its image, in one channel"
    if 2 * card.halo >= min(image.height, image.width):
        return f"its halo is {card.halo}, and nothing is left of an image of {image.height}×{image.width}"
    return ""


def _scorer_fault(card: ModelCard) -> str:
    """What is wrong with what a scorer takes and gives; empty where nothing is."""
    if [entry.role for entry in card.inputs] != [ImageRole.IMAGE_ROLE_IMAGE] or card.latent_dim or card.class_names:
        return "a scorer takes an image, and nothing else"
    if card.HasField("image") or card.HasField("halo"):
        return "a scorer makes no images"
    names = [score.name for score in card.scores]
    if not names or card.scores[0].of_class:
        return "a scorer gives a number for images whose class is not known, and that first"
    if not all(names) or len(set(names)) != len(names):
        return "its scores have no names, or two of them the same"
    for score in card.scores:
        quantiles = score.quantiles
        if quantiles and (len(quantiles) != len(PERCENTS) or not all(low <= high for low, high in pairwise(quantiles))):
            return f"the quantiles of {score.name} are not {len(PERCENTS)} in ascending order"
    return ""


def is_translator(card: ModelCard) -> bool:
    """Whether it makes images of images."""
    return card.kind == ModelKind.MODEL_KIND_TRANSLATOR


def is_scorer(card: ModelCard) -> bool:
    """Whether it makes numbers of images."""
    return card.kind == ModelKind.MODEL_KIND_SCORER


def takes_images(card: ModelCard) -> bool:
    """Whether it is a translator or a scorer."""
    return is_translator(card) or is_scorer(card)


def kind_of(card: ModelCard) -> str:
    """What it is, for people."""
    return "scorer" if is_scorer(card) else "translator" if is_translator(card) else "generator"


def check_kind(card: ModelCard, kind: str, *, field: str) -> None:
    """Raises InvalidRequestError, which names the field, where a model is of another kind, as `kind_of` calls it."""
    if kind_of(card) != kind:
        raise InvalidRequestError(f"this model is a {kind_of(card)}; give the name of a {kind}", field=field)


def larger_images(card: ModelCard) -> str:
    """What a translator makes of images that are larger than those it takes, for people."""
    if card.HasField("halo"):
        return f"are cut into tiles, with a halo of {card.halo}"
    return "are not taken"


def scale_of(card: ModelCard) -> int:
    """Pixels of a side that a translator makes of each pixel."""
    return card.image.height // card.inputs[0].shape.height


def is_conditional(card: ModelCard) -> bool:
    """Whether the model takes a label."""
    return len(card.class_names) > 0


def image_shape(card: ModelCard) -> tuple[int, int, int]:
    """Height, width and channels of one image that it makes."""
    return card.image.height, card.image.width, card.image.channels


def shapes(card: ModelCard) -> str:
    """What it makes, and of images of which size where it takes some, in short, for people."""
    taken = "".join(f"{_by(entry.shape)} → " for entry in card.inputs[:1])
    return taken + (counted(len(card.scores), "score") if is_scorer(card) else _by(card.image))


def _by(shape: ImageShape) -> str:
    return f"{shape.height}×{shape.width}×{shape.channels}"


def facts(card: ModelCard) -> Iterator[tuple[str, str]]:
    """What the card says, line by line, for people: a short name and a text."""
    if not is_scorer(card):
        yield "image", _by(card.image)
    for entry in card.inputs:
        yield f"takes {entry.name}", _by(entry.shape)
    if is_translator(card):
        yield "larger images", larger_images(card)
    if card.latent_dim:
        yield "latent_dim", f"{card.latent_dim}, addressed by {card.latent_scheme}"
    if is_scorer(card):
        yield "scores", _listed([score.name for score in card.scores])
        of = "each, over held-out real images" if any(score.quantiles for score in card.scores) else "not measured"
        yield "quantiles", f"{of}{', by class' if knows_classes(card) else ''}"
    else:
        yield "classes", _listed(card.class_names)
    yield "network", card.architecture if card.loss == UNKNOWN else f"{card.architecture}, trained with {card.loss}"
    dataset = card.dataset
    known = f", {counted(dataset.num_images, 'image')}, {dataset.digest[:12]}" if dataset.num_images else ""
    yield "dataset", f"{dataset.name}{known}"
    if card.images_seen:
        yield "images seen", f"{card.images_seen:,}"
    for name, value in sorted(card.metrics.items()):
        yield f"metric {name}", f"{value:g}"
    yield from (("warning", warning) for warning in card.warnings)
    if card.versions:
        yield "made with", ", ".join(f"{name} {version}" for name, version in sorted(card.versions.items()))
    if card.HasField("training_config"):
        settings = json_format.MessageToDict(card.training_config)
        yield "training", ", ".join(f"{name} {_setting(value)}" for name, value in sorted(settings.items()))


def _setting(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(_with_whole_numbers(value), ensure_ascii=False)


def _with_whole_numbers(value: Any) -> Any:
    """JSON values as people write them; a Struct knows no whole numbers."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case list():
            return [_with_whole_numbers(item) for item in value]
        case dict():
            return {name: _with_whole_numbers(item) for name, item in value.items()}
    return value


def _listed(all_names: Sequence[str]) -> str:
    names = ", ".join(all_names[:_MOST_CLASS_NAMES]) or "none"
    return names if len(all_names) <= _MOST_CLASS_NAMES else f"{names}, … ({len(all_names)} in all)"
