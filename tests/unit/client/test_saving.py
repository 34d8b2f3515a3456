"""Samples as files: what carries an address, what can be made again, and `Samples.save`."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ganserve.cli import main
from ganserve.client import Address, ArtifactError, Client, ConfigError, PreconditionError, Samples, address_of
from ganserve.client.formats.png import encode_png
from ganserve.client.formats.xmp import SYNTHETIC, find_address, find_recipe, mark, png_chunk
from ganserve.contract.images import ImageFormatName, decode, encode
from ganserve.training.datasets import load
from ganserve.v1.generator_pb2 import ImageEncoding, ImageFormat

from .scripted import Script, ScriptedServer

FORMATS = {
    "png": ImageEncoding(format=ImageFormat.IMAGE_FORMAT_PNG),
    "jpeg": ImageEncoding(format=ImageFormat.IMAGE_FORMAT_JPEG),
    "webp": ImageEncoding(format=ImageFormat.IMAGE_FORMAT_WEBP),
    "lossy webp": ImageEncoding(format=ImageFormat.IMAGE_FORMAT_WEBP, quality=50),
}
ADDRESS = Address(
    model="pets:3", digest="ab" * 32, seed=2**64 - 1, index=2**64 - 2, label=7, truncation=0.1, spread=1.3
)


def noise(height: int, width: int, channels: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


@given(count=st.integers(1, 3), height=st.integers(1, 40), width=st.integers(1, 40), channels=st.sampled_from([1, 3]))
def test_png_files_hold_the_pixels(count: int, height: int, width: int, channels: int) -> None:
    images = np.stack([noise(height, width, channels)] * count)
    for file, image in zip(encode_png(images), images, strict=True):
        np.testing.assert_array_equal(decode(file, channels), image)


def test_large_png_files_hold_the_pixels() -> None:
    image = noise(300, 400, 3)
    np.testing.assert_array_equal(decode(encode_png(image[None])[0], 3), image)


def test_png_files_depend_on_no_compressor() -> None:
    """The bytes as RFC 1950, RFC 1951 and the PNG specification give them."""
    (file,) = encode_png(np.array([[[[1], [2]], [[3], [4]]]], np.uint8))
    rows = b"\0\1\2\0\3\4"
    stored = b"\x78\x01" + b"\x01\x06\x00\xf9\xff" + rows + struct.pack(">I", zlib.adler32(rows))
    header = b"\0\0\0\2\0\0\0\2\x08\0\0\0\0"
    chunks = [(b"IHDR", header), (b"IDAT", stored), (b"IEND", b"")]
    assert file == b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("width", [1, 5, 64])
def test_an_address_goes_into_a_file_and_leaves_its_pixels(format: str, channels: int, width: int) -> None:  # noqa: A002
    plain = encode(noise(6, width, channels), FORMATS[format])
    marked = mark(plain, ADDRESS.to_json())
    with Image.open(io.BytesIO(plain)) as before, Image.open(io.BytesIO(marked)) as after:
        assert (after.format, after.mode, after.size) == (before.format, before.mode, before.size)
        np.testing.assert_array_equal(np.asarray(after), np.asarray(before))
        xmp = after.info.get("xmp") or after.info["XML:com.adobe.xmp"].encode()
    np.testing.assert_array_equal(decode(marked, channels), decode(plain, channels))
    assert f'Iptc4xmpExt:DigitalSourceType="{SYNTHETIC}"'.encode() in xmp
    assert Address.from_json(find_address(marked) or "") == ADDRESS


def test_an_address_that_another_program_wrote_anew_is_found() -> None:
    text = ADDRESS.to_json()
    written = text.replace('"', "&quot;")
    plain = encode_png(noise(2, 2, 1)[None])[0]
    header_end = 33
    for form in (f"ganserve:Address='{text}'", f"x='y'><ganserve:Address>{written}</ganserve:Address><z w='v'"):
        chunk = png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + form.encode())
        assert find_address(plain[:header_end] + chunk + plain[header_end:]) == text


@pytest.mark.parametrize(
    "data",
    [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP", b"RIFF\xff\xff\xff\xffWEBPVP8X\xff\xff\xff\xff"],
)
def test_torn_files_carry_none(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ArtifactError, match="carries no address"):
        address_of(tmp_path / "a.png")


@pytest.mark.parametrize("text", ["", "[]", "7", '{"seed": 1}', '{"model": 1, "digest": "", "seed": 1, "index": 1}'])
def test_what_is_no_address_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(mark(encode_png(noise(2, 2, 1)[None])[0], text))
    with pytest.raises(ArtifactError, match="is no address of a sample"):
        address_of(tmp_path / "a.png")
    with pytest.raises(ArtifactError, match="cannot be read"):
        address_of(tmp_path / "missing.png")


@pytest.fixture
def client(server: ScriptedServer) -> Any:
    with Client(server.address, model="digits") as client:
        yield client


@pytest.mark.parametrize("format", ["raw", "png", "jpeg", "webp"])
@pytest.mark.parametrize("form", ["folder", "zip"])
def test_saved_images_can_be_made_again(
    client: Client,
    tmp_path: Path,
    format: ImageFormatName,  # noqa: A002
    form: str,
) -> None:
    samples = client.generate(7, seed=250, first_index=3, truncation=1.5, spread=1.25, labels=[2, 0], format=format)
    out = tmp_path / ("samples" if form == "folder" else "samples.zip")
    samples.save(out)
    if form == "zip":
        with zipfile.ZipFile(out) as archive:
            archive.extractall(tmp_path / "samples")  # noqa: S202 - written a line before
    suffix = {"raw": "png", "jpeg": "jpg"}.get(format, format)
    files = sorted((tmp_path / "samples").rglob(f"*.{suffix}"), key=lambda path: path.name)
    assert [path.name for path in files] == [f"250-{index:06d}.{suffix}" for index in range(3, 10)]
    assert [path.parent.name for path in files] == ["zero", "two"] * 3 + ["zero"]
    for place, path in enumerate(files):
        address = address_of(path)
        assert (address.index, address.truncation, address.spread) == (3 + place, 1.5, 1.25)
        assert address.model == "digits:2"
        again = address.generate(client)
        np.testing.assert_array_equal(again.numpy()[0], samples[place])
        assert again.labels is not None
        assert samples.labels is not None
        assert again.labels[0] == samples.labels[place]
    dataset = load(str(out))
    assert dataset.class_names == ("zero", "two")
    assert len(dataset.images) == 7


def test_saved_arrays_grids_and_files_of_samples(client: Client, tmp_path: Path) -> None:
    samples = client.generate(7, seed=250, labels=2)
    for name in ("a.npz", "a.png", "a.tar", "a.parquet"):
        samples.save(str(tmp_path / name))
    with np.load(tmp_path / "a.npz") as arrays:
        np.testing.assert_array_equal(arrays["images"], samples.numpy())
        assert arrays["class_names"].tolist() == ["label 0", "label 1", "two"]
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == samples.grid().size
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert archive.getnames()[:3] == ["250-000000.png", "250-000000.cls", "250-000000.json"]
    assert len(load(str(tmp_path / "a.parquet")).images) == 7


def test_a_sample_that_comes_twice_is_saved_twice(client: Client, tmp_path: Path) -> None:
    client.generate(indices=[5, 3, 5, 5], seed=1).save(tmp_path / "samples")
    names = sorted(path.name for path in (tmp_path / "samples").rglob("*.png"))
    assert names == ["1-000003.png", "1-000005-2.png", "1-000005-3.png", "1-000005.png"]


def test_samples_of_explicit_latents_are_marked_and_have_no_address(client: Client, tmp_path: Path) -> None:
    client.generate_from(np.ones((2, 3)), labels=1).save(tmp_path / "samples")
    path = tmp_path / "samples" / "one" / "latents-000001.png"
    assert SYNTHETIC.encode() in path.read_bytes()
    with pytest.raises(ArtifactError, match="carries no address of a sample; it was made from explicit latents"):
        address_of(path)
    for name in ("a.npz", "a.tar", "a.parquet", "a.zip"):
        client.generate_from(np.ones((2, 3)), labels=1).save(tmp_path / name)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_grid_says_what_it_is_in_place_of_an_address(client: Client, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"grid.{suffix}"
    made_by = {"model": "digits:2", "digest": "ab" * 32}
    for samples, told in (
        (
            client.generate(3, seed=7, first_index=4, labels=[2, 0], spread=1.5),
            {"seed": 7, "n": 3, "first_index": 4, "labels": [2, 0, 2], "spread": 1.5},
        ),
        (
            client.generate(indices=[9, 2], seed=7, labels=1, truncation=1.0),
            {"seed": 7, "n": 2, "indices": [9, 2], "labels": [1, 1], "truncation": 1.0},
        ),
        (client.generate_from(np.ones((2, 3)), labels=1), {"n": 2, "labels": [1, 1]}),
    ):
        samples.save(path)
        assert SYNTHETIC.encode() in path.read_bytes()
        assert json.loads(find_recipe(path.read_bytes()) or "") == made_by | told
        with pytest.raises(ArtifactError, match=r"no address of a sample; it shows several, which were made by .*ab"):
            address_of(path)


def test_a_folder_is_replaced_on_demand_and_never_another(client: Client, tmp_path: Path) -> None:
    samples = client.generate(2, seed=1)
    samples.save(tmp_path / "samples")
    with pytest.raises(ConfigError, match="is not empty; give another folder, or overwrite=True"):
        samples.save(tmp_path / "samples")
    with pytest.raises(ConfigError, match=r"^overwrite=True .* goes with a folder"):
        samples.save(tmp_path / "a.zip", overwrite=True)
    client.generate(2, seed=2).save(tmp_path / "samples", overwrite=True)
    assert {path.name[:2] for path in (tmp_path / "samples").rglob("*.png")} == {"2-"}
    (tmp_path / "samples" / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match=r"thesis\.txt, which is no sample"):
        samples.save(tmp_path / "samples", overwrite=True)
    for name in ("a.gif", ""):
        with pytest.raises(ConfigError):
            samples.save(tmp_path / name if name else "")


def test_an_address_is_of_one_model(client: Client, script: Script) -> None:
    script.digest = "cd" * 32
    address = Address(**{**ADDRESS.to_dict(), "label": 1})
    with pytest.raises(PreconditionError, match="by pets:3@abababababab, and the source has digits:2@cdcdcdcdcdcd"):
        address.generate(client)


@pytest.mark.parametrize("out", ["again", "again.zip", "again.png"])
def test_the_command_makes_an_image_again(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    """Without naming the model: the image tells it."""
    monkeypatch.chdir(tmp_path)
    generate = ["generate", "--server", server.address]
    assert main([*generate, "--model", "digits", "-n", "9", "--seed", "7", "--out", "samples"]) == 0
    assert main([*generate, "--like", "samples/7-000005.png", "--out", out]) == 0
    if out == "again":
        assert Path("again/7-000005.png").read_bytes() == Path("samples/7-000005.png").read_bytes()


def test_an_image_is_made_again_by_its_own_model_alone(
    server: ScriptedServer,
    script: Script,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    generate = ["generate", "--server", server.address]
    assert main([*generate, "--model", "digits", "-n", "2", "--seed", "7", "--out", "samples"]) == 0
    like = [*generate, "--like", "samples/7-000001.png", "--out", "again"]
    assert main([*like, "--seed", "7"]) == 2
    assert "--like says which sample" in capsys.readouterr().err
    script.digest = "cd" * 32
    assert main(like) == 5
    assert capsys.readouterr().err.count("\n") == 1
    assert main([*generate, "--like", "missing.png", "--out", "again"]) == 3
    assert "missing.png cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.parquet", "a.npz"])
def test_the_command_writes_every_form(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["generate", "--server", server.address, "--model", "digits", "-n", "9", "--seed", "7", "--out", name]
    assert main(words) == 0
    first = Path(name).read_bytes()
    assert main(words) == 0
    assert Path(name).read_bytes() == first


def test_samples_know_their_spread(client: Client) -> None:
    assert {samples.spread for samples in client.stream(9, seed=1, spread=1.5, batch_size=2)} == {1.5}
    assert client.generate(25, seed=1, spread=1.5).spread == 1.5
    assert client.generate(1).spread is None


def test_streamed_samples_know_their_truncation(client: Client) -> None:
    assert {samples.truncation for samples in client.stream(9, seed=1, truncation=0.5, batch_size=2)} == {0.5}
    assert client.generate(25, seed=1, truncation=0.5).truncation == 0.5
    assert client.generate(1).truncation is None
    assert isinstance(client.generate(1), Samples)
