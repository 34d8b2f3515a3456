"""A dataset as a zip that StyleGAN's tools read too: uncompressed PNGs, and `dataset.json` with the labels.

The same images, labels and names give the same bytes. The layout is that of `dataset_tool.py` of
https://github.com/NVlabs/stylegan3.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from ganserve.contract.errors import ConfigError, DatasetError
from ganserve.contract.files import new_file, uncompressed_zip

from .cache import cache_folder
from .dataset import ImageDataset, OnProgress, Split
from .stylegan import INDEX_NAME

_IMAGES_A_FOLDER = 1000
_EPOCH = (1980, 1, 1, 0, 0, 0)


def pack_dataset(dataset: ImageDataset, path: Path, *, split: Split, on_progress: OnProgress | None = None) -> None:
    """Writes `path`, whole or not at all. Reading it gives the same digest, labels and class names.

    Raises:
        ConfigError: `path` is there already or is not named .zip.
        DatasetError: the images are no longer those of the dataset's digest.
        ArtifactError: it cannot be written.
    """
    check_target(path)
    _refuse_altered(dataset)
    paths = [_path(index) for index in range(len(dataset.images))]
    with new_file(path) as partial, uncompressed_zip(partial) as archive:
        for index, image in enumerate(dataset.images):
            archive.writestr(_entry(paths[index]), _png(image))
            if on_progress is not None:
                on_progress(index + 1, len(paths))
        archive.writestr(_entry(INDEX_NAME), _index(dataset, paths, split))


def check_target(path: Path) -> None:
    """Raises ConfigError where a pack may not be written to `path`."""
    if path.suffix.lower() != ".zip":
        raise ConfigError(f"{path}: name it .zip, which is what it will be")
    if path.exists():
        raise ConfigError(f"{path}: is there already; remove it or choose another name")


def _refuse_altered(dataset: ImageDataset) -> None:
    """What the cache keeps is hashed once more, because a pack vouches for it."""
    if dataset.computed_digest() != dataset.digest:
        raise DatasetError(
            f"{dataset.name}: its images in the cache are not those that were decoded; "
            f"remove {cache_folder() / 'datasets'} and pack again"
        )


def _path(index: int) -> str:
    return f"{index // _IMAGES_A_FOLDER:05d}/img{index:08d}.png"


def _entry(path: str) -> zipfile.ZipInfo:
    """An entry that tells nothing of when or where it was made."""
    entry = zipfile.ZipInfo(path, date_time=_EPOCH)
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    return entry


def _png(image: npt.NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(file, "PNG", compress_level=0)
    return file.getvalue()


def _index(dataset: ImageDataset, paths: list[str], split: Split) -> bytes:
    labels = dataset.labels
    index = {
        "labels": None if labels is None else list(zip(paths, labels.tolist(), strict=True)),
        "class_names": list(dataset.class_names),
        "split": split,
        "digest": dataset.digest,
    }
    return json.dumps(index, ensure_ascii=False).encode()
