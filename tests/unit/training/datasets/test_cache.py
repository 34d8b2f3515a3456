from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from ganserve.training.datasets import ImageDataset, load
from ganserve.training.datasets.cache import cache_folder, cached
from ganserve.training.datasets.decoding import Decoded, WritePixels

WriteImage = Callable[..., None]
NumDecoded = Callable[[], int]


def entries(cache: Path) -> list[Path]:
    return sorted((cache / "datasets").iterdir())


def test_the_second_start_decodes_nothing(folder: Path, num_decoded: NumDecoded) -> None:
    first = load(str(folder))
    assert num_decoded() == 6
    second = load(str(folder))
    assert num_decoded() == 6
    assert second.digest == first.digest
    assert second.class_names == first.class_names
    np.testing.assert_array_equal(second.images, first.images)
    assert first.labels is not None
    np.testing.assert_array_equal(second.labels, first.labels)


def test_the_digest_is_kept_not_computed(folder: Path) -> None:
    load(str(folder))
    dataset = load(str(folder))
    assert "digest" in vars(dataset)
    fresh = ImageDataset(dataset.images, dataset.labels, dataset.class_names, dataset.name)
    assert fresh.digest == dataset.digest


def test_images_are_mapped_and_writable_without_reaching_the_file(folder: Path) -> None:
    images = load(str(folder)).images
    base = images
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert isinstance(base, np.memmap)
    tensor = torch.from_numpy(np.asarray(images))
    tensor += 1
    assert load(str(folder)).images[0, 0, 0, 0] == tensor[0, 0, 0, 0] - 1


def test_what_changes_is_decoded_again(folder: Path, num_decoded: NumDecoded, write_image: WriteImage) -> None:
    load(str(folder))
    path = folder / "cat" / "c.PNG"
    status = path.stat()
    write_image(path, level=9)
    assert path.stat().st_size == status.st_size
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert load(str(folder)).images[0, 0, 0, 0] == 9
    path.rename(folder / "dog" / "c.PNG")
    assert load(str(folder)).labels is None
    write_image(folder / "cat" / "d.png", level=8)
    assert len(load(str(folder)).images) == 4
    assert num_decoded() == 6 + 6 + 6 + 8


def test_a_copy_of_a_zip_is_the_same_entry(
    folder: Path, tmp_path: Path, num_decoded: NumDecoded, zip_folder: Callable[..., str]
) -> None:
    first = load(zip_folder(folder, tmp_path / "a.zip"))
    copy = tmp_path / "elsewhere" / "b.zip"
    copy.parent.mkdir()
    copy.write_bytes((tmp_path / "a.zip").read_bytes())
    second = load(str(copy))
    assert num_decoded() == 6
    assert (first.name, second.name) == ("a", "b")


def test_options_are_part_of_the_key(folder: Path, num_decoded: NumDecoded) -> None:
    load(str(folder))
    load(str(folder), skip_bad=True)
    assert num_decoded() == 12


@pytest.mark.parametrize("name", ["index.json", "images.u8", "labels.npy"])
@pytest.mark.parametrize("spoil", ["cut", "remove", "empty"])
def test_a_torn_entry_is_made_again(folder: Path, cache: Path, name: str, spoil: str) -> None:
    digest = load(str(folder)).digest
    (entry,) = entries(cache)
    path = entry / name
    data = path.read_bytes()
    path.unlink()
    if spoil != "remove":
        path.write_bytes(data[:-7] if spoil == "cut" else b"")
    assert load(str(folder)).digest == digest
    assert entries(cache) == [entry]
    assert path.read_bytes() == data


@pytest.mark.parametrize("digest", [5, None, "", "0" * 63, "g" * 64])
def test_an_entry_without_a_digest_is_made_again(folder: Path, cache: Path, digest: object) -> None:
    right = load(str(folder)).digest
    (entry,) = entries(cache)
    index = json.loads((entry / "index.json").read_text())
    (entry / "index.json").write_text(json.dumps(index | {"digest": digest}))
    assert load(str(folder)).digest == right


@pytest.mark.parametrize("name", ["cache", "cache/datasets"])
def test_a_cache_that_cannot_be_written_does_no_harm(folder: Path, cache: Path, name: str) -> None:
    digest = load(str(folder)).digest
    for path in cache.rglob("*"):
        if path.is_file():
            path.unlink()
    in_the_way = cache.parent / name
    for path in sorted(cache.rglob("*"), reverse=True):
        path.rmdir()
    if in_the_way == cache:
        cache.rmdir()
    in_the_way.write_text("a file where the folder should be")
    dataset = load(str(folder))
    assert dataset.digest == digest
    assert dataset.images.flags.writeable


def test_a_full_disk_is_no_failure(folder: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    def full(path: Path) -> None:
        raise OSError(28, f"No space left on device for {path}")

    monkeypatch.setattr("ganserve.training.datasets.cache.sync", full)
    assert len(load(str(folder)).images) == 3
    assert not list((cache / "datasets").iterdir())


def test_two_writers_at_once_both_succeed(cache: Path) -> None:
    """Both are inside the making of one entry before either is done."""
    both_inside = threading.Barrier(2, timeout=20)

    def make(write: WritePixels) -> Decoded:
        both_inside.wait()
        write(np.full((4, 2, 2, 1), 7, dtype=np.uint8))
        return Decoded(2, 2, 1, np.zeros(4, dtype=np.int64), ("a",))

    made: list[ImageDataset] = []
    threads = [threading.Thread(target=lambda: made.append(cached("key", "name", make))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 2
    assert made[0].digest == made[1].digest
    assert [path.name for path in entries(cache) if path.name.startswith(".")] == []
    assert len(entries(cache)) == 1


def test_two_processes_at_once_both_succeed(folder: Path, cache: Path) -> None:
    code = "import sys; from ganserve.training.datasets import load; print(load(sys.argv[1]).digest)"
    environment = {**os.environ, "GANSERVE_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", code, str(folder)]
    with _started(words, environment) as first, _started(words, environment) as second:
        digests = {process.communicate(timeout=60)[0].strip() for process in (first, second)}
        assert (first.returncode, second.returncode) == (0, 0)
    assert digests == {load(str(folder)).digest}


def _started(words: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)


def test_what_a_killed_process_left_is_removed_after_a_day(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / "datasets" / ".dead.0123abcd.partial").mkdir(parents=True)
    tomorrow_s = time.time() + 25 * 3600
    monkeypatch.setattr(time, "time", lambda: tomorrow_s)
    load(str(folder))
    assert not [path for path in entries(cache) if path.name.startswith(".")]


def test_the_cache_is_the_users_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GANSERVE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder().name == "ganserve"
    monkeypatch.setenv("GANSERVE_CACHE", "~/elsewhere")
    assert cache_folder() == Path.home() / "elsewhere"
