"""The commands `ganserve generate` and `ganserve models`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

from cyclopts import Group, Parameter
from google.protobuf.json_format import MessageToJson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ganserve.contract.errors import ConfigError, PreconditionError
from ganserve.v1.generator_pb2 import ListModelsResponse

from ._client import Client
from ._label_text import parse_labels
from ._model_info import ModelInfo, short_name
from ._outputs import Recipe, open_output
from ._samples import Samples
from ._tables import card_table, model_table

_DEFAULT_SERVER = "127.0.0.1:50051"

_MODEL = Group("Model", sort_key=1)
_SAMPLES = Group("Samples", sort_key=2)
_OUTPUT = Group("Output", sort_key=3)

Servers = Annotated[
    tuple[str, ...],
    Parameter(negative="", show_default=", ".join, group=_MODEL),
]


def generate(
    *,
    model: Annotated[str, Parameter(group=_MODEL)],
    out: Annotated[str, Parameter(name=("--out", "-o"), group=_OUTPUT)],
    server: Servers = (_DEFAULT_SERVER,),
    version: Annotated[int | None, Parameter(group=_MODEL)] = None,
    digest: Annotated[str, Parameter(group=_MODEL, show_default=False)] = "",
    n: Annotated[int, Parameter(name=("-n", "--num"), group=_SAMPLES)] = 64,
    seed: Annotated[int | None, Parameter(group=_SAMPLES)] = None,
    first_index: Annotated[int, Parameter(group=_SAMPLES)] = 0,
    labels: Annotated[str | None, Parameter(group=_SAMPLES)] = None,
    truncation: Annotated[float | None, Parameter(group=_SAMPLES)] = None,
    format: Annotated[Literal["png", "jpeg", "webp"] | None, Parameter(group=_OUTPUT)] = None,  # noqa: A002
    quality: Annotated[int | None, Parameter(group=_OUTPUT)] = None,
    columns: Annotated[int | None, Parameter(group=_OUTPUT)] = None,
    overwrite: Annotated[bool, Parameter(negative="", show_default=False, group=_OUTPUT)] = False,
    timeout: Annotated[float, Parameter(group=_MODEL)] = 30.0,
) -> None:
    """Fetch samples from a server.

    The same model, seed, index, labels and truncation always give the same image. What is written is there in full or
    not at all.

    For example:

        ganserve generate --model digits -n 64 --seed 7 --out grid.png
        ganserve generate --model digits -n 10000 --labels 0,1,2 --out samples/ --format png
        ganserve generate --model digits -n 500 --labels 0=0.9,1=0.1 --out arrays.npz

    Args:
        model: Name of the model; `ganserve models` lists them.
        out: A .png, .jpg or .webp file for one grid; .npz for arrays (images, labels, indices, seed, digest); or a
            folder such as samples/ for one file a sample beside labels.csv and samples.json.
        server: Address of a server, host:port. Give it several times for several servers.
        version: Version of the model; the highest by default.
        digest: SHA-256 of the model; no other answers.
        n: Number of samples.
        seed: Seed, 0 to 2^64 - 1. One is drawn by default, and told.
        first_index: Index of the first sample under the seed.
        labels: A class name or label (3), balanced, uniform, a list to cycle through (0,1,2), or weights (0=0.9,1=0.1).
            Balanced by default, for a generator that knows classes.
        truncation: Bound on the absolute value of the latents, such as 1.5: fewer odd samples, less variety.
        format: Format of the files in a folder; png by default.
        quality: 1 to 100, for JPEG and WebP; without it, WebP is lossless.
        columns: Samples a row of the grid; about as wide as high by default.
        overwrite: Replace the samples in the folder.
        timeout: Most seconds to wait for the next samples.
    """
    output = open_output(out, format=format, quality=quality, columns=columns, overwrite=overwrite)
    parse_labels(labels)  # refuses nonsense before a server is asked
    with Client(server, model=model, version=version, digest=digest, timeout_s=timeout) as client:
        served = client.get_model()
        stream = client.stream(
            n,
            seed=seed,
            first_index=first_index,
            labels=parse_labels(labels, served.card.class_names),
            truncation=truncation,
            format=output.wire_format,
            quality=output.wire_quality,
        )
        began_s = time.perf_counter()
        recipe = Recipe(n=n, first_index=first_index, labels=labels, truncation=truncation)
        with output.writing(recipe, served.card) as writer, _progress(n) as advance:
            for samples in _by_one_model(stream, served):
                writer.add(samples)
                advance(len(samples))
    rate = n / (time.perf_counter() - began_s)
    drawn = "" if seed is not None else f" (drawn; --seed {samples.seed} gives the same again)"
    print(f"{out}: {n} samples by {short_name(served.identity)}, seed {samples.seed}{drawn}, {rate:,.0f} images/s")


def models(
    *,
    server: Servers = (_DEFAULT_SERVER,),
    model: Annotated[str | None, Parameter(group=_MODEL)] = None,
    version: Annotated[int | None, Parameter(group=_MODEL)] = None,
    json: Annotated[bool, Parameter(negative="", show_default=False, group=_OUTPUT)] = False,
    timeout: Annotated[float, Parameter(group=_MODEL)] = 10.0,
) -> None:
    """List the models of a server, or show one model's card.

    For example:

        ganserve models --server 127.0.0.1:50051
        ganserve models --model digits
        ganserve models --json

    Args:
        server: Address of a server, host:port. Give it several times for several servers.
        model: Name of one model, whose card is shown.
        version: Version of that model; the highest by default.
        json: Print JSON: a ListModelsResponse, or with --model a ServedModel.
        timeout: Most seconds to wait.
    """
    if version is not None and model is None:
        raise ConfigError("--version goes with --model")
    with Client(server, model=model, version=version, timeout_s=timeout) as client:
        if model is not None:
            served = client.get_model()
            shown, message = card_table(served), MessageToJson(served.message, preserving_proto_field_name=True)
        else:
            every = client.list_models()
            reply = ListModelsResponse(models=[model.message for model in every])
            shown, message = model_table(every), MessageToJson(reply, preserving_proto_field_name=True)
    if json:
        print(message)
    else:
        Console().print(shown)


def _by_one_model(stream: Iterable[Samples], served: ModelInfo) -> Iterator[Samples]:
    """The samples, which have to be by the model whose card was read."""
    for samples in stream:
        if samples.model.digest != served.identity.digest:
            raise PreconditionError(
                f"the server changed from {short_name(served.identity)} to {short_name(samples.model)} in between; "
                "run the command again"
            )
        yield samples


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error where people see it. Yields what moves it on by a number of samples."""
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("samples"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        yield lambda num_samples: progress.advance(task, num_samples)
