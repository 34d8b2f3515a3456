"""From what a person writes after `--data` to the reader for it."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ganserve.contract.errors import ConfigError, DatasetError
from ganserve.contract.resizing import Resize, resize_array

from . import fingerprints
from .archives import BROKEN, fault_of_zip
from .cache import cached
from .cifar import load_cifar
from .dataset import ImageDataset, OnProgress, Split
from .decoding import Decoded, WritePixels, decode
from .digits import load_digits
from .downloads import fetched, is_url
from .folders import folder_tree
from .huggingface import PARQUET_SUFFIX, is_hub_name, list_hub, list_parquet
from .idx import idx_of_file, load_idx
from .listing import Listing
from .npz import holds_npz, load_npz
from .tables import find_tables, find_tables_below, only_table
from .zips import find_pair, open_pair, open_zip

ACCEPTED = (
    "`digits`; a folder of images, of class folders, of IDX or Parquet files, or that Hugging Face datasets saved; a "
    "zip of images, an .npz or CIFAR's Python tarball; an https:// address of one of these; hf://user/name"
)


def load(
    source: str,
    *,
    split: Split = "train",
    resize: Resize | None = None,
    skip_bad: bool = False,
    on_progress: OnProgress | None = None,
) -> ImageDataset:
    """The images of one split of `source`, decoded at most once and then mapped from the cache.

    Args:
        source: any of `ACCEPTED`. Where it is not divided into splits, all of it is for training.
        split: which images.
        resize: how images of other sizes are brought to one; None makes another size a fault.
        skip_bad: leaves bad images out, and tells them in `skipped`, in place of refusing the source.
        on_progress: called as image files are decoded or a URL is fetched.

    Raises:
        ConfigError: `source` is a text that names none, or an extra is missing for it.
        DatasetError: it is not there, cannot be read, has bad images, or no images of that split.
    """
    dataset = _load(source, split, resize, skip_bad, on_progress)
    if dataset is None:
        raise DatasetError(f"{source}: has no {split} images of its own")
    return dataset


def load_test(
    source: str,
    *,
    resize: Resize | None = None,
    skip_bad: bool = False,
    on_progress: OnProgress | None = None,
) -> ImageDataset | None:
    """Like `load` with the test split, but None where `source` has no test images of its own."""
    return _load(source, "test", resize, skip_bad, on_progress)


def absolute(source: str) -> str:
    """The source as it can be read from any working directory. Raises ConfigError for a text that is no source."""
    _refuse_no_source(source)
    is_path = source != "digits" and not is_url(source) and not is_hub_name(source)
    return str(Path(source).expanduser().absolute()) if is_path else source


def refuse_inside(output: Path, source: str, flag: str) -> None:
    """Raises ConfigError where `output`, given with `flag`, would lie in the folder that is the source.

    What is written there would be images of the source the next time. Links are followed.
    """
    _refuse_no_source(source)
    if source == "digits" or is_url(source) or is_hub_name(source):
        return
    folder = Path(source).expanduser().resolve()
    if folder.is_dir() and output.resolve().is_relative_to(folder):
        raise ConfigError(
            f"{flag} {output}: lies in {source}, whose images it would become; give a place outside of it"
        )


def _refuse_no_source(source: str) -> None:
    """Raises ConfigError for an empty text, which `Path` takes for the working directory, and for other addresses."""
    if not source:
        raise ConfigError(f"the source is empty; give {ACCEPTED}")
    scheme, mark, _ = source.partition("://")
    if mark and scheme.isalnum() and not is_url(source) and not is_hub_name(source):
        raise ConfigError(f"{source}: addresses of {scheme}:// are not read; give {ACCEPTED}")


@contextmanager
def opened(source: str, split: Split, on_progress: OnProgress | None = None) -> Iterator[Listing | ImageDataset | None]:
    """What the reader of `source` finds: files that can be read inside the `with`, or, where there are no image files,
    the images themselves; None where the source has no such split. Raises what `load` does."""
    _refuse_no_source(source)
    try:
        if source == "digits":
            yield load_digits() if split == "train" else None
        elif is_hub_name(source):
            yield list_hub(source, split)
        elif is_url(source):
            with fetched(source, on_progress) as path, _opened_path(path, split) as found:
                yield found
        else:
            with _opened_path(Path(source).expanduser(), split) as found:
                yield found
    except OSError as error:
        raise DatasetError(f"{source}: cannot be read ({error.strerror or error})") from error


def _load(
    source: str, split: Split, resize: Resize | None, skip_bad: bool, on_progress: OnProgress | None
) -> ImageDataset | None:
    with opened(source, split, on_progress) as found:
        if isinstance(found, Listing):
            return _decoded(found, resize, skip_bad, on_progress)
        return _resized(found, resize) if found is not None and resize is not None else found


def _decoded(listing: Listing, resize: Resize | None, skip_bad: bool, on_progress: OnProgress | None) -> ImageDataset:
    def make(write: WritePixels) -> Decoded:
        return decode(listing, write, resize=resize, skip_bad=skip_bad, on_progress=on_progress)

    dataset = cached(fingerprints.of_text(listing.fingerprint, resize, skip_bad), listing.name, make)
    is_whole = resize is None and not dataset.skipped
    if is_whole and (alteration := listing.alteration(dataset.digest)):
        raise DatasetError(f"{listing.source}: {alteration}")
    return dataset.with_notes(listing.notes)


def _resized(dataset: ImageDataset, resize: Resize) -> ImageDataset:
    """An array's images at another size, from the cache where they have been made before."""

    def make(write: WritePixels) -> Decoded:
        for image in dataset.images:
            write(resize_array(image, resize))
        channels = dataset.images.shape[3]
        return Decoded(resize.height, resize.width, channels, dataset.labels, dataset.class_names, notes=dataset.notes)

    if dataset.images.shape[1:3] == (resize.height, resize.width):
        return dataset
    key = fingerprints.of_text("resized", dataset.digest, dataset.class_names, dataset.notes, resize)
    return cached(key, dataset.name, make)


@contextmanager
def _opened_path(path: Path, split: Split) -> Iterator[Listing | ImageDataset | None]:
    if path.is_dir():
        with _opened_folder(path, split) as found:
            yield found
    elif not path.is_file():
        raise DatasetError(f"{path}: there is no such file or folder; give {ACCEPTED}")
    elif zipfile.is_zipfile(path):
        if holds_npz(path):
            yield load_npz(path, split)
        else:
            with open_zip(path, split) as listing:
                yield listing
    elif (idx := idx_of_file(path)) is not None:
        yield load_idx(idx, split)
    elif path.suffix.lower() == PARQUET_SUFFIX:
        yield list_parquet(path, [path], split)
    elif _is_tarball(path):
        yield load_cifar(path, split)
    elif fault := fault_of_zip(path):
        raise DatasetError(f"{path}: {fault}; make or fetch it again")
    else:
        raise DatasetError(f"{path}: none of what can be read, or a broken one; give {ACCEPTED}")


@contextmanager
def _opened_folder(folder: Path, split: Split) -> Iterator[Listing | ImageDataset | None]:
    if find_pair(folder):
        with open_pair(folder, split) as listing:
            yield listing
        return
    tables = find_tables(folder)
    tree = None if tables else folder_tree(folder)
    if tree is not None and not tree.images:
        parquet = [folder.joinpath(*path) for path in tree.paths if path[-1].lower().endswith(PARQUET_SUFFIX)]
        if parquet:
            yield list_parquet(folder, parquet, split)
            return
        tables = find_tables_below(folder.joinpath(*below) for below in tree.folders)
    if tables:
        yield only_table(tables, folder).load(split)
    elif tree is not None:
        yield tree.list_split(split)


def _is_tarball(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except BROKEN:
        return False
