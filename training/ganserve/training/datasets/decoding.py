"""A listing to pixels: all of one size, greyscale or RGB, with every bad file named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ganserve.contract.errors import DatasetError
from ganserve.contract.resizing import Resize

from .dataset import OnProgress
from .image_files import BadImageError, read_pixels
from .listing import Fault, Listing, Survey, survey

_NUM_LISTED = 10

WritePixels = Callable[[npt.NDArray[np.uint8]], object]
"""Takes the next images, uint8 (H, W, C) or (N, H, W, C)."""


@dataclass(frozen=True)
class Decoded:
    """All of a dataset but its pixels and its name."""

    height: int
    width: int
    num_channels: int
    labels: npt.NDArray[np.int64] | None
    class_names: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def decode(
    listing: Listing,
    write: WritePixels,
    *,
    resize: Resize | None = None,
    skip_bad: bool = False,
    on_progress: OnProgress | None = None,
) -> Decoded:
    """Decodes every file of `listing` in order and hands its pixels to `write`.

    Raises:
        DatasetError: some are bad and `skip_bad` is not set, or they are more than half, or
            all of a class.
    """
    found = survey(listing, resize, on_progress)
    if not skip_bad:
        _refuse(listing, found.faults)
    labels, faults = read_all(listing, found, write, resize=resize, on_progress=on_progress)
    if not skip_bad:
        _refuse(listing, faults)
    if shortage := listing.shortage(faults):
        raise DatasetError(_describe(listing, faults, shortage))
    return Decoded(
        height=found.height,
        width=found.width,
        num_channels=found.num_channels,
        labels=labels,
        class_names=listing.class_names,
        skipped=tuple(map(str, faults)),
        notes=found.notes,
    )


def read_all(
    listing: Listing,
    found: Survey,
    write: WritePixels,
    *,
    resize: Resize | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[npt.NDArray[np.int64] | None, list[Fault]]:
    """Hands the pixels of every file that fits to `write`, in order, past those that turn out bad.

    Returns:
        The labels of the images that were written, None where there are no classes; and all faults, the survey's first.
    """
    labels: list[int | None] = []
    faults = list(found.faults)
    total = 2 * len(listing.files)
    for num_left, file in zip(reversed(range(len(found.usable))), found.usable, strict=True):
        try:
            pixels = read_pixels(file, found.num_channels, resize)
        except BadImageError as error:
            faults.append(Fault(file.path, str(error)))
        else:
            if pixels.shape[:2] == (found.height, found.width):
                write(pixels)
                labels.append(file.label)
            else:
                faults.append(Fault(file.path, _turned(pixels), is_size=True))
        if on_progress is not None:
            on_progress(total - num_left, total)
    return np.array(labels, dtype=np.int64) if listing.class_names else None, faults


def _turned(pixels: npt.NDArray[np.uint8]) -> str:
    """Why an image is of another size than its header says."""
    return f"{pixels.shape[1]}×{pixels.shape[0]} once it is turned as the EXIF behind its pixels says"


def _refuse(listing: Listing, faults: Sequence[Fault]) -> None:
    if faults:
        size = ", give --size to fit other sizes" if any(fault.is_size for fault in faults) else ""
        raise DatasetError(
            _describe(
                listing,
                faults,
                f"mend or remove them (`ganserve data inspect` lists all){size}, or leave them out with the --skip-bad "
                "of `ganserve train` and `ganserve data pack`",
            )
        )


def _describe(listing: Listing, faults: Sequence[Fault], advice: str) -> str:
    """One line: how many images are bad, what to do, and the first of them."""
    listed = ", ".join(map(str, faults[:_NUM_LISTED]))
    more = f" and {len(faults) - _NUM_LISTED:,} more" if len(faults) > _NUM_LISTED else ""
    counts = f"{len(faults):,} of {len(listing.files):,} images cannot be used"
    return f"{listing.source}: {counts}; {advice}: {listed}{more}"
