"""Every form of one file that samples are written in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ganserve.contract.images import ImageFormatName

from . import parquet
from .contents import Contents, CountingWriter
from .npz import writing_npz
from .webdataset import writing_webdataset
from .zip import writing_zip


@dataclass(frozen=True, kw_only=True)
class Form:
    """A form of one file.

    Attributes:
        suffix: what its files end in.
        writing: writes a file in full while the body runs, and raises OSError. The same samples give the same bytes.
        image_formats: forms that images can have in it, without loss; the first is the usual one.
        lists_files: whether the file is a list of image files that lie beside it.
        versions: versions of libraries that the bytes depend on, by name. Raises ConfigError where one is missing.
    """

    suffix: str
    writing: Callable[[Path, Contents], AbstractContextManager[CountingWriter]]
    image_formats: tuple[ImageFormatName, ...] = ("png", "webp")
    lists_files: bool = False
    versions: Callable[[], Mapping[str, str]] = field(default=dict)


FORMS: Final[Mapping[str, Form]] = {
    "zip": Form(suffix=".zip", writing=writing_zip),
    "webdataset": Form(suffix=".tar", writing=writing_webdataset),
    "parquet": Form(
        suffix=".parquet",
        writing=parquet.writing_parquet,
        image_formats=("png", "webp", "raw"),
        versions=lambda: {"pyarrow": parquet.library_version()},
    ),
    "npz": Form(suffix=".npz", writing=writing_npz, image_formats=("raw",)),
}
"""By name."""


def form_of(suffix: str) -> Form | None:
    """The form whose files end in `suffix`, in any case; None where there is none."""
    return next((form for form in FORMS.values() if form.suffix == suffix.lower()), None)
