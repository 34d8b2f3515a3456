"""What a source holds, bad files included, without refusing any."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ganserve.contract.errors import DatasetError
from ganserve.contract.resizing import Resize

from .dataset import ImageDataset, OnProgress, RunningDigest, Split
from .decoding import read_all
from .layouts import UNUSABLE_TEST
from .listing import Fault, Listing, survey
from .sources import opened
from .splits import SPLITS

_MODE_OF_ARRAY = {1: "L", 3: "RGB"}


@dataclass(frozen=True)
class Inspection:
    """What one split of a source holds.

    Attributes:
        split: which one.
        num_images: files, bad ones included.
        shape: height, width and channels of the images as they would be decoded.
        sizes: how many images have a height and width, the commonest first.
        modes: how many images have a mode of Pillow's, such as L, RGB or RGBA, the commonest first.
        class_counts: images of each class, bad ones included, in label order; empty where there are none.
        faults: the bad files.
        notes: which folders are splits, what is left out and the like; one line each.
        obstacle: why it cannot be trained on even if bad files are left out; empty where it can.
    """

    split: Split
    num_images: int
    shape: tuple[int, int, int]
    sizes: Mapping[tuple[int, int], int]
    modes: Mapping[str, int]
    class_counts: Mapping[str, int]
    faults: Sequence[Fault]
    notes: Sequence[str]
    obstacle: str


def inspect_source(
    source: str,
    *,
    split: Split | None = None,
    resize: Resize | None = None,
    on_progress: OnProgress | None = None,
) -> list[Inspection]:
    """Looks at every image of a split, or of all splits that there are, decoding each to see that it can be.

    Where all are asked for and there is something to train on, test images that cannot be used are a note of it.

    Raises:
        ConfigError: `source` is a text that names none.
        DatasetError: it is not there, cannot be read at all, or has no images of that split.
    """
    inspections: list[Inspection] = []
    for one in SPLITS if split is None else (split,):
        try:
            with opened(source, one, on_progress) as found:
                if isinstance(found, Listing):
                    inspections.append(_of_listing(found, one, resize, on_progress))
                elif found is not None:
                    inspections.append(_of_array(found, one, resize))
        except DatasetError as error:
            if not inspections:
                raise
            inspections[0] = _with_note(inspections[0], f"{UNUSABLE_TEST}: {error}")
    if not inspections:
        raise DatasetError(f"{source}: has no {split or 'train'} images of its own")
    return inspections


def _with_note(inspection: Inspection, note: str) -> Inspection:
    """With a note of unusable test images, unless the listing has said so already."""
    if any(old.startswith(UNUSABLE_TEST) for old in inspection.notes):
        return inspection
    return replace(inspection, notes=(*inspection.notes, note))


def _of_listing(listing: Listing, split: Split, resize: Resize | None, on_progress: OnProgress | None) -> Inspection:
    found = survey(listing, resize, on_progress)
    shape = (found.height, found.width, found.num_channels)
    digest = RunningDigest((len(listing.files), *shape))
    labels, faults = read_all(listing, found, digest.add, resize=resize, on_progress=on_progress)
    is_whole = resize is None and not faults
    num_of_label = Counter(file.label for file in listing.files)
    return Inspection(
        split=split,
        num_images=len(listing.files),
        shape=shape,
        sizes=dict(Counter((header.height, header.width) for header in found.headers).most_common()),
        modes=dict(Counter(header.mode for header in found.headers).most_common()),
        class_counts={name: num_of_label[label] for label, name in enumerate(listing.class_names)},
        faults=faults,
        notes=(*listing.notes, *found.notes),
        obstacle=listing.alteration(digest.finish(labels)) if is_whole else listing.shortage(faults),
    )


def _of_array(dataset: ImageDataset, split: Split, resize: Resize | None) -> Inspection:
    num_images, height, width, num_channels = dataset.images.shape
    size = (height, width) if resize is None else (resize.height, resize.width)
    labels = dataset.labels if dataset.labels is not None else np.empty(0, dtype=np.int64)
    counts = np.bincount(labels, minlength=dataset.num_classes).tolist()
    return Inspection(
        split=split,
        num_images=num_images,
        shape=(*size, num_channels),
        sizes={(height, width): num_images},
        modes={_MODE_OF_ARRAY[num_channels]: num_images},
        class_counts=dict(zip(dataset.class_names, counts, strict=True)),
        faults=[],
        notes=dataset.notes,
        obstacle="",
    )
