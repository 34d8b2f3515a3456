"""The command `ganserve transform`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final
from warnings import filterwarnings

from cyclopts import Group, Parameter
from PIL.Image import DecompressionBombWarning

from ganserve.client._queries.input_images import read_input
from ganserve.client._samples.model_info import short_name
from ganserve.contract import images as codec
from ganserve.contract.errors import ArtifactError, ConfigError, InvalidRequestError
from ganserve.contract.files import new_file
from ganserve.contract.images import FileFormat, file_format_of
from ganserve.contract.resizing import ResizeMode
from ganserve.contract.text import counted
from ganserve.flags import Timeout
from ganserve.v1.generator_pb2 import ImageEncoding

from .access import AccessFlags
from .image_files import image_suffixes, images_of
from .label_text import class_key
from .progress import showing_progress
from .source import DEFAULT_SERVER, MODEL, Servers, open_source, show_waiting

_IMAGES = Group("Images", sort_key=0)
_RECORD: Final = "transform.json"


def transform(
    source: Annotated[Path, Parameter(group=_IMAGES)],
    out: Annotated[Path, Parameter(group=_IMAGES)],
    *,
    masks: Annotated[Path | None, Parameter(group=_IMAGES)] = None,
    label: Annotated[str | None, Parameter(group=_IMAGES)] = None,
    seed: Annotated[int | None, Parameter(group=_IMAGES)] = None,
    resize: Annotated[ResizeMode | None, Parameter(group=_IMAGES)] = None,
    skip_bad: Annotated[bool, Parameter(negative="", show_default=False, group=_IMAGES)] = False,
    overwrite: Annotated[bool, Parameter(negative="", show_default=False, group=_IMAGES)] = False,
    model: Annotated[str | None, Parameter(group=MODEL)] = None,
    bundle: Annotated[Path | None, Parameter(group=MODEL)] = None,
    server: Servers = (DEFAULT_SERVER,),
    version: Annotated[int | None, Parameter(group=MODEL)] = None,
    digest: Annotated[str, Parameter(group=MODEL, show_default=False)] = "",
    timeout: Annotated[Timeout, Parameter(group=MODEL)] = 30.0,
    access: AccessFlags = None,
) -> None:
    """Make images of images with a translator, such as one for super-resolution or inpainting.

    Images keep their names, folders and formats. What is there already is left alone, so that the same command goes on
    where it was stopped; transform.json in the folder says what made it. What is written is there in full or not at
    all.

    For example:

        ganserve transform photos/ larger/ --model sr2x
        ganserve transform horses/ zebras/ --bundle models/zebras/1 --resize crop
        ganserve transform photos/ mended/ --masks masks/ --model inpaint

    Args:
        source: An image (.png, .jpg or .webp), or a folder of them, with the folders in it.
        out: Where to; a folder for the images of a folder.
        masks: A mask, or a folder of masks with the names of their images, .png in place of .jpg: white is made anew.
        label: The class (cat, or its label 3), for a model that knows classes.
        seed: Seed of the latents, for a model that takes some beside its images; 0 by default.
        resize: How images of other sizes are brought to that of a model that takes no tiles: stretch (may distort),
            crop (the middle) or pad (on black). Without it they are refused.
        skip_bad: Leave out images that cannot be read, and tell them, in place of stopping there.
        overwrite: Make again what is there.
        model: Name of the model, name:version as `ganserve models` lists them, or name:alias.
        bundle: Folder of a bundle, MODELS/NAME/VERSION, to run here without a server, in place of --model and --server.
        server: Address of a server, host:port. Give it several times for several servers.
        version: Version of the model; the alias stable, or else the highest, by default.
        digest: SHA-256 of the model; no other answers.
        timeout: Most seconds to wait for the next images.
    """
    show_waiting()
    filterwarnings("ignore", category=DecompressionBombWarning)  # the images are the caller's own
    found = list(_targets(source, out))
    targets = [(image, target) for image, target in found if overwrite or not target.exists()]
    num_there = len(found) - len(targets)
    faults = _faults_of([image for image, _ in targets]) if skip_bad else {}
    for fault in faults.values():
        print(f"ganserve: warning: left out: {fault}", file=sys.stderr)
    targets = [(image, target) for image, target in targets if image not in faults]
    mask_files = None if masks is None else [_mask_of(image, source, masks) for image, _ in targets]
    began_s = time.perf_counter()
    with open_source(model, bundle, server, version=version, digest=digest, timeout_s=timeout, access=access) as opened:
        client = opened.pinned()
        served = client.get_model()
        key = None if label is None else class_key(label, served.class_names)
        record: dict[str, Any] = {}
        if served.card.latent_dim and seed is None:
            seed = 0  # so that the same command goes on with the same latents
        if source.is_dir():
            record = {
                "model": served.name,
                "digest": served.digest,
                "label": key,
                "seed": seed,
                "resize": resize,
                "masks": None if masks is None else str(masks.absolute()),
            }
            _check_record(out, record, overwrite=overwrite)
        if num_there == len(found):
            print(f"{out}: {counted(len(found), 'image')}, all there already")
            return
        place = {image: index for index, (image, _) in enumerate(found)}
        made = client.transform(
            (image for image, _ in targets),
            masks=mask_files,
            label=key,
            seed=seed,
            indices=[place[image] for image, _ in targets],
            resize=resize,
        )
        with showing_progress(len(targets)) as progress, _naming_files([image for image, _ in targets]):
            for (_, target), image in zip(targets, made, strict=True):
                if record:
                    _keep_record(out, record)
                    record = {}
                form = _format_of(target)
                with new_file(target) as partial:
                    partial.write_bytes(codec.encode(image, ImageEncoding(format=form.number)))
                progress.advance(1)
    rate = len(targets) / (time.perf_counter() - began_s)
    told = f"{out}: {counted(len(found), 'image')} by {short_name(served.identity)}, {rate:,.1f} images/s"
    there = f"; {counted(num_there, 'image')} of them there already" if num_there else ""
    print(told + there + (f"; {len(faults):,} left out" if faults else ""))


def _faults_of(images: Sequence[Path]) -> dict[Path, str]:
    """Why images cannot be read, of those that cannot."""
    faults = {}
    for image in images:
        try:
            read_input(image)
        except InvalidRequestError as error:
            faults[image] = str(error)
    return faults


@contextmanager
def _naming_files(images: Sequence[Path]) -> Iterator[None]:
    """Makes what is wrong with an image a fault of its file, which the text names."""
    try:
        yield
    except InvalidRequestError as error:
        if not error.field.startswith("images["):
            raise
        place = int(error.field.removeprefix("images[").removesuffix("]"))
        cure = " (--skip-bad leaves out what cannot be read)" if _faults_of(images[place : place + 1]) else ""
        raise ArtifactError(f"{error}{cure}") from error


def _check_record(out: Path, record: dict[str, Any], *, overwrite: bool) -> None:
    """Raises ConfigError where something else made the images that are there."""
    path = out / _RECORD
    if path.exists() and not overwrite and path.read_text(encoding="utf-8") != json.dumps(record):
        raise ConfigError(
            f"{out} holds images made with another model, class, seed, --resize or --masks, as {path} says; give "
            "another folder, or --overwrite"
        )


def _keep_record(out: Path, record: dict[str, Any]) -> None:
    """Writes beside the images what made them."""
    with new_file(out / _RECORD) as partial:
        partial.write_text(json.dumps(record), encoding="utf-8")


def _targets(source: Path, out: Path) -> Iterator[tuple[Path, Path]]:
    """Every image, and where what is made of it goes. Raises ConfigError."""
    if source.is_dir():
        if out.is_file():
            raise ConfigError(f"{out} is a file, and {source} a folder; give a folder to write to")
        if out.absolute().is_relative_to(source.absolute()):
            raise ConfigError(f"{out} would hold images and what is made of them; give another folder")
        yield from ((image, out / image.relative_to(source)) for image in images_of(source))
        return
    (image,) = images_of(source)
    target = out / source.name if out.is_dir() else out
    _format_of(target)
    yield image, target


def _format_of(path: Path) -> FileFormat:
    form = file_format_of(path.suffix)
    if form is None:
        raise ConfigError(f"{path}: name it {image_suffixes()}")
    return form


def _mask_of(image: Path, source: Path, masks: Path) -> Path:
    """The mask of an image. Raises ConfigError where there is none."""
    if not masks.is_dir():
        return masks
    place = masks / (image.relative_to(source) if source.is_dir() else image.name)
    for candidate in (place, place.with_suffix(".png")):
        if candidate.is_file():
            return candidate
    raise ConfigError(f"{image} has no mask; give it as {place.with_suffix('.png')}")
