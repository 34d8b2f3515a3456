"""A folder with a folder of images for each class, as a real data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image
from torch.utils.data import Dataset

from ganserve.contract.errors import DatasetError
from ganserve.contract.images import FILE_FORMATS, file_format_of
from ganserve.contract.text import one_line


class ClassFolders(Dataset[Any]):
    """The PNG, JPEG and WebP files below the folders of a folder: a PIL image each, and the label of its folder.

    Attributes:
        classes: names of the folders, sorted.
        targets: the label of every image.
    """

    def __init__(self, folder: str | Path) -> None:
        """Lists the files. Raises DatasetError where there are no folders, or none of them has an image."""
        root = Path(folder)
        if not root.is_dir():
            raise DatasetError(f"{folder} is not a folder; give one with a folder of images for each class")
        folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
        files = [(path, label) for label, of_class in enumerate(folders) for path in _images_below(of_class)]
        if not files:
            raise DatasetError(f"{folder} has no folders with PNG, JPEG or WebP files in them, one for each class")
        self.classes = [path.name for path in folders]
        self.targets = [label for _, label in files]
        self._paths = [str(path) for path, _ in files]

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, place: int) -> tuple[Image.Image, int]:
        path = self._paths[place]
        try:
            with Image.open(path, formats=[form.pillow_name for form in FILE_FORMATS]) as picture:
                picture.load()
                return picture, self.targets[place]
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise DatasetError(f"{path} is not a readable image: {one_line(error)}") from None


def _images_below(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if file_format_of(path.suffix) and not path.name.startswith("."))
    return sorted(path for path in found if path.is_file())
