"""`ganserve transform`, from files to files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganserve.contract.images import Images
from ganserve.contract.textures import sample_textures
from ganserve.v1.bundle_pb2 import Parity

from ..servers import RunCommand, StartServer
from ..translators import blurred_twice_as_large, make_translator

SIZES = {"a.png": (20, 15), "more/b.webp": (12, 31), "more/c.jpg": (40, 9)}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, tiny_parity: Parity) -> Path:
    folder = tmp_path_factory.mktemp("translators")
    make_translator(folder, tiny_parity)
    return folder


def opened(path: Path) -> tuple[Images, str | None]:
    """Pixels of a file, and its format."""
    with Image.open(path) as picture:
        return np.asarray(picture), picture.format


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name, (height, width) in SIZES.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sample_textures(1, 0, 1, (height, width, 3))[0]).save(path, lossless=True)
    (tmp_path / "photos" / "notes.txt").write_text("not an image")
    return tmp_path / "photos"


def test_a_folder_keeps_names_folders_and_formats(
    models: Path, photos: Path, tmp_path: Path, run_command: RunCommand, start_server: StartServer
) -> None:
    with start_server(models) as server:
        done = run_command("transform", photos, tmp_path / "large", "--model", "blur2x", "--server", server.address)
    assert done.returncode == 0, done.stderr
    assert "3 images by blur2x:1" in done.stdout
    made = sorted(str(path.relative_to(tmp_path / "large")) for path in (tmp_path / "large").rglob("*.*"))
    assert made == sorted([*SIZES, "transform.json"])
    for name in ("a.png", "more/b.webp"):
        expected = blurred_twice_as_large(opened(photos / name)[0])
        assert np.abs(opened(tmp_path / "large" / name)[0].astype(int) - expected).max() <= 1
    assert opened(tmp_path / "large" / "more" / "c.jpg")[1] == "JPEG"


def test_what_is_there_is_left_alone(models: Path, photos: Path, tmp_path: Path, run_command: RunCommand) -> None:
    large = tmp_path / "large"
    command = ("transform", photos, large, "--bundle", models / "blur2x" / "1")
    (photos / "more" / "torn.png").write_bytes((photos / "a.png").read_bytes()[:50])
    failed = run_command(*command)
    assert failed.returncode == 3
    assert failed.stderr.count("\n") == 1
    assert "torn.png: these 50 bytes are not a readable image" in failed.stderr
    assert all((large / name).is_file() for name in SIZES)  # which come before it
    (photos / "more" / "torn.png").unlink()
    for name in ("more/b.webp", "more/c.jpg"):
        (large / name).unlink()
    (large / "a.png").write_bytes(b"mine")
    done = run_command(*command)
    assert done.returncode == 0, done.stderr
    assert "3 images by blur2x:1" in done.stdout
    assert "1 image of them there already" in done.stdout
    assert (large / "a.png").read_bytes() == b"mine"
    assert "3 images, all there already" in run_command(*command).stdout
    assert run_command(*command, "--overwrite").returncode == 0
    assert opened(large / "a.png")[0].shape == (40, 30, 3)


def test_what_cannot_be_read_may_be_left_out(
    models: Path, photos: Path, tmp_path: Path, run_command: RunCommand
) -> None:
    (photos / "a-torn.png").write_bytes(b"nothing")
    command = ("transform", photos, tmp_path / "large", "--bundle", models / "blur2x" / "1")
    done = run_command(*command, "--skip-bad")
    assert done.returncode == 0, done.stderr
    assert "warning: left out: " in done.stderr
    assert "a-torn.png: these 7 bytes are not a readable image" in done.stderr
    assert "4 images by blur2x:1" in done.stdout
    assert "; 1 left out" in done.stdout
    assert all((tmp_path / "large" / name).is_file() for name in SIZES)


def test_another_model_does_not_go_on_where_one_has_begun(
    photos: Path, tmp_path: Path, run_command: RunCommand, tiny_parity: Parity
) -> None:
    one = make_translator(tmp_path / "models", tiny_parity, "one")
    other = make_translator(tmp_path / "models", tiny_parity, "other", is_tiled=False)
    assert run_command("transform", photos, tmp_path / "large", "--bundle", one).returncode == 0
    done = run_command("transform", photos, tmp_path / "large", "--bundle", other)
    assert done.returncode == 2
    assert "holds images made with another model, class, seed, --resize or --masks, as " in done.stderr
    assert "transform.json" in done.stderr


def test_what_was_refused_leaves_nothing_behind(
    photos: Path, tmp_path: Path, run_command: RunCommand, tiny_parity: Parity
) -> None:
    whole = make_translator(tmp_path / "models", tiny_parity, "whole", is_tiled=False)
    command = ("transform", photos, tmp_path / "large", "--bundle", whole)
    refused = run_command(*command, "--skip-bad")
    assert refused.returncode == 3
    assert refused.stderr.endswith("resize='crop' brings others to it\n")  # and nothing of --skip-bad
    assert not (tmp_path / "large").exists()
    done = run_command(*command, "--resize", "crop")
    assert done.returncode == 0, done.stderr
    assert opened(tmp_path / "large" / "a.png")[0].shape == (24, 20, 3)
    again = run_command(*command, "--resize", "pad")
    assert again.returncode == 2
    assert "made with another model, class, seed, --resize" in again.stderr


def test_images_that_are_not_read_are_told(models: Path, photos: Path, tmp_path: Path, run_command: RunCommand) -> None:
    for name in ("x.BMP", "more/y.tif"):
        (photos / name).write_bytes(b"of another kind")
    done = run_command("transform", photos, tmp_path / "large", "--bundle", models / "blur2x" / "1")
    assert done.returncode == 0
    assert "warning: left out: 2 images of other kinds, such as " in done.stderr
    assert ".png, .jpg, .webp files are read" in done.stderr


def test_one_file(models: Path, photos: Path, tmp_path: Path, run_command: RunCommand) -> None:
    bundle = models / "blur2x" / "1"
    assert run_command("transform", photos / "a.png", tmp_path / "b.jpg", "--bundle", bundle).returncode == 0
    assert opened(tmp_path / "b.jpg")[1] == "JPEG"
    done = run_command("transform", photos / "a.png", tmp_path / "b.gif", "--bundle", bundle)
    assert (done.returncode, done.stderr) == (
        2,
        f"ganserve: error: {tmp_path / 'b.gif'}: name it .png, .jpg, .webp\n",
    )


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("nowhere", "out"), "nowhere: there is no such file or folder"),
        (("empty", "out"), "empty holds no images; they are .png, .jpg, .webp files"),
        (("photos", "photos"), "photos would hold images and what is made of them; give another folder"),
        (("photos", "photos/large"), "photos/large would hold images and what is made of them; give another folder"),
        (("photos", "out", "--masks", "empty"), "photos/a.png has no mask; give it as empty/a.png"),
    ],
)
def test_what_cannot_be_is_one_line(
    words: tuple[str, ...],
    text: str,
    models: Path,
    photos: Path,
    run_command: RunCommand,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(photos.parent)
    Path("empty").mkdir()
    done = run_command("transform", *words, "--bundle", models / "blur2x" / "1")
    assert (done.returncode, done.stderr) == (2, f"ganserve: error: {text}\n")
