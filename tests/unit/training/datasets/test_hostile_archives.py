"""Archives that are broken or lie: one line each, and no more memory than an honest file of their size could need."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ganserve.contract.errors import ArtifactError, DatasetError
from ganserve.training.datasets import load

ZipFolder = Callable[..., str]
# APPNOTE.TXT of PKWARE, 4.3.12: where in an entry of the directory these lie.
DIRECTORY_ENTRY = b"PK\1\2"
FLAGS, PACKED_BYTES, UNPACKED_BYTES = 8, 20, 24


def npz(path: Path, method: int = zipfile.ZIP_STORED, shape: tuple[int, ...] = (3, 4, 5)) -> Path:
    """An .npz of black images."""
    array = io.BytesIO()
    np.save(array, np.zeros(shape, dtype=np.uint8))
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("images.npy", array.getvalue())
    return path


def spoil(path: Path, field: int, value: bytes) -> None:
    """Writes into the first entry of a zip's directory."""
    data = bytearray(path.read_bytes())
    place = data.index(DIRECTORY_ENTRY) + field
    data[place : place + len(value)] = value
    path.write_bytes(data)


@pytest.mark.parametrize("mode", ["w:gz", "w:xz", "w:bz2"])
def test_a_tarball_cut_before_its_first_file(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "cifar.tar"
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        tar.addfile(tarfile.TarInfo("cifar-10-batches-py/data_batch_1"))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DatasetError, match=r"cifar\.tar: none of what can be read, or a broken one"):
        load(str(path))


def test_a_tarball_with_broken_lzma(tmp_path: Path) -> None:
    path = tmp_path / "cifar.tar.xz"
    with tarfile.open(path, "w:xz") as tar:
        member = tarfile.TarInfo("cifar-10-batches-py/passed_over.bin")
        member.size = 2**20
        tar.addfile(member, io.BytesIO(np.random.default_rng(0).bytes(member.size)))
    data = bytearray(path.read_bytes())
    data[2**19 : 2**19 + 100] = b"\xff" * 100
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"cifar\.tar\.xz: cannot be read \(Corrupt"):
        load(str(path))


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_methods_that_unpack_all_at_once(folder: Path, tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "animals.zip", "w", method) as archive:
        archive.write(folder / "cat" / "c.PNG", "c.png")
        archive.writestr("dataset.json", '{"labels": null}')
    with pytest.raises(DatasetError, match=r"dataset\.json cannot be read \(packed by another method"):
        load(str(tmp_path / "animals.zip"))
    with pytest.raises(DatasetError, match=r"a\.npz: cannot be read \(packed by another method"):
        load(str(npz(tmp_path / "a.npz", method)))


def test_an_image_packed_by_another_method(folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "animals.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.write(folder / "cat" / "c.PNG", "c.png")
    with pytest.raises(DatasetError, match=r"c\.png \(packed by another method"):
        load(str(tmp_path / "animals.zip"))


def test_an_entry_without_a_name(folder: Path, tmp_path: Path, zip_folder: ZipFolder) -> None:
    archive = zip_folder(folder, tmp_path / "animals.zip")
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("x", b"")
        file.infolist()[-1].filename = ""
    assert len(load(archive).images) == 3


def test_an_encrypted_npz(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz")
    spoil(path, FLAGS, b"\1")
    with pytest.raises(DatasetError, match=r"a\.npz: cannot be read \(encrypted\)"):
        load(str(path))


def test_a_directory_that_promises_what_cannot_be(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", zipfile.ZIP_DEFLATED)
    for field in (PACKED_BYTES, UNPACKED_BYTES):
        spoil(path, field, struct.pack("<I", 2**32 - 2))
    with pytest.raises(DatasetError, match=r"4,294,967,294 bytes, which cannot be in \d\d\d packed ones"):
        load(str(path))


def test_an_npz_that_unpacks_without_bound(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="which cannot be in"):
        load(str(npz(tmp_path / "a.npz", zipfile.ZIP_DEFLATED, (1100, 256, 256))))
    assert len(load(str(npz(tmp_path / "b.npz", zipfile.ZIP_STORED, (1100, 256, 256)))).images) == 1100


def test_a_gzipped_idx_file_that_unpacks_without_bound(tmp_path: Path) -> None:
    bomb = bytes((0, 0, 8, 3)) + struct.pack(">3I", 1100, 256, 256) + bytes(1100 * 256 * 256)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(bomb, 1))
    with pytest.raises(DatasetError, match="unpacks to more than 67,108,864 bytes"):
        load(str(tmp_path))


def test_labels_far_larger_than_their_images(folder: Path, tmp_path: Path, zip_folder: ZipFolder) -> None:
    (folder / "dataset.json").write_text('{"labels": null}' + " " * (17 * 2**20))
    with pytest.raises(ArtifactError, match=r"dataset\.json is not a regular file of at most 16778752 bytes"):
        load(str(folder))
    with pytest.raises(DatasetError, match=r"dataset\.json cannot be read \(17,825,808 bytes, more than 16,778,752"):
        load(zip_folder(folder, tmp_path / "animals.zip"))
