"""The command `ganserve generate`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Group, Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ganserve.client._label_text import explain, parse_counts, parse_labels
from ganserve.client._labels import ClassKey
from ganserve.client._model_info import ModelInfo, short_name
from ganserve.client._outputs import OutputOptions, open_output
from ganserve.client._sample_folder import Recipe
from ganserve.client._samples import Samples
from ganserve.contract.errors import ConfigError, PreconditionError
from ganserve.contract.images import FileFormatName

from .source import DEFAULT_SERVER, MODEL, Servers, open_source, show_waiting

_DEFAULT_NUM: Final = 64

_SAMPLES = Group("Samples", sort_key=2)
_OUTPUT = Group("Output", sort_key=3)


def generate(
    *,
    out: Annotated[str, Parameter(name=("--out", "-o"), group=_OUTPUT)],
    model: Annotated[str | None, Parameter(group=MODEL)] = None,
    bundle: Annotated[Path | None, Parameter(group=MODEL)] = None,
    server: Servers = (DEFAULT_SERVER,),
    version: Annotated[int | None, Parameter(group=MODEL)] = None,
    digest: Annotated[str, Parameter(group=MODEL, show_default=False)] = "",
    n: Annotated[int | None, Parameter(name=("-n", "--num"), group=_SAMPLES)] = None,
    seed: Annotated[int | None, Parameter(group=_SAMPLES)] = None,
    first_index: Annotated[int, Parameter(group=_SAMPLES)] = 0,
    labels: Annotated[str | None, Parameter(group=_SAMPLES)] = None,
    counts: Annotated[str | None, Parameter(group=_SAMPLES)] = None,
    truncation: Annotated[float | None, Parameter(group=_SAMPLES)] = None,
    columns: Annotated[int | None, Parameter(group=_OUTPUT)] = None,
    captions: Annotated[bool, Parameter(negative="", show_default=False, group=_OUTPUT)] = False,
    format: Annotated[FileFormatName | None, Parameter(group=_OUTPUT)] = None,  # noqa: A002
    quality: Annotated[int | None, Parameter(group=_OUTPUT)] = None,
    class_folders: Annotated[bool, Parameter(negative="", show_default=False, group=_OUTPUT)] = False,
    overwrite: Annotated[bool, Parameter(negative="", show_default=False, group=_OUTPUT)] = False,
    timeout: Annotated[float, Parameter(group=MODEL)] = 30.0,
) -> None:
    """Fetch samples from a server, or make them here from a bundle.

    The same model, seed, index, labels and truncation always give the same image. What is written is there in full or
    not at all.

    For example:

        ganserve generate --model digits -n 64 --seed 7 --out grid.png
        ganserve generate --model digits -n 10000 --labels 0,1,2 --out samples/
        ganserve generate --model pets --counts dog=1100,frog=1400 --out more/ --class-folders
        ganserve generate --model digits -n 500 --labels 0=0.9,1=0.1 --out arrays.npz
        ganserve generate --bundle models/digits/1 -n 64 --seed 7 --out grid.png

    Args:
        model: Name of the model, or name:version, as `ganserve models` lists them.
        bundle: Folder of a bundle, MODELS/NAME/VERSION, to run here without a server, in place of --model and --server.
        out: A .png, .jpg or .webp file for one grid; .npz for arrays (images, labels, class_names, indices, seed,
            digest); or a folder such as samples/ for one file a sample beside labels.csv and samples.json.
        server: Address of a server, host:port. Give it several times for several servers.
        version: Version of the model; the highest by default.
        digest: SHA-256 of the model; no other answers.
        n: Number of samples; 64 by default. --counts say it themselves.
        seed: Seed, 0 to 2^64 - 1. One is drawn by default, and told.
        first_index: Index of the first sample under the seed.
        labels: A class (cat, or its label 3), balanced, uniform, a list to cycle through (0,1,2), or weights
            (0=0.9,1=0.1). Balanced by default, for a generator that knows classes. A number is a label, counted from 0,
            unless a class has that very name.
        counts: Exactly how many samples of each class, in place of --labels: dog=1100,frog=1400.
        truncation: Bound on the absolute value of the latents, such as 1.5: fewer odd samples, less variety.
        columns: Samples a row of the grid; about as wide as high by default.
        captions: Write the class below each sample of the grid.
        format: Format of the files in a folder; png by default.
        quality: 1 to 100, for JPEG and WebP; without it, WebP is lossless.
        class_folders: Put the files of each class into a folder of its own, as `ganserve train --data` reads them.
        overwrite: Replace the samples in the folder.
        timeout: Most seconds to wait for the next samples.
    """
    show_waiting()
    options = OutputOptions(
        format=format,
        quality=quality,
        columns=columns,
        captions=captions,
        class_folders=class_folders,
        overwrite=overwrite,
    )
    output = open_output(out, options)
    with open_source(model, bundle, server, version=version, digest=digest, timeout_s=timeout) as source:
        served = source.get_model()
        class_names = tuple(served.card.class_names)
        counted = parse_counts(counts, class_names)
        num = _num_samples(n, counted)
        stream = source.stream(
            num,
            seed=seed,
            first_index=first_index,
            labels=parse_labels(labels, class_names),
            counts=counted,
            truncation=truncation,
            format=output.wire_format,
            quality=output.wire_quality,
        )
        if reading := explain(labels, class_names) or explain(counts, class_names):
            print(f"ganserve: {reading}", file=sys.stderr)
        began_s = time.perf_counter()
        recipe = Recipe(n=num, first_index=first_index, labels=labels, counts=counts, truncation=truncation)
        with output.writing(recipe, served.card) as writer, _progress(num) as advance:
            for samples in _by_one_model(stream, served):
                writer.add(samples)
                advance(len(samples))
    rate = num / (time.perf_counter() - began_s)
    drawn = "" if seed is not None else f" (drawn; --seed {samples.seed} gives the same again)"
    print(f"{out}: {num:,} samples of {short_name(served.identity)}, seed {samples.seed}{drawn}, {rate:,.0f} images/s")
    if legend := writer.legend():
        print(legend)


def _num_samples(n: int | None, counts: dict[ClassKey, int] | None) -> int:
    if counts is None:
        return _DEFAULT_NUM if n is None else n
    if n is not None:
        raise ConfigError("--counts say how many samples there are; leave -n out, or give --labels in their place")
    return sum(counts.values())


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
