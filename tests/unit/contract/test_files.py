from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

import pytest

from ganserve.contract.errors import ArtifactError
from ganserve.contract.files import check_new_file, new_file, new_folder, uncompressed_zip

New = Callable[[Path], AbstractContextManager[Path]]


def fill(path: Path, text: str) -> None:
    (path / "content" if path.is_dir() else path).write_text(text)


def content(path: Path) -> str:
    return (path / "content" if path.is_dir() else path).read_text()


def replace_folder(path: Path) -> AbstractContextManager[Path]:
    return new_folder(path, replace=True)


@pytest.mark.parametrize("new", [new_file, replace_folder])
def test_the_new_takes_the_place_of_the_old(tmp_path: Path, new: New) -> None:
    target = tmp_path / "deep" / "target"
    for text in ("old", "new"):
        with new(target) as partial:
            fill(partial, text)
    assert content(target) == "new"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("new", [new_file, new_folder])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_interrupted_write_leaves_nothing(tmp_path: Path, new: New, error: type[BaseException]) -> None:
    def write() -> None:
        with new(tmp_path / "target") as partial:
            fill(partial, "half")
            raise error

    with pytest.raises(error):
        write()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_after_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    abandoned = {".folder.0123abcd.partial", ".file.0123abcd.partial"}
    kept = {"file", ".file.mine.partial", ".partial"}
    for name in (*abandoned, *kept):
        (tmp_path / name).mkdir() if "folder" in name else (tmp_path / name).write_text("half")
    with new_folder(tmp_path / "today"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == abandoned | kept | {"today"}
    tomorrow_s = time.time() + 25 * 3600
    monkeypatch.setattr(time, "time", lambda: tomorrow_s)
    with new_folder(tmp_path / "tomorrow"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == kept | {"today", "tomorrow"}


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("old")

    def write() -> None:
        with new_file(target) as partial:
            partial.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_is_there_stays_unless_it_may_be_replaced(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    fill(target, "old")

    def write() -> None:
        with new_folder(target) as partial:
            fill(partial, "new")

    with pytest.raises(ArtifactError, match="target cannot be written"):
        write()
    assert content(target) == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_files_get_the_permissions_that_the_user_wants(tmp_path: Path) -> None:
    former = os.umask(0o027)
    try:
        with new_file(tmp_path / "target") as partial:
            fill(partial, "")
    finally:
        os.umask(former)
    assert (tmp_path / "target").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("new", [new_file, new_folder])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, new: New) -> None:
    (tmp_path / "file").write_text("")

    def write() -> None:
        with new(tmp_path / "file" / "target") as partial:
            fill(partial, "")

    with pytest.raises(ArtifactError, match="target cannot be written"):
        write()


def test_a_link_to_a_folder_keeps_leading_to_what_replaced_it(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    fill(tmp_path / "real", "old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with new_folder(tmp_path / "link", replace=True) as partial:
        fill(partial, "new")
    assert content(tmp_path / "link") == content(tmp_path / "real") == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_a_file_behind_a_link_is_replaced_and_a_pipe_is_not(tmp_path: Path) -> None:
    file, link, pipe = tmp_path / "file", tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(file)
    with new_file(link) as new:
        new.write_text("new")
    assert link.is_symlink()
    assert file.read_text() == "new"
    os.mkfifo(pipe)
    with pytest.raises(ArtifactError, match="pipe is there and no file that could be replaced"), new_file(pipe):
        pass
    assert pipe.is_fifo()


def test_whether_a_file_could_be_written_is_found_out_beforehand_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    for path in (tmp_path / "file", tmp_path / "new", tmp_path / "deep" / "down" / "new"):
        check_new_file(path)
    assert [each.name for each in tmp_path.rglob("*")] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("folder", "folder is a folder; give the name of a file"),
        ("file/below", "below cannot be written: "),
        ("file/far/below", "below cannot be written: "),
        ("pipe", "pipe is there and no file that could be replaced"),
        ("n" * 250, "cannot be written: File name too long"),
        ("round", "round cannot be written"),
        ("/proc/new", "/proc/new cannot be written"),
    ],
)
@pytest.mark.parametrize("is_asked_before", [True, False])
def test_what_cannot_be_a_file_is_told_in_a_line(tmp_path: Path, name: str, text: str, is_asked_before: bool) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    os.mkfifo(tmp_path / "pipe")

    def write() -> None:
        if is_asked_before:
            check_new_file(tmp_path / name)
        with new_file(tmp_path / name) as new:
            new.write_text("")

    with pytest.raises(ArtifactError) as caught:
        write()
    assert text in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_an_interruption_within_an_entry_of_a_zip_is_told_as_itself(tmp_path: Path) -> None:
    begun: list[IO[bytes]] = []

    def begin_and_break_off() -> None:
        with uncompressed_zip(tmp_path / "a.zip") as archive:
            begun.append(archive.open("half", "w"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begin_and_break_off()
    assert not zipfile.is_zipfile(tmp_path / "a.zip")


def test_a_zip_that_ends_well_can_be_read(tmp_path: Path) -> None:
    with uncompressed_zip(tmp_path / "a.zip") as archive:
        archive.writestr("one", b"1")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.read("one") == b"1"
