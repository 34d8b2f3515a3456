"""Small sources of images, and a cache of each test's own."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from ganserve.training.datasets import image_files

WriteImage = Callable[..., None]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder, empty."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("GANSERVE_CACHE", str(folder))
    return folder


@pytest.fixture
def folder(tmp_path: Path, write_image: WriteImage) -> Path:
    """Two classes with three images of 6×5 pixels, and files that are none."""
    root = tmp_path / "animals"
    write_image(root / "dog" / "b.png", level=3)
    write_image(root / "dog" / "deep" / "a.bmp", level=2)
    write_image(root / "cat" / "c.PNG", level=1)
    (root / "notes.txt").write_text("not an image")
    (root / "cat" / ".hidden.png").write_bytes(b"not an image")
    return root


@pytest.fixture
def zip_folder() -> Callable[..., str]:
    """Writes all files of a folder into a zip, below `top`."""

    def write(folder: Path, archive: Path, top: str = "") -> str:
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            for path in sorted(folder.rglob("*")):
                file.write(path, f"{top}{path.relative_to(folder)}")
        return str(archive)

    return write


@pytest.fixture
def num_decoded(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Counts the images that are opened."""
    opened: list[str] = []
    original = image_files._read

    def counting(file: image_files.ImageFile, look: Callable[[Image.Image], object]) -> object:
        opened.append(file.path)
        return original(file, look)

    monkeypatch.setattr(image_files, "_read", counting)
    return lambda: len(opened)
