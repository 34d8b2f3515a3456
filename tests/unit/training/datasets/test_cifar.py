from __future__ import annotations

import io
import os
import pickle  # noqa: TID251 — the tests write what CIFAR's files hold, and what they must not.
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganserve.contract.errors import DatasetError
from ganserve.training.datasets import load, load_test

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
ROWS = IMAGES.transpose(0, 3, 1, 2).reshape(6, 3072)


def tarball(path: Path, members: dict[str, Any], mode: str = "w:gz") -> str:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in members.items():
            data = content if isinstance(content, bytes) else pickle.dumps(content, protocol=4)
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return str(path)


def cifar10(**changes: Any) -> dict[str, Any]:
    return {
        "cifar-10-batches-py/test_batch": {b"data": ROWS[4:], b"labels": [0, 1]},
        "cifar-10-batches-py/readme.html": b"<html>",
        "cifar-10-batches-py/data_batch_2": {b"data": ROWS[2:4], b"labels": [1, 2], b"filenames": [b"a", b"b"]},
        "cifar-10-batches-py/data_batch_1": {b"data": ROWS[:2], b"labels": [2, 0]},
        "cifar-10-batches-py/batches.meta": {b"label_names": [b"airplane", b"bird", b"cat"]},
        **changes,
    }


def test_cifar10(tmp_path: Path) -> None:
    source = tarball(tmp_path / "cifar-10-python.tar.gz", cifar10())
    train, test = load(source), load_test(source)
    np.testing.assert_array_equal(train.images, IMAGES[:4])
    assert train.labels is not None
    assert train.labels.tolist() == [2, 0, 1, 2]
    assert train.class_names == ("airplane", "bird", "cat")
    assert train.name == "cifar-10-python"
    assert test is not None
    np.testing.assert_array_equal(test.images, IMAGES[4:])
    assert test.class_names == train.class_names
    assert load(source).digest == train.digest


def test_cifar100_has_its_fine_labels(tmp_path: Path) -> None:
    members = {
        "cifar-100-python/meta": {b"fine_label_names": [b"apple", b"bear"], b"coarse_label_names": [b"x"]},
        "cifar-100-python/train": {b"data": ROWS[:2], b"fine_labels": [1, 0], b"coarse_labels": [0, 0]},
        "cifar-100-python/test": {b"data": ROWS[2:3], b"fine_labels": [1], b"coarse_labels": [0]},
    }
    source = tarball(tmp_path / "cifar-100-python.tar.gz", members)
    train, test = load(source), load_test(source)
    assert train.class_names == ("apple", "bear")
    assert train.labels is not None
    assert train.labels.tolist() == [1, 0]
    assert test is not None
    assert len(test.images) == 1


def test_a_batch_as_python_2_pickled_it(tmp_path: Path) -> None:
    """Opcode by opcode what cPickle of Python 2 writes at protocol 2: byte strings, and numpy's old module names."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
        b"(K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R"
        b"(K\x03" + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89T" + (3072).to_bytes(4, "little") + ROWS[0].tobytes() + b"tb"
    )
    batch = b"\x80\x02}(" + text(b"data") + array + text(b"labels") + b"]K\x02au."
    source = tarball(tmp_path / "a.tar.gz", cifar10(**{"cifar-10-batches-py/data_batch_1": batch}))
    train = load(source)
    np.testing.assert_array_equal(train.images[0], IMAGES[0])
    assert train.labels is not None
    assert train.labels.tolist() == [2, 1, 2]


def test_without_the_other_split_there_is_none(tmp_path: Path) -> None:
    members = {name: value for name, value in cifar10().items() if "test_batch" not in name}
    assert load_test(tarball(tmp_path / "a.tar", members, "w")) is None


class Evil:
    def __init__(self, run: Callable[..., object], *arguments: object) -> None:
        self._call = (run, arguments)

    def __reduce__(self) -> Any:
        return self._call


@pytest.mark.parametrize("evil", [Evil(os.system, "touch hacked"), Evil(eval, "1"), Evil(np.zeros, 10**12)])
def test_code_in_a_pickle_never_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evil: Evil) -> None:
    monkeypatch.chdir(tmp_path)
    members = cifar10(**{"cifar-10-batches-py/data_batch_1": {b"data": evil, b"labels": [0]}})
    with pytest.raises(DatasetError, match=r"data_batch_1: not one of CIFAR's files \(it names "):
        load(tarball(tmp_path / "a.tar.gz", members))
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize(
    ("batch", "fault"),
    [
        (b"no pickle", "not one of CIFAR's files"),
        (b"", "not one of CIFAR's files"),
        ([1, 2], "not one of CIFAR's files"),
        ({b"labels": [0]}, "holds no 32×32 images"),
        ({b"data": ROWS[0], b"labels": [0]}, "holds no 32×32 images"),
        ({b"data": ROWS.astype(np.float32), b"labels": [0] * 6}, "an array that is not of uint8"),
        ({b"data": ROWS[:, :100], b"labels": [0] * 6}, "holds no 32×32 images"),
        ({b"data": ROWS, b"labels": [0]}, "does not hold one label an image"),
        ({b"data": ROWS[:1], b"labels": [7]}, "has labels that have no name"),
        ({b"data": ROWS[:1], b"labels": [-1]}, "has labels that have no name"),
        ({b"data": ROWS[:1], b"labels": ["0"]}, "does not hold one label an image"),
    ],
)
def test_batches_that_are_none(tmp_path: Path, batch: Any, fault: str) -> None:
    with pytest.raises(DatasetError, match=fault):
        load(tarball(tmp_path / "a.tar.gz", cifar10(**{"cifar-10-batches-py/data_batch_1": batch})))


def test_tarballs_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="not CIFAR's Python version"):
        load(tarball(tmp_path / "a.tar", {"a/b.txt": b"x"}, "w"))
    with pytest.raises(DatasetError, match="one too many; unpack it"):
        load(tarball(tmp_path / "b.tar", {f"a/{number}": b"" for number in range(65)}, "w"))
    path = Path(tarball(tmp_path / "c.tar.gz", cifar10()))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DatasetError, match=r"c\.tar\.gz: .*ended before"):
        load(str(path))


def test_a_huge_member_is_not_read(tmp_path: Path) -> None:
    member = tarfile.TarInfo("cifar-10-batches-py/data_batch_1")
    member.size = 2**40
    (tmp_path / "a.tar").write_bytes(member.tobuf() + bytes(1024))
    with pytest.raises(DatasetError, match="data_batch_1 is too large"):
        load(str(tmp_path / "a.tar"))


def test_a_second_start_reads_no_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tarball(tmp_path / "a.tar.gz", cifar10())
    load(source)
    monkeypatch.setattr("ganserve.training.datasets.cifar._decode", None)
    assert len(load(source).images) == 4


@pytest.mark.parametrize("given", ["", "cifar-10-batches-py"])
def test_the_folder_that_the_tarball_unpacks_to(tmp_path: Path, given: str) -> None:
    """As torchvision leaves it, beside the tarball."""
    root = tmp_path / "data"
    root.mkdir()
    digest = load(tarball(root / "cifar-10-python.tar.gz", cifar10())).digest
    (root / "cifar-10-batches-py").mkdir()
    for name, content in cifar10().items():
        (root / name).write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol=4))
    dataset, test = load(str(root / given)), load_test(str(root / given))
    assert dataset.digest == digest
    assert dataset.class_names == ("airplane", "bird", "cat")
    assert test is not None
    assert len(test.images) == 2


def test_code_in_a_folder_never_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for name, content in (
        ("batches.meta", {b"label_names": [b"a"]}),
        ("data_batch_1", {b"data": Evil(os.system, "touch hacked")}),
    ):
        (tmp_path / "data" / name).write_bytes(pickle.dumps(content))
    with pytest.raises(DatasetError, match=r"data_batch_1: not one of CIFAR's files \(it names "):
        load("data")
    assert not (tmp_path / "hacked").exists()
