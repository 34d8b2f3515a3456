"""Served models as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.table import Table
from rich.text import Text

from ganserve.client._samples.model_info import ModelInfo, short_name
from ganserve.contract.card import facts, shapes
from ganserve.contract.text import counted, printable
from ganserve.v1.admin_pb2 import ModelStatus
from ganserve.v1.model_pb2 import ModelState, Reproducibility


def model_table(models: Iterable[ModelInfo]) -> Table:
    """One row a model."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("MODEL", no_wrap=True)
    for title in ("STATE", "IMAGE", "CLASSES", "NETWORK", "LOSS", "RUNS ON"):
        table.add_column(title, overflow="fold")
    for model in models:
        table.add_row(
            *(
                Text(printable(cell))
                for cell in (
                    short_name(model.identity),
                    _state(model),
                    shapes(model.card) if model.digest else "",
                    (str(len(model.card.class_names)) if model.card.class_names else "none") if model.digest else "",
                    model.card.architecture,
                    model.card.loss,
                    model.runtime.device,
                )
            )
        )
    return table


def status_table(models: Iterable[ModelStatus]) -> Table:
    """One row a version, as an operator sees it."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("MODEL", no_wrap=True)
    for title in ("STATE", "ALIASES", "CALLS", "LOADED IN", "REASON"):
        table.add_column(title, overflow="fold")
    for model in models:
        is_loaded = bool(model.identity.digest)
        cells = (
            short_name(model.identity),
            ModelState.Name(model.state).removeprefix("MODEL_STATE_").lower() if model.state else "not loaded",
            ", ".join(model.aliases),
            str(model.calls) if is_loaded else "",
            f"{model.load_s:.1f} s" if is_loaded else "",
            model.reason,
        )
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def card_table(model: ModelInfo) -> Table:
    """One row a fact about one model."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for fact, value in _facts(model):
        table.add_row(Text(fact), Text(printable(value)))
    return table


def _facts(model: ModelInfo) -> Iterator[tuple[str, str]]:
    runtime = model.runtime
    yield "model", f"{model.identity.name}:{model.identity.version}"
    yield "digest", model.identity.digest
    yield "state", _state(model)
    if model.aliases:
        yield "aliases", ", ".join(model.aliases)
    yield "runs on", f"{runtime.device}, {runtime.lanes} at once, ONNX Runtime {runtime.onnxruntime_version}"
    yield "golden samples", Reproducibility.Name(model.reproducibility).removeprefix("REPRODUCIBILITY_").lower()
    if model.message.HasField("licences"):
        licences = model.message.licences
        yield "licences", f"{licences.weights} (weights), {licences.data} (data)"
    yield "most a request", counted(model.max_samples_per_request, "sample")
    yield from facts(model.card)


def _state(model: ModelInfo) -> str:
    state = ModelState.Name(model.state).removeprefix("MODEL_STATE_").lower()
    return f"{state}: {model.state_reason}" if model.state_reason else state
