"""The command `ganserve generate`."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Group, Parameter

from ganserve.client._sample_address import Address, address_of
from ganserve.client._samples.model_info import ModelInfo, short_name
from ganserve.client._samples.outputs import OutputOptions, open_output
from ganserve.client._samples.recipes import Recipe
from ganserve.client.formats.contents import Contents
from ganserve.contract.errors import ConfigError, PreconditionError
from ganserve.contract.images import FileFormatName
from ganserve.contract.text import counted
from ganserve.flags import Timeout

from .access import AccessFlags
from .chain_flags import ChainFlags, ChainOptions, chain_arguments
from .classes import read_classes
from .legend import Legend
from .progress import showing_progress
from .source import DEFAULT_SERVER, MODEL, Servers, open_source, show_waiting

_DEFAULT_NUM: Final = 64

_SAMPLES = Group("Samples", sort_key=2)
_OUTPUT = Group("Output", sort_key=4)


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
    spread: Annotated[float | None, Parameter(group=_SAMPLES)] = None,
    like: Annotated[Path | None, Parameter(group=_SAMPLES)] = None,
    chain: ChainFlags = None,
    columns: Annotated[int | None, Parameter(group=_OUTPUT)] = None,
    captions: Annotated[bool, Parameter(negative="", show_default=False, group=_OUTPUT)] = False,
    format: Annotated[FileFormatName | None, Parameter(group=_OUTPUT)] = None,  # noqa: A002
    quality: Annotated[int | None, Parameter(group=_OUTPUT)] = None,
    class_folders: Annotated[bool, Parameter(negative="", show_default=False, group=_OUTPUT)] = False,
    overwrite: Annotated[bool, Parameter(negative="", show_default=False, group=_OUTPUT)] = False,
    timeout: Annotated[Timeout, Parameter(group=MODEL)] = 30.0,
    access: AccessFlags = None,
) -> None:
    """Fetch samples from a server, or make them here from a bundle.

    The same model, seed, index, labels, truncation and spread always give the same image. What is written is there in
    full or not at all.

    For example:

        ganserve generate --model digits -n 64 --seed 7 --out grid.png
        ganserve generate --model digits -n 10000 --labels 0,1,2 --out samples/
        ganserve generate --model pets --counts dog=1100,frog=1400 --out more/ --class-folders
        ganserve generate --model digits -n 500 --labels 0=0.9,1=0.1 --out arrays.npz
        ganserve generate --bundle models/digits/1 -n 64 --seed 7 --out grid.png
        ganserve generate --like more/dog/7-000012.png --out again/
        ganserve generate --model faces -n 64 --best-of 4 --then sr2x --out better.png

    Args:
        model: Name of the model, name:version as `ganserve models` lists them, or name:alias.
        bundle: Folder of a bundle, MODELS/NAME/VERSION, to run here without a server, in place of --model and --server.
        out: A .png, .jpg or .webp file for one grid; .npz for arrays (images, labels, class_names, indices, seed,
            digest); a folder such as samples/ for one file a sample beside labels.csv and samples.json; or a .zip, .tar
            (WebDataset) or .parquet (Hugging Face) of such files.
        server: Address of a server, host:port. Give it several times for several servers.
        version: Version of the model; the alias stable, or else the highest, by default.
        digest: SHA-256 of the model; no other answers.
        n: Number of samples; 64 by default. --counts say it themselves.
        seed: Seed, 0 to 2^64 - 1. One is drawn by default, and told.
        first_index: Index of the first sample under the seed.
        labels: A class (cat, or its label 3), balanced, uniform, a list to cycle through (0,1,2), or weights
            (0=0.9,1=0.1). Balanced by default, for a generator that knows classes. A number is a label, counted from 0,
            unless a class has that very name.
        counts: Exactly how many samples of each class, in place of --labels: dog=1100,frog=1400.
        truncation: Bound on the absolute value of the latents, such as 1.5: fewer odd samples, less variety.
        spread: What the latents are multiplied by, such as 1.2: more variety, more odd samples; below 1, less of both.
        like: An image file that ganserve wrote: its sample is made again, by the model that made it.
        columns: Samples a row of the grid; about as wide as high by default.
        captions: Write the class below each sample of the grid.
        format: Format of the files in a folder, .zip, .tar or .parquet; png by default.
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
    address = (
        None
        if like is None
        else _address_alone(like, (n, seed, labels, counts, truncation, spread, chain), first_index)
    )
    if address is not None:
        digest = digest or address.digest if bundle is None else digest
        model = model or address.model if bundle is None else model
        n, seed, first_index = 1, address.seed, address.index
        truncation, spread = address.truncation, address.spread
        chain = ChainOptions(best_of=address.best_of, scorer=address.scorer, then=tuple(address.then or ()))
    with open_source(model, bundle, server, version=version, digest=digest, timeout_s=timeout, access=access) as source:
        served = source.get_model()
        class_names = served.class_names
        if address is not None:
            labels = _name_of_class(address, served)
        wanted = read_classes(n, labels, counts, class_names, _DEFAULT_NUM)
        stream = source.stream(
            wanted.n,
            seed=seed,
            first_index=first_index,
            labels=wanted.labels if address is None else address.label,
            counts=wanted.counts,
            truncation=truncation,
            spread=spread,
            **chain_arguments(chain),
            format=output.wire_format,
            quality=output.wire_quality,
        )
        began_s = time.perf_counter()
        first = next(stream)
        recipe = Recipe(
            n=wanted.n,
            first_index=first_index,
            labels=labels,
            counts=counts,
            truncation=truncation,
            spread=spread,
            **first.chain,
        )
        contents = Contents(
            count=wanted.n,
            last_index=first_index + wanted.n - 1,
            shape=first.shape,
            class_names=class_names,
            is_chained=first.is_chained,
        )
        legend = Legend(class_names, output.columns_of(wanted.n))
        with output.writing(contents, recipe) as writer, showing_progress(wanted.n) as progress:
            for samples in itertools.chain([first], stream):
                writer.add(samples)
                legend.add(samples)
                progress.advance(len(samples))
    rate = wanted.n / (time.perf_counter() - began_s)
    drawn = "" if seed is not None else f" (drawn; --seed {samples.seed} gives the same again)"
    name = ", ".join((short_name(served.identity), *first.passed()))
    print(f"{out}: {counted(wanted.n, 'sample')} of {name}, seed {samples.seed}{drawn}, {rate:,.0f} images/s")
    if said := legend.text():
        print(said)


def _address_alone(like: Path, others: Iterable[object], first_index: int) -> Address:
    """The address of an image. Raises ConfigError where other flags say which samples too."""
    if first_index or any(other is not None for other in others):
        raise ConfigError(
            "--like says which sample; leave -n, --seed, --first-index, --labels, --counts, --truncation, --spread, "
            "--best-of, --scorer and --then out"
        )
    return address_of(like)


def _name_of_class(address: Address, served: ModelInfo) -> str | None:
    """The name of the address's class. Raises PreconditionError where it is an address of another model."""
    if served.digest != address.digest:
        raise PreconditionError(
            f"the image is by {address.model}@{address.digest[:12]}, and this is {short_name(served.identity)}"
        )
    return None if address.label is None else served.class_names[address.label]
