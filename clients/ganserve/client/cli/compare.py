"""The command `ganserve admin compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import numpy as np
from cyclopts import Group, Parameter
from numpy.typing import NDArray

from ganserve.client._client import Client
from ganserve.client._samples.captions import make_captioned_sheet
from ganserve.client._samples.model_info import short_name
from ganserve.client._samples.samples import Samples
from ganserve.contract.bounds import Bounds
from ganserve.contract.errors import ConfigError, PreconditionError
from ganserve.contract.extras import install_advice, missing_package
from ganserve.contract.files import new_file
from ganserve.contract.images import Images, encode, file_format_of, zoom_to_see
from ganserve.flags import Timeout, check_output_files, within
from ganserve.v1.generator_pb2 import ImageEncoding

from .access import AccessFlags, access_arguments
from .label_text import parse_labels
from .source import DEFAULT_SERVER, MODEL, Servers, find_model, split_digest

_SAMPLES: Final = Group("Samples", sort_key=2)
_OUTPUT: Final = Group("Output", sort_key=3)
_PAIRS: Final = Bounds(1, 1_024)
_PAIRS_A_ROW: Final = 4
_LINE: Final = 2  # pixels between the two of a pair
_GREY: Final = 128


def compare(
    first: str,
    second: str,
    *,
    seed: Annotated[int, Parameter(group=_SAMPLES)],
    count: Annotated[int, within(_PAIRS), Parameter(group=_SAMPLES)] = 16,
    labels: Annotated[str | None, Parameter(group=_SAMPLES)] = None,
    truncation: Annotated[float | None, Parameter(group=_SAMPLES)] = None,
    run: Annotated[Path | None, Parameter(group=_SAMPLES)] = None,
    out: Annotated[Path, Parameter(name=("--out", "-o"), group=_OUTPUT)] = Path("compare.png"),
    server: Servers = (DEFAULT_SERVER,),
    timeout: Annotated[Timeout, Parameter(group=MODEL)] = 30.0,
    access: AccessFlags = None,
) -> None:
    """Show the samples of the same addresses by two models side by side, and how far apart they are.

    In every pair the first model's sample is on the left and the second's on the right. Below it stand its index and
    the distance of the two: levels a pixel, or with --run that of their features.

    For example:

        ganserve admin compare digits:1 digits:2 --seed 7
        ganserve admin compare digits:stable digits:canary --seed 7 --run runs/digits -o canary.png

    Args:
        first: Name of a model with its version or alias, name:version.
        second: The other model.
        seed: Seed of the samples, 0 to 2^64 - 1.
        count: Number of pairs, 1 to 1024.
        labels: As for `ganserve generate`; balanced by default, for generators that know classes.
        truncation: Bound on the absolute value of the latents, such as 1.5.
        run: Folder of a run, by whose feature extractor distances are measured too; as for `ganserve evaluate`.
        out: A .png, .jpg or .webp file.
        server: Address of a server, host:port. Give it several times for several servers.
        timeout: Most seconds for the samples of each model.
    """
    form = file_format_of(out.suffix)
    if form is None:
        raise ConfigError(f"--out {out}: the samples go into one image; give a .png, .jpg or .webp file")
    check_output_files({"--out": out})
    if run is not None and (package := missing_package("train")):
        raise ConfigError(f"--run needs {package}, which is not installed; {install_advice('train')}")
    made = []
    for model in (first, second):
        name, beginning = split_digest(model)
        with Client(server, model=name, timeout_s=timeout, **access_arguments(access)) as client:
            served = find_model(client, beginning)
            policy = parse_labels(labels, served.class_names)
            made.append(client.generate(count, seed=seed, labels=policy, truncation=truncation))
    left, right = _check_alike(*made)
    distances = pixel_distances(left.numpy(), right.numpy())
    lines = [_describe("pixels", distances, "levels of 255")]
    if run is not None:
        distances = _feature_distances(run, left.numpy(), right.numpy())
        lines.append(_describe("features", distances, f"by the feature extractor of {run}"))
    with new_file(out) as path:
        sheet = draw_pairs(left.numpy(), right.numpy(), distances)
        path.write_bytes(encode(sheet, ImageEncoding(format=form.number)))
    print(f"{out}: {count} samples of seed {seed} by {short_name(left.model)} and {short_name(right.model)}, in pairs")
    print("\n".join(lines))


def pixel_distances(first: Images, second: Images) -> NDArray[np.float64]:
    """How many levels images uint8 (N, H, W, C) are apart on average, float64 (N,)."""
    distances: NDArray[np.float64] = np.abs(first.astype(np.int16) - second).mean(axis=(1, 2, 3))
    return distances


def draw_pairs(first: Images, second: Images, distances: NDArray[np.float64]) -> Images:
    """Pairs of images uint8 (N, H, W, C), a few a row, small ones enlarged, with index and distance below each pair."""
    zoom = zoom_to_see(*first.shape[1:3])
    left, right = (images.repeat(zoom, axis=1).repeat(zoom, axis=2) for images in (first, second))
    line = np.full((*left.shape[:2], _LINE, left.shape[3]), _GREY, np.uint8)
    captions = [f"{index}: {distance:.3g}" for index, distance in enumerate(distances)]
    pairs = np.concatenate([left, line, right], axis=2)
    return make_captioned_sheet(pairs, captions, columns=min(_PAIRS_A_ROW, len(first)))


def _feature_distances(run: Path, first: Images, second: Images) -> NDArray[np.float64]:
    from ganserve.training.evaluation.feature_distances import feature_distances

    return feature_distances(run, first, second)


def _check_alike(first: Samples, second: Samples) -> tuple[Samples, Samples]:
    """The samples themselves. Raises PreconditionError where they cannot lie side by side."""
    shapes = [samples.numpy().shape[1:] for samples in (first, second)]
    if shapes[0] != shapes[1]:
        told = ["×".join(map(str, shape)) for shape in shapes]
        raise PreconditionError(
            f"{short_name(first.model)} makes images of {told[0]} and {short_name(second.model)} of {told[1]}, which "
            "cannot be compared"
        )
    return first, second


def _describe(what: str, distances: NDArray[np.float64], unit: str) -> str:
    farthest = int(distances.argmax())
    return f"{what}: {distances.mean():.3g} apart on average, at most {distances.max():.3g} (sample {farthest}), {unit}"
