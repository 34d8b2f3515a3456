"""The image files that a source holds, before any is decoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ganserve.contract.card import MAX_IMAGE_SIDE
from ganserve.contract.errors import DatasetError
from ganserve.contract.resizing import Resize

from .dataset import OnProgress
from .image_files import MAX_PIXELS, MAX_PIXELS_TO_RESIZE, BadImageError, Header, ImageFile, read_header


@dataclass(frozen=True)
class Listing:
    """The images of one split of a source.

    Attributes:
        source: what people call it, for messages.
        name: short name, such as that of its folder.
        files: the images, in the order of the dataset.
        class_names: one name a class, in label order; empty where the files have no labels.
        fingerprint: changes whenever the files may hold other images or have other labels.
        digest: what the images' digest has to be; empty where the source does not say.
        notes: what people should know: which folders are splits, and what is left out; one line each.
    """

    source: str
    name: str
    files: Sequence[ImageFile]
    class_names: tuple[str, ...]
    fingerprint: str
    digest: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.files:
            raise DatasetError(f"{self.source}: there are no images in it; add some")

    def alteration(self, digest: str) -> str:
        """Why a dataset of this digest is not what the source says it holds; empty where it is, or nothing is said."""
        if self.digest in ("", digest):
            return ""
        return (
            "its images or labels are not those that were packed "
            f"(digest {digest[:12]}, not {self.digest[:12]}); pack it again"
        )

    def shortage(self, faults: Sequence[Fault]) -> str:
        """Why too little is left without the files of `faults`; empty where there is enough to train on."""
        if 2 * len(faults) > len(self.files):
            return "more than half are bad, which is no accident"
        bad = {fault.path for fault in faults}
        left = {file.label for file in self.files if file.path not in bad}
        emptied = sorted({file.label for file in self.files if file.label is not None} - left)
        if emptied:
            names = ", ".join(self.class_names[label] for label in emptied)
            return f"every image of class {names} is bad; mend some or remove the class"
        return ""


@dataclass(frozen=True)
class Fault:
    """A file that cannot be used, and why."""

    path: str
    reason: str
    is_size: bool = False
    """Whether its size alone is wrong, which a `Resize` would mend."""

    def __str__(self) -> str:
        return f"{self.path} ({self.reason})"


@dataclass(frozen=True)
class Survey:
    """What the headers of a listing say.

    Attributes:
        headers: of every file that has one, in order.
        usable: the files that can be decoded to one size, in order.
        faults: the others.
        height, width: of every decoded image, in pixels.
        num_channels: 1 where all usable files are greyscale, else 3.
    """

    headers: Sequence[Header]
    usable: Sequence[ImageFile]
    faults: Sequence[Fault]
    height: int
    width: int
    num_channels: int

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the images' own is not used, one line each."""
        num_deep = sum(header.is_deep for header in self.headers)
        num_with_frames = sum(header.has_frames for header in self.headers)
        lines = (
            (num_deep, "images of 16 bits a channel, of which the upper 8 are used"),
            (num_with_frames, "images of several frames or pages, of which the first is used"),
        )
        return tuple(f"{what}: {count:,}" for count, what in lines if count)


def survey(listing: Listing, resize: Resize | None = None, on_progress: OnProgress | None = None) -> Survey:
    """Reads every header. Without a `resize`, the commonest size is right and every other one a fault.

    Of images to be made smaller, only those are faults that would not fit into memory.

    Headers are the first half of what `on_progress` is told, `read_all` tells the other.
    """
    headers: dict[int, Header] = {}
    faults: dict[int, Fault] = {}
    for index, file in enumerate(listing.files):
        try:
            headers[index] = read_header(file)
        except BadImageError as error:
            faults[index] = Fault(file.path, str(error))
        if on_progress is not None:
            on_progress(index + 1, 2 * len(listing.files))
    height, width = (resize.height, resize.width) if resize else _commonest_size(headers.values())
    for index, header in headers.items():
        reason = _fault_of_size(header, height, width) if resize is None else _fault_of_resizing(header)
        if reason:
            faults[index] = Fault(listing.files[index].path, reason, is_size=resize is None)
    usable = [index for index in headers if index not in faults]
    return Survey(
        headers=list(headers.values()),
        usable=[listing.files[index] for index in usable],
        faults=[faults[index] for index in sorted(faults)],
        height=height,
        width=width,
        num_channels=1 if all(headers[index].is_grey for index in usable) else 3,
    )


def _fault_of_size(header: Header, height: int, width: int) -> str:
    """Empty where there is none."""
    if header.height * header.width > MAX_PIXELS:
        return f"{header.width}×{header.height} pixels, more than {MAX_PIXELS:,}"
    if max(header.height, header.width) > MAX_IMAGE_SIDE:
        return f"{header.width}×{header.height}, more than {MAX_IMAGE_SIDE:,} pixels a side"
    if (header.height, header.width) != (height, width):
        return f"{header.width}×{header.height}, not {width}×{height}"
    return ""


def _fault_of_resizing(header: Header) -> str:
    """Empty where there is none."""
    if header.height * header.width > MAX_PIXELS_TO_RESIZE:
        return f"{header.width}×{header.height} pixels, more than {MAX_PIXELS_TO_RESIZE:,}"
    return ""


def _commonest_size(headers: Iterable[Header]) -> tuple[int, int]:
    """Height and width; of sizes that are equally common the first."""
    sizes = Counter((header.height, header.width) for header in headers)
    return sizes.most_common(1)[0][0] if sizes else (0, 0)
