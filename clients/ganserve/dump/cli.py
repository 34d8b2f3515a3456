"""The command `ganserve dump`."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Group, Parameter

from ganserve.client._samples.model_info import ModelInfo, short_name
from ganserve.client.cli.access import AccessFlags
from ganserve.client.cli.chain_flags import ChainFlags, chain_arguments
from ganserve.client.cli.classes import read_classes
from ganserve.client.cli.progress import showing_progress
from ganserve.client.cli.source import DEFAULT_SERVER, MODEL, Servers, open_source, show_waiting
from ganserve.contract.errors import ConfigError, DeadlineError, OverloadedError, UnavailableError
from ganserve.contract.text import counted
from ganserve.v1.dump_pb2 import DumpShard

from .plan import Plan
from .planning import make_plan
from .records import DUMP_FILE, finish, read_dump
from .strays import describe_strays
from .whole import write_shards

_SAMPLES: Final = Group("Samples", sort_key=2)
_OUTPUT: Final = Group("Output", sort_key=4)

_Format = Literal["folder", "zip", "webdataset", "parquet", "npz"]
_Images = Literal["png", "webp", "raw"]


def dump(
    *,
    out: Annotated[Path, Parameter(name=("--out", "-o"), group=_OUTPUT)],
    format: Annotated[_Format, Parameter(group=_OUTPUT)],  # noqa: A002
    images: Annotated[_Images | None, Parameter(group=_OUTPUT)] = None,
    shards: Annotated[int | None, Parameter(group=_OUTPUT)] = None,
    shard: Annotated[str | None, Parameter(group=_OUTPUT)] = None,
    within_one_level: Annotated[bool, Parameter(negative="", show_default=False, group=_OUTPUT)] = False,
    model: Annotated[str | None, Parameter(group=MODEL)] = None,
    bundle: Annotated[Path | None, Parameter(group=MODEL)] = None,
    server: Servers = (DEFAULT_SERVER,),
    version: Annotated[int | None, Parameter(group=MODEL)] = None,
    digest: Annotated[str, Parameter(group=MODEL, show_default=False)] = "",
    timeout: Annotated[float, Parameter(group=MODEL)] = 30.0,
    access: AccessFlags = None,
    n: Annotated[int | None, Parameter(name=("-n", "--num"), group=_SAMPLES)] = None,
    seed: Annotated[int, Parameter(group=_SAMPLES)] = 0,
    first_index: Annotated[int, Parameter(group=_SAMPLES)] = 0,
    labels: Annotated[str | None, Parameter(group=_SAMPLES)] = None,
    counts: Annotated[str | None, Parameter(group=_SAMPLES)] = None,
    truncation: Annotated[float | None, Parameter(group=_SAMPLES)] = None,
    spread: Annotated[float | None, Parameter(group=_SAMPLES)] = None,
    chain: ChainFlags = None,
) -> None:
    """Write a data set of samples to disk, in shards, that is the same bytes however it was written.

    Run it again to go on after an interruption: what is there and right is kept. Images are marked as synthetic, and
    carry the address that makes them again.

    For example:

        ganserve dump --model digits -n 100000 --format parquet --out more/
        ganserve dump --bundle models/pets/1 --counts dog=1100,frog=1400 --format zip --out more/
        ganserve dump --model digits -n 10000000 --format webdataset --shard 3/64 --out more/

    Args:
        out: Folder to write to. `dump.json` in it says what the dump is, and when it is there in full.
        format: What the shards are: class folders of images, a zip of them, a tar for WebDataset, Parquet for Hugging
            Face's datasets, or NumPy arrays.
        images: png, which is the same bytes everywhere and is not compressed; webp, which is lossless too and smaller;
            or raw pixels, in Parquet and npz alone. png by default, in npz raw.
        shards: Number of shards. By default one for a zip or npz, else one for each 100,000 samples or GiB of pixels.
        shard: K/N: write only every N-th shard, from the K-th on, counted from 0; for N processes on the same or other
            machines. There are N shards unless --shards says otherwise. When all are in one folder, the same command
            without --shard checks them and finishes the dump.
        within_one_level: Accept a model whose pixels may differ by one 8-bit level from one making to the next, as on a
            GPU.
        model: Name of the model, name:version as `ganserve models` lists them, or name:alias.
        bundle: Folder of a bundle, MODELS/NAME/VERSION, to run here without a server, in place of --model and --server.
        server: Address of a server, host:port. Give it several times for several servers.
        version: Version of the model; the alias stable, or else the highest, by default.
        digest: SHA-256 of the model; no other answers.
        timeout: Most seconds to wait for the next samples.
        n: Number of samples. --counts say it themselves.
        seed: Seed, 0 to 2^64 - 1.
        first_index: Index of the first sample under the seed.
        labels: A class (cat, or its label 3), balanced, uniform, a list to cycle through (0,1,2), or weights
            (0=0.9,1=0.1). Balanced by default, for a generator that knows classes.
        counts: Exactly how many samples of each class, in place of --labels: dog=1100,frog=1400.
        truncation: Bound on the absolute value of the latents, such as 1.5: fewer odd samples, less variety.
        spread: What the latents are multiplied by, such as 1.2: more variety, more odd samples; below 1, less of both.
    """
    show_waiting()
    share = None if shard is None else _read_share(shard)
    with open_source(model, bundle, server, version=version, digest=digest, timeout_s=timeout, access=access) as opened:
        source = opened.pinned()
        served = source.get_model()
        wanted = read_classes(n, labels, counts, served.class_names)
        plan = make_plan(
            source,
            wanted.n,
            format=format,
            image_format=images,
            num_shards=_num_shards(shards, share, out),
            seed=seed,
            first_index=first_index,
            labels=wanted.labels,
            counts=wanted.counts,
            truncation=truncation,
            spread=spread,
            **chain_arguments(chain),
            within_one_level=within_one_level,
        )
        numbers = range(plan.num_shards) if share is None else _shards_of(share, plan.num_shards)
        began_s = time.perf_counter()
        total = sum(plan.span(number)[1] for number in numbers)
        with _saying_that_it_goes_on(), showing_progress(total) as progress:
            written = write_shards(plan, numbers, source, out, progress)
    rate = f"{progress.num_advanced / (time.perf_counter() - began_s):,.0f} images/s" * (progress.num_advanced > 0)
    told = f"{out}: {_tell(plan, written, served)}, {rate or 'all of it there already'}"
    if share is None:
        print(f"{told}; SHA-256 of {DUMP_FILE} {finish(plan, written, out)}")
        if strays := describe_strays(plan, written, out):
            print(f"ganserve: warning: {strays}", file=sys.stderr)
    else:
        print(f"{told}; run it without --shard once all is there, {counted(plan.num_shards, 'shard')}")


@contextmanager
def _saying_that_it_goes_on() -> Iterator[None]:
    """Has the command say so where it is interrupted, or no server answers any more."""
    try:
        yield
    except (KeyboardInterrupt, RuntimeError, UnavailableError, DeadlineError, OverloadedError) as error:
        error.add_note("shards that are done stay, and the same command goes on from there")
        raise


def _read_share(text: str) -> tuple[int, int]:
    """K and N of `K/N`. Raises ConfigError."""
    matched = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if not matched or not int(matched[1]) < int(matched[2]):
        raise ConfigError(f"--shard {text}: give K/N with K from 0 to N - 1, such as 0/16")
    return int(matched[1]), int(matched[2])


def _shards_of(share: tuple[int, int], num_shards: int) -> range:
    """The shards of task K of N. Raises ConfigError where there is none for it."""
    numbers = range(share[0], num_shards, share[1])
    if not numbers:
        raise ConfigError(
            f"--shard {share[0]}/{share[1]}: there is nothing to write for it, since the dump has "
            f"{counted(num_shards, 'shard')}, counted from 0; have at most as many tasks as --shards"
        )
    return numbers


def _num_shards(given: int | None, share: tuple[int, int] | None, out: Path) -> int | None:
    """As the flags say, else as the dump says that is there; None leaves it to the plan."""
    if given is not None:
        return given
    if share is not None:
        return share[1]
    return read_dump(out).plan.num_shards if (out / DUMP_FILE).exists() else None


def _tell(plan: Plan, written: list[DumpShard], served: ModelInfo) -> str:
    num_samples, num_bytes = (sum(getattr(one, name) for one in written) for name in ("count", "size_bytes"))
    of_all = f" of {plan.num_shards}" if len(written) < plan.num_shards else ""
    shards = f"{len(written)}{of_all} {plan.message.format} shard{'s' * (plan.num_shards > 1)}"
    seed = plan.message.query.address.seed
    samples = f"{counted(num_samples, 'sample')} of {short_name(served.identity)}, seed {seed}"
    return f"{samples}, in {shards}, {num_bytes / 1e6:,.1f} MB"
