"""The command `ganserve score`."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from warnings import filterwarnings

import numpy as np
from cyclopts import Group, Parameter
from PIL.Image import DecompressionBombWarning

from ganserve.client._queries.input_images import read_input
from ganserve.client._samples.captions import make_captioned_sheet
from ganserve.client._samples.model_info import short_name
from ganserve.contract import images as codec
from ganserve.contract.errors import ArtifactError, ConfigError, InvalidRequestError
from ganserve.contract.files import new_file
from ganserve.contract.images import FORMAT_NUMBERS, Images, in_channels
from ganserve.contract.resizing import Resize, resize_array
from ganserve.contract.text import counted
from ganserve.flags import Timeout
from ganserve.v1.generator_pb2 import ImageEncoding

from .access import AccessFlags
from .image_files import images_of
from .progress import showing_progress
from .source import DEFAULT_SERVER, MODEL, Servers, open_source, show_waiting

if TYPE_CHECKING:
    from ganserve.client import Client, LocalGenerator

_IMAGES = Group("Images", sort_key=0)
_AT_ONCE: Final = 256
_COLUMNS: Final = 10
_MOST_SHOWN: Final = 40
_SIDE_SHOWN: Final = 64
_LINE: Final = 4


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A line of the table.

    Attributes:
        file: relative to the folder that was scored.
        score: NaN where the file could not be read.
        percentile: NaN where it is not known.
        likeliest: class with the highest number; empty where there is none.
        error: why it could not be read; empty where it could.
    """

    file: Path
    score: float = math.nan
    percentile: float = math.nan
    likeliest: str = ""
    error: str = ""


def score(
    source: Annotated[Path, Parameter(group=_IMAGES)],
    out: Annotated[Path, Parameter(group=_IMAGES)],
    *,
    class_folders: Annotated[bool, Parameter(negative="", show_default=False, group=_IMAGES)] = False,
    model: Annotated[str | None, Parameter(group=MODEL)] = None,
    bundle: Annotated[Path | None, Parameter(group=MODEL)] = None,
    server: Servers = (DEFAULT_SERVER,),
    version: Annotated[int | None, Parameter(group=MODEL)] = None,
    digest: Annotated[str, Parameter(group=MODEL, show_default=False)] = "",
    timeout: Annotated[Timeout, Parameter(group=MODEL)] = 30.0,
    access: AccessFlags = None,
) -> None:
    """Give images numbers, and list them worst first: to clean data, and to find what does not belong.

    Beside the table a picture, TABLE.sheet.png, shows the worst images and, below the line, the best. Files that cannot
    be read come first in the table, with the reason.

    For example:

        ganserve score photos/ scores.csv --model pets-classifier
        ganserve score pets/ scores.csv --class-folders --bundle models/pets-classifier/1

    Args:
        source: A folder of images (.png, .jpg or .webp), with the folders in it, or one image.
        out: The table, a .csv file with the columns file, score, percentile, class, likeliest and error. The percentile
            is how many per cent of real images have a smaller score.
        class_folders: The class of each image is the name of its folder: then its score is that for this class, and low
            where it looks like another.
        model: Name of the scorer, name:version as `ganserve models` lists them, or name:alias.
        bundle: Folder of a bundle, MODELS/NAME/VERSION, to run here without a server, in place of --model and --server.
        server: Address of a server, host:port. Give it several times for several servers.
        version: Version of the model; the alias stable, or else the highest, by default.
        digest: SHA-256 of the model; no other answers.
        timeout: Most seconds to wait for the next scores.
    """
    show_waiting()
    if out.suffix.lower() != ".csv":
        raise ConfigError(f"{out}: name the table .csv")
    if source.is_dir() and out.absolute().is_relative_to(source.absolute()):
        raise ConfigError(f"{out} would lie among the images that are scored; give another folder")
    filterwarnings("ignore", category=DecompressionBombWarning)  # the images are the caller's own
    files = images_of(source)
    root = source if source.is_dir() else source.parent
    began_s = time.perf_counter()
    with open_source(model, bundle, server, version=version, digest=digest, timeout_s=timeout, access=access) as client:
        scorer = client.pinned()
        served = scorer.get_model()
        rows: list[_Row] = []
        with showing_progress(len(files)) as progress:
            for start in range(0, len(files), _AT_ONCE):
                some = files[start : start + _AT_ONCE]
                rows += _scored(scorer, some, root, class_folders=class_folders)
                progress.advance(len(some))
    rate = len(files) / (time.perf_counter() - began_s)
    if all(row.error for row in rows):
        raise ArtifactError(f"{source}: none of {counted(len(rows), 'file')} could be read; {rows[0].error}")
    rows.sort(key=_rank)
    with new_file(out) as partial:
        _write(partial, rows, class_folders=class_folders)
    picture = out.with_suffix(".sheet.png")
    _draw(picture, rows, root)
    print(f"{out}: {counted(len(files), 'image')} by {short_name(served.identity)}, worst first, {rate:,.0f} images/s")
    print(f"{picture}: the worst of them, and below the line the best")
    for line in _summary(rows, class_folders=class_folders):
        print(line)


def _scored(
    scorer: Client | LocalGenerator, files: Sequence[Path], root: Path, *, class_folders: bool
) -> Iterator[_Row]:
    """A row for each file."""
    images: list[Images] = []
    readable: list[Path] = []
    for path in files:
        try:
            images.append(read_input(path))
            readable.append(path.relative_to(root))
        except InvalidRequestError as error:
            yield _Row(file=path.relative_to(root), error=str(error).removeprefix(f"{path}: "))
    if not images:
        return
    classes = [_class_of(path) for path in readable] if class_folders else None
    scores = scorer.score(images, classes=classes)
    likeliest = [""] * len(images) if scores.likeliest is None else scores.likeliest.tolist()
    for row in zip(readable, scores.score.tolist(), scores.percentile.tolist(), likeliest, strict=True):
        file, value, percentile, name = row
        yield _Row(file=file, score=value, percentile=percentile, likeliest=name)


def _rank(row: _Row) -> tuple[bool, float, float, Path]:
    """Unreadable files first, then by percentile, which compares classes, where it is known."""
    return not row.error, 0.0 if math.isnan(row.percentile) else row.percentile, row.score, row.file


def _class_of(path: Path) -> str:
    if len(path.parts) < 2:
        raise ConfigError(f"{path} lies in no folder of a class; leave --class-folders out")
    return path.parts[0]


def _write(path: Path, rows: Sequence[_Row], *, class_folders: bool) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("file", "score", "percentile", "class", "likeliest", "error"))
        for row in rows:
            own = _class_of(row.file) if class_folders else ""
            table.writerow(
                (row.file.as_posix(), _number(row.score), _number(row.percentile), own, row.likeliest, row.error)
            )


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"


def _draw(path: Path, rows: Sequence[_Row], root: Path) -> None:
    """Draws the worst images and, below a line, the best, with what is known of each below it."""
    readable = [row for row in rows if not row.error]
    most = min(_MOST_SHOWN, -(-len(readable) // 2))
    parts = [_sheet(part, root) for part in (readable[:most], readable[most:][-most:][::-1]) if part]
    line = np.full((_LINE, max(part.shape[1] for part in parts), 3), 255, np.uint8)
    padded = [np.pad(part, ((0, _LINE), (0, line.shape[1] - part.shape[1]), (0, 0))) for part in parts]
    sheet = np.concatenate([padded[0], *(piece for part in padded[1:] for piece in (line, part))])
    with new_file(path) as partial:
        partial.write_bytes(codec.encode(sheet, ImageEncoding(format=FORMAT_NUMBERS["png"])))


def _sheet(rows: Sequence[_Row], root: Path) -> Images:
    images = np.stack([_to_see(root / row.file) for row in rows])
    texts = [f"{row.score:.3g}" if math.isnan(row.percentile) else f"{row.percentile:.3g} %" for row in rows]
    return make_captioned_sheet(images, texts, _COLUMNS)


def _to_see(path: Path) -> Images:
    """An image of whatever size in a square, in colour; a small one enlarged a whole number of times."""
    image = in_channels(read_input(path), 3)
    zoom = max(1, _SIDE_SHOWN // max(image.shape[:2]))
    enlarged = image.repeat(zoom, axis=0).repeat(zoom, axis=1)
    return resize_array(enlarged, Resize(height=_SIDE_SHOWN, width=_SIDE_SHOWN, mode="pad"))


def _summary(rows: Sequence[_Row], *, class_folders: bool) -> Iterator[str]:
    """What stands out, a line each."""
    if unreadable := sum(bool(row.error) for row in rows):
        yield f"{counted(unreadable, 'file')} could not be read"
    known = [row for row in rows if not math.isnan(row.percentile)]
    if known:
        low = sum(row.percentile < 1 for row in known)
        yield f"{counted(low, 'image')} below percentile 1, where {len(known) / 100:,.3g} are to be expected"
    if class_folders:
        others = sum(row.likeliest not in ("", _class_of(row.file)) for row in rows)
        yield f"{counted(others, 'image')} more like another class than like that of their folder"
