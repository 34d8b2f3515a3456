"""What the commands and `Samples.save` write: a grid, a folder with a file a sample, or a file of many."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from ganserve.client._queries.requests import image_encoding
from ganserve.client.formats.contents import Contents, Writer
from ganserve.client.formats.folder import check_folder, write_recipe, writing_folder
from ganserve.client.formats.table import FORMS, Form, form_of
from ganserve.client.formats.xmp import mark
from ganserve.contract.errors import ConfigError
from ganserve.contract.files import new_file, new_folder
from ganserve.contract.images import FILE_FORMATS, FileFormatName, ImageFormatName, encode, file_format_of, num_columns
from ganserve.v1.generator_pb2 import ImageEncoding

from .recipes import InterpolationRecipe, Recipe, recipe_line

if TYPE_CHECKING:
    from .samples import Samples

_MOST_IN_GRID: Final = 65_536
_OF_MANY_FILES: Final = "a folder or a zip, as in --out samples/"


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """The flags beside `--out`. Each goes with some kinds of output only."""

    format: FileFormatName | None = None
    quality: int | None = None
    columns: int | None = None
    captions: bool = False
    class_folders: bool = False
    overwrite: bool = False


class Output(Protocol):
    """Where samples go."""

    @property
    def wire_format(self) -> ImageFormatName:
        """How the images should travel."""

    @property
    def wire_quality(self) -> int | None:
        """Quality to go with it."""

    def columns_of(self, n: int) -> int | None:
        """Samples a row, where they are laid out in rows."""

    def writing(self, contents: Contents, recipe: Recipe | None = None) -> AbstractContextManager[Writer]:
        """Writes in full when the body ends well, and not at all otherwise. Raises ArtifactError or ConfigError.

        Args:
            contents: what is to be written; the output itself says in which form.
            recipe: how the samples were asked for, which a folder and a grid keep.
        """


def open_output(out: str, options: OutputOptions) -> Output:
    """The output that `out` and the options beside it mean. Writes nothing yet.

    Raises:
        ConfigError: an unknown suffix, an option that does not go with the output, or a folder that holds other files.
        InvalidRequestError: a quality that does not go with the format.
    """
    path = Path(out)
    suffix = path.suffix.lower()
    if not out:
        raise ConfigError(f"{out!r} names no file or folder; give one to write, such as samples/")
    is_folder = out.endswith(("/", "\\")) or path.is_dir() or not suffix
    form = None if is_folder else form_of(suffix)
    if not is_folder:
        _refuse(
            "overwrite=True (on the command line, --overwrite)",
            options.overwrite,
            "with a folder; files are replaced anyway",
        )
        _refuse("--class-folders", options.class_folders and form is not FORMS["zip"], f"with {_OF_MANY_FILES}")
    if not is_folder and form is None:
        _refuse("--format", options.format is not None, f"with {_OF_MANY_FILES}")
        return _open_grid(path, suffix, options)
    _refuse("--columns", options.columns is not None, "with a grid, as in --out grid.png")
    _refuse("--captions", options.captions, "with a grid, as in --out grid.png")
    if form is FORMS["npz"]:
        _refuse("--quality", options.quality is not None, "with images, not with arrays")
        _refuse("--format", options.format is not None, "with images, not with arrays")
        return SampleFile(path, "raw", None, False, form)
    image_format = options.format or "png"
    image_encoding(image_format, options.quality)
    if form is not None:
        return SampleFile(path, image_format, options.quality, options.class_folders, form)
    check_folder(path, options.overwrite)
    return SampleFolder(path, image_format, options.quality, options.class_folders)


def save_samples(samples: Samples, out: str, overwrite: bool) -> None:
    """Writes samples that are there, those of a class into a folder of its own. Raises as `open_output` does, and
    ArtifactError."""
    output = open_output(out, OutputOptions(overwrite=overwrite))
    class_names = _class_names(samples)
    if isinstance(output, _ManyImages) and output.image_format != "raw":
        output = replace(output, image_format=_format_of(samples), class_folders=bool(class_names))
    contents = Contents(
        count=len(samples),
        last_index=int(samples.indices.max()),
        shape=samples.shape,
        class_names=class_names,
        is_chained=samples.is_chained,
    )
    with output.writing(contents) as writer:
        writer.add(samples)


@dataclass(frozen=True)
class GridFile:
    """All samples in one image, marked as synthetic and with how they were made."""

    path: Path
    encoding: ImageEncoding
    columns: int | None
    captions: bool
    wire_format: ImageFormatName = "raw"
    wire_quality: int | None = None

    def columns_of(self, n: int) -> int | None:
        return self.columns or num_columns(n)

    @contextmanager
    def writing(self, contents: Contents, recipe: Recipe | InterpolationRecipe | None = None) -> Iterator[Writer]:
        if contents.count > _MOST_IN_GRID:
            raise ConfigError(
                f"a grid of {contents.count} samples is too large to look at; ask for at most {_MOST_IN_GRID}, "
                "or write a folder, such as samples/"
            )
        _check_classes("--captions", self.captions, contents)
        collected = _Collector()
        with new_file(self.path) as partial:
            yield collected
            samples = collected.join()
            partial.write_bytes(mark(self._encode(samples), recipe=recipe_line(samples, recipe)))

    def _encode(self, samples: Samples) -> bytes:
        grid = np.asarray(samples.grid(self.columns_of(len(samples)), captions=self.captions))
        try:
            return encode(grid.reshape(*grid.shape[:2], -1), self.encoding)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"a grid of {grid.shape[0]}×{grid.shape[1]} pixels does not fit {self.path.name} ({error}); "
                "ask for fewer samples, use .png, or write a folder"
            ) from error


@dataclass(frozen=True)
class _ManyImages:
    """Images that are told apart, each in its own form."""

    path: Path
    image_format: ImageFormatName
    quality: int | None
    class_folders: bool

    @property
    def wire_format(self) -> ImageFormatName:
        return "raw" if self.image_format == "png" else self.image_format

    @property
    def wire_quality(self) -> int | None:
        return self.quality

    def columns_of(self, n: int) -> int | None:  # noqa: ARG002
        return None

    def _formed(self, contents: Contents) -> Contents:
        _check_classes("--class-folders", self.class_folders, contents)
        return replace(contents, image_format=self.image_format, quality=self.quality, class_folders=self.class_folders)


@dataclass(frozen=True)
class SampleFile(_ManyImages):
    """A zip, a tar, a Parquet file, or NumPy arrays."""

    form: Form

    @contextmanager
    def writing(self, contents: Contents, recipe: Recipe | None = None) -> Iterator[Writer]:  # noqa: ARG002
        formed = self._formed(contents)
        with new_file(self.path) as partial, self.form.writing(partial, formed) as writer:
            yield writer


@dataclass(frozen=True)
class SampleFolder(_ManyImages):
    """One file a sample, `labels.csv` where there are classes, and `samples.json`, which tells how they were made."""

    @contextmanager
    def writing(self, contents: Contents, recipe: Recipe | None = None) -> Iterator[Writer]:
        formed = self._formed(contents)
        with new_folder(self.path, replace=True) as folder, writing_folder(folder, formed) as writer:
            yield writer
            if recipe is not None and writer.latest is not None:
                write_recipe(folder, self._tell(writer.latest, recipe))

    def _tell(self, samples: Samples, recipe: Recipe) -> dict[str, Any]:
        model = {name: getattr(samples.model, name) for name in ("name", "version", "digest")}
        return {
            "model": model,
            "seed": samples.seed,
            **asdict(recipe),
            "format": self.image_format,
            "quality": self.quality,
        }


class _Collector:
    """Holds all samples, for what is written as a whole."""

    def __init__(self) -> None:
        self._parts: list[Samples] = []

    def add(self, samples: Samples) -> None:
        self._parts.append(samples)

    def join(self) -> Samples:
        return self._parts[0].join(self._parts)


def _check_classes(option: str, given: bool, contents: Contents) -> None:
    """Raises ConfigError where an option asks for classes that the model does not have."""
    if given and not contents.class_names:
        raise ConfigError(f"{option}: this model is unconditional, so its samples have no classes; leave it out")


def _class_names(samples: Samples) -> list[str]:
    """Those that the samples tell, in label order; another is called by its label."""
    if samples.labels is None:
        return []
    names = [f"label {label}" for label in range(int(samples.labels.max()) + 1)]
    if samples.class_names is not None:
        for label, name in zip(samples.labels.tolist(), samples.class_names.tolist(), strict=True):
            names[label] = name
    return names


def _format_of(samples: Samples) -> FileFormatName:
    """The form that the samples' files have; without files, PNG, which loses nothing."""
    beginning = samples.files[0][:12] if samples.files else b""
    if beginning.startswith(b"\xff\xd8"):
        return "jpeg"
    return "webp" if beginning[8:] == b"WEBP" else "png"


def _refuse(option: str, given: bool, goes_with: str) -> None:
    if given:
        raise ConfigError(f"{option} goes {goes_with}")


def _open_grid(path: Path, suffix: str, options: OutputOptions) -> GridFile:
    image_form = file_format_of(suffix)
    if image_form is None:
        images = ", ".join(suffix for known in FILE_FORMATS for suffix in known.suffixes)
        many = ", ".join(form.suffix for form in FORMS.values())
        raise ConfigError(
            f"{path}: {suffix} is not a known suffix; use {images} for a grid, {many} for a file of samples, "
            "or a folder such as samples/"
        )
    if options.columns is not None and options.columns < 1:
        raise ConfigError(f"--columns is {options.columns}; give at least 1")
    return GridFile(path, image_encoding(image_form.name, options.quality), options.columns, options.captions)
