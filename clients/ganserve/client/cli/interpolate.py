"""The command `ganserve interpolate`."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Group, Parameter

from ganserve.client._samples.model_info import short_name
from ganserve.client._samples.outputs import GridFile, OutputOptions, open_output
from ganserve.client._samples.recipes import InterpolationRecipe
from ganserve.client.formats.contents import Contents
from ganserve.contract.errors import ConfigError
from ganserve.contract.interpolation import SeedAndIndex
from ganserve.flags import Timeout

from .access import AccessFlags
from .label_text import parse_labels
from .source import DEFAULT_SERVER, MODEL, Servers, open_source, show_waiting

_MOST_COLUMNS: Final = 16

_SAMPLES = Group("Samples", sort_key=2)
_OUTPUT = Group("Output", sort_key=3)


def interpolate(
    *,
    start: Annotated[str, Parameter(name="--from", group=_SAMPLES)],
    stop: Annotated[str, Parameter(name="--to", group=_SAMPLES)],
    out: Annotated[str, Parameter(name=("--out", "-o"), group=_OUTPUT)],
    n: Annotated[int, Parameter(name=("-n", "--num"), group=_SAMPLES)] = 9,
    labels: Annotated[str | None, Parameter(group=_SAMPLES)] = None,
    truncation: Annotated[float | None, Parameter(group=_SAMPLES)] = None,
    spread: Annotated[float | None, Parameter(group=_SAMPLES)] = None,
    model: Annotated[str | None, Parameter(group=MODEL)] = None,
    bundle: Annotated[Path | None, Parameter(group=MODEL)] = None,
    server: Servers = (DEFAULT_SERVER,),
    version: Annotated[int | None, Parameter(group=MODEL)] = None,
    digest: Annotated[str, Parameter(group=MODEL, show_default=False)] = "",
    columns: Annotated[int | None, Parameter(group=_OUTPUT)] = None,
    quality: Annotated[int | None, Parameter(group=_OUTPUT)] = None,
    timeout: Annotated[Timeout, Parameter(group=MODEL)] = 30.0,
    access: AccessFlags = None,
) -> None:
    """Show the samples between two addresses in one image.

    For example:

        ganserve interpolate --model digits --from 7:3 --to 8:12 --labels 3 --out steps.png

    Args:
        start: Seed and index of the first sample, SEED:INDEX.
        stop: Seed and index of the last sample, SEED:INDEX.
        out: A .png, .jpg or .webp file.
        n: Number of samples, both ends included.
        labels: The class of all samples (cat, or its label 3); a generator that knows classes needs it.
        truncation: Bound on the absolute value of the latents of both ends, such as 1.5.
        spread: What the latents of both ends are multiplied by, such as 1.2.
        model: Name of the model, name:version as `ganserve models` lists them, or name:alias.
        bundle: Folder of a bundle, MODELS/NAME/VERSION, to run here without a server, in place of --model and --server.
        server: Address of a server, host:port. Give it several times for several servers.
        version: Version of the model; the alias stable, or else the highest, by default.
        digest: SHA-256 of the model; no other answers.
        columns: Samples a row; all in one row by default, up to 16.
        quality: 1 to 100, for JPEG and WebP; without it, WebP is lossless.
        timeout: Most seconds for all samples.
    """
    show_waiting()
    first, last = _parse_address("--from", start), _parse_address("--to", stop)
    output = open_output(out, OutputOptions(quality=quality, columns=columns))
    if not isinstance(output, GridFile):
        raise ConfigError(f"--out {out}: the samples go into one image; give a .png, .jpg or .webp file")
    with open_source(model, bundle, server, version=version, digest=digest, timeout_s=timeout, access=access) as source:
        served = source.get_model()
        one_class = parse_labels(labels, served.class_names)
        samples = source.interpolate(first, last, n, labels=one_class, truncation=truncation, spread=spread)
        contents = Contents(count=n, last_index=n - 1, shape=served.image_shape, class_names=served.class_names)
        grid = output if columns else replace(output, columns=min(n, _MOST_COLUMNS))
        recipe = InterpolationRecipe(start=start, stop=stop, n=n, labels=labels, truncation=truncation, spread=spread)
        with grid.writing(contents, recipe) as writer:
            writer.add(samples)
    print(f"{out}: {n:,} samples of {short_name(samples.model)}, from {start} to {stop}")


def _parse_address(flag: str, text: str) -> SeedAndIndex:
    parts = re.fullmatch(r"(\d+):(\d+)", text)
    if not parts:
        raise ConfigError(f"{flag} is {text!r}; give a seed and an index, such as 7:3")
    return int(parts[1]), int(parts[2])
