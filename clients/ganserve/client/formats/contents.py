"""What a file of samples is to hold, and the images as files of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from ganserve.client._queries.requests import image_encoding
from ganserve.client._sample_address import addresses
from ganserve.contract.images import ImageFormatName, encode, file_format

from .png import encode_png
from .xmp import mark

if TYPE_CHECKING:
    from ganserve.client._samples.samples import Samples

_MIN_INDEX_DIGITS: Final = 6


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What is known of samples before the first of them comes.

    Attributes:
        count: how many there are.
        last_index: the largest index, of this file or any that belongs to it, so that names have as many digits in all.
        shape: height, width and channels of an image.
        class_names: the classes in label order; empty for an unconditional generator.
        image_format: form of the images. Only JPEG and WebP with a quality are not lossless.
        quality: 1 to 100; of JPEG and WebP.
        class_folders: whether the files of a class lie in a folder of its own, where there are classes.
        is_chained: whether other models chose or transformed the samples, which their addresses then tell.
    """

    count: int
    last_index: int
    shape: tuple[int, int, int]
    class_names: Sequence[str]
    image_format: ImageFormatName = "png"
    quality: int | None = None
    class_folders: bool = True
    is_chained: bool = False

    @property
    def suffix(self) -> str:
        """What image files end in; empty for raw pixels."""
        return "" if self.image_format == "raw" else file_format(self.image_format).suffixes[0]


class Writer(Protocol):
    """Takes samples as they come."""

    def add(self, samples: Samples) -> None:
        """Writes samples that follow those before. Raises OSError."""


class CountingWriter(Writer, Protocol):
    """A writer that tells how far it is."""

    @property
    def num_bytes(self) -> int:
        """How much is written so far."""


def stems(samples: Samples, contents: Contents) -> list[str]:
    """A name for each sample, such as ``7-000012``; a sample that comes again gets a number behind its name."""
    digits = max(_MIN_INDEX_DIGITS, len(str(contents.last_index)))
    seed = "latents" if samples.seed is None else samples.seed
    names = [f"{seed}-{index:0{digits}d}" for index in samples.indices.tolist()]
    if len(set(names)) == len(names):
        return names
    seen: Counter[str] = Counter()
    for place, name in enumerate(names):
        seen[name] += 1
        if seen[name] > 1:
            names[place] = f"{name}-{seen[name]}"
    return names


def image_files(samples: Samples, contents: Contents) -> list[bytes]:
    """A file for each sample, in the contents' format, marked as synthetic and with its address."""
    texts: list[str | None] = [address.to_json() for address in addresses(samples)]
    texts = texts or [None] * len(samples)
    return [mark(file, text) for file, text in zip(_unmarked(samples, contents), texts, strict=True)]


def _unmarked(samples: Samples, contents: Contents) -> Sequence[bytes]:
    if samples.files and contents.image_format != "png":
        return samples.files
    if contents.image_format == "png":
        return encode_png(samples.numpy())
    encoding = image_encoding(contents.image_format, contents.quality)
    return [encode(image, encoding) for image in samples]
