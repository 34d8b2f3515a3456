"""Served models as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from google.protobuf.json_format import MessageToJson
from rich.table import Table
from rich.text import Text

from ganserve.v1.model_pb2 import ModelCard, ModelIdentity, ModelState, Reproducibility, ServedModel

_MOST_CLASS_NAMES = 20


def model_name(model: ModelIdentity) -> str:
    """Name, version and the beginning of the digest."""
    return f"{model.name}:{model.version}@{model.digest[:12]}"


def model_table(models: Iterable[ServedModel]) -> Table:
    """One row a model."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("MODEL", "STATE", "IMAGE", "CLASSES", "NETWORK", "LOSS", "RUNS ON"):
        table.add_column(title, overflow="fold")
    for model in models:
        table.add_row(
            *map(
                Text,
                (
                    model_name(model.identity),
                    _state(model),
                    _image(model.card),
                    str(len(model.card.class_names)) if model.card.class_names else "none",
                    model.card.architecture,
                    model.card.loss,
                    model.runtime.device,
                ),
            )
        )
    return table


def card_table(model: ServedModel) -> Table:
    """One row a fact about one model."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for fact, value in _facts(model):
        table.add_row(Text(fact), Text(value))
    return table


def _facts(model: ServedModel) -> Iterator[tuple[str, str]]:
    card, runtime = model.card, model.runtime
    yield "model", f"{model.identity.name}:{model.identity.version}"
    yield "digest", model.identity.digest
    yield "state", _state(model)
    yield "image", _image(card)
    yield "latent_dim", str(card.latent_dim)
    yield "classes", _classes(card)
    yield "network", f"{card.architecture}, trained with {card.loss}"
    yield "dataset", f"{card.dataset.name}, {card.dataset.num_images} images, {card.dataset.digest[:12]}"
    yield "images seen", str(card.images_seen)
    for name, value in sorted(card.metrics.items()):
        yield f"metric {name}", f"{value:g}"
    yield "runs on", f"{runtime.device}, {runtime.lanes} at once, ONNX Runtime {runtime.onnxruntime_version}"
    yield "golden samples", Reproducibility.Name(model.reproducibility).removeprefix("REPRODUCIBILITY_").lower()
    yield "most a request", f"{model.max_samples_per_request} samples"
    yield "made with", ", ".join(f"{name} {version}" for name, version in sorted(card.versions.items()))
    if card.HasField("training_config"):
        yield "training", MessageToJson(card.training_config)


def _state(model: ServedModel) -> str:
    return ModelState.Name(model.state).removeprefix("MODEL_STATE_").lower()


def _image(card: ModelCard) -> str:
    return f"{card.image.height}×{card.image.width}×{card.image.channels}"


def _classes(card: ModelCard) -> str:
    names = ", ".join(card.class_names[:_MOST_CLASS_NAMES]) or "none"
    return names if len(card.class_names) <= _MOST_CLASS_NAMES else f"{names}, … ({len(card.class_names)} in all)"
