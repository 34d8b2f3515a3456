"""Images of any size through a translator that takes one: cut, transformed, put together; files, modes and refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import grpc
import numpy as np
import pytest
from PIL import Image

from ganserve.client import AsyncClient, Client, InvalidRequestError, LocalGenerator
from ganserve.client._queries.transforms import batches
from ganserve.contract.images import Images
from ganserve.contract.resizing import Resize, ResizeMode, resize_array
from ganserve.contract.textures import sample_textures
from ganserve.v1.bundle_pb2 import Parity
from ganserve.v1.generator_pb2 import GenerateRequest, InputImages, ModelSelector, SampleQuery, StreamSamplesRequest
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub
from ganserve.v1.model_pb2 import ImageInput, ImageRole, ImageShape, ModelCard, ModelKind

from ...servers import ServerProcess, StartServer
from ...translators import SCALE, TILE, blurred_twice_as_large, make_translator

SIZES = [(13, 10), (12, 11), (40, 7), (3, 55), (2, 2), (61, 61)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, tiny_parity: Parity, make_bundle: Any) -> Path:
    folder = tmp_path_factory.mktemp("translators")
    make_translator(folder, tiny_parity)
    make_translator(folder, tiny_parity, "whole", is_tiled=False)
    make_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def source(models: Path) -> Iterator[LocalGenerator]:
    with LocalGenerator(models / "blur2x" / "1") as source:
        yield source


@pytest.fixture(scope="module")
def server(models: Path, start_server: StartServer) -> Iterator[ServerProcess]:
    with start_server(models) as server:
        yield server


def texture(height: int, width: int, channels: int = 3, seed: int = 1) -> Images:
    image: Images = sample_textures(seed, 0, 1, (height, width, channels))[0]
    return image


def test_an_image_of_more_tiles_than_are_asked_for_at_once_is_one_image(source: LocalGenerator) -> None:
    images = [texture(5, 5), texture(170, 180), texture(40, 40), texture(3, 3)]
    for image, made in zip(images, source.transform(images), strict=True):
        assert np.abs(made.astype(int) - blurred_twice_as_large(image)).max() <= 1


def test_images_before_a_faulty_one_come_first(source: LocalGenerator) -> None:
    made = source.transform([texture(5, 5), texture(9, 9), "nowhere.png"])
    assert [next(made).shape for _ in range(2)] == [(10, 10, 3), (18, 18, 3)]
    with pytest.raises(InvalidRequestError, match=r"nowhere.png cannot be read"):
        next(made)


@pytest.mark.parametrize("mode", ["P", "1", "LA", "RGBA", "CMYK"])
def test_pil_images_of_8_bits_are_taken_whatever_their_mode(source: LocalGenerator, mode: str) -> None:
    image = Image.fromarray(texture(9, 8)).convert(mode)
    plain = image.convert("L" if mode in ("1", "LA") else "RGB")
    given, expected = source.transform([image, plain])
    np.testing.assert_array_equal(given, expected)


def inpainter() -> ModelCard:
    """The card of a model that takes a mask beside its image."""
    shape = ImageShape(height=4, width=4, channels=3)
    mask = ImageInput(name="mask", role=ImageRole.IMAGE_ROLE_MASK, shape=ImageShape(height=4, width=4, channels=1))
    image = ImageInput(name="image", role=ImageRole.IMAGE_ROLE_IMAGE, shape=shape)
    return ModelCard(kind=ModelKind.MODEL_KIND_TRANSLATOR, image=shape, inputs=[image, mask], halo=0)


def take_masks(card: ModelCard) -> None:
    shape = card.inputs[0].shape
    mask = ImageShape(height=shape.height, width=shape.width, channels=1)
    card.inputs.append(ImageInput(name="mask", role=ImageRole.IMAGE_ROLE_MASK, shape=mask))


def mask_pixels(mask: Any) -> Images:
    (batch,) = batches(ModelSelector(name="inpaint"), inpainter(), [texture(4, 4)], [mask], None, None)
    return np.frombuffer(batch.query.images.mask_pixels, np.uint8).reshape(4, 4)


def test_a_mask_may_be_of_bools(tmp_path: Path) -> None:
    mask = np.eye(4, dtype=bool)
    np.testing.assert_array_equal(mask_pixels(mask), np.eye(4) * 255)
    Image.fromarray(np.eye(4, dtype=np.uint8) * 255).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(mask_pixels(tmp_path / "mask.png"), np.eye(4) * 255)
    np.testing.assert_array_equal(mask_pixels(np.zeros((4, 4), np.uint8)), np.zeros((4, 4)))


@pytest.mark.parametrize(
    ("mask", "text"),
    [
        (np.eye(4, dtype=np.uint8), "the mask has no value but 0 and 1; give 0 and 255, or bools"),
        (np.eye(5, dtype=bool), "the mask is 5×5×1, and its image is 4×4"),
        (np.zeros((4, 4, 3), np.uint8), "the mask is 4×4×3, and its image is 4×4; give one of that size in greyscale"),
    ],
)
def test_what_is_no_mask_is_told(mask: Images, text: str) -> None:
    with pytest.raises(InvalidRequestError, match=text) as caught:
        mask_pixels(mask)
    assert caught.value.field == "masks[0]"


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_an_image_of_any_size_is_put_together_from_tiles(source: LocalGenerator, height: int, width: int) -> None:
    image = texture(height, width)
    (made,) = source.transform([image])
    assert np.abs(made.astype(int) - blurred_twice_as_large(image)).max() <= 1


def test_an_image_of_the_models_own_size_goes_as_it_is(source: LocalGenerator) -> None:
    (made,) = source.transform([texture(*TILE)])
    assert made.shape == (SCALE * TILE[0], SCALE * TILE[1], 3)
    assert made[0, 0, 0] < blurred_twice_as_large(texture(*TILE))[0, 0, 0]  # its own zeros lie beyond the edges


def test_many_images_come_in_order_and_are_read_as_they_are_needed(source: LocalGenerator) -> None:
    num_read = 0

    def images() -> Iterator[Images]:
        nonlocal num_read
        for number in range(600):
            num_read += 1
            yield texture(9 + number % 7, 8, seed=number)

    made = source.transform(images())
    first = next(made)
    assert num_read < 600
    rest = list(made)
    assert len(rest) == 599
    for number, image in enumerate([first, *rest]):
        expected = blurred_twice_as_large(texture(9 + number % 7, 8, seed=number))
        assert np.abs(image.astype(int) - expected).max() <= 1


def test_a_server_gives_what_the_bundle_gives_here(server: ServerProcess, source: LocalGenerator) -> None:
    images = [texture(height, width) for height, width in SIZES]
    expected = list(source.transform(images))
    with Client(server.address, model="tiny") as client:
        made = list(client.transform(images, model="blur2x"))

    async def ask() -> list[Images]:
        async with AsyncClient(server.address, model="blur2x") as client:
            return [image async for image in client.transform(images)]

    for others in (made, asyncio.run(ask())):
        assert all(np.array_equal(one, other) for one, other in zip(expected, others, strict=True))


def test_greyscale_stays_greyscale(source: LocalGenerator) -> None:
    grey = texture(20, 17, channels=1)
    for given in (grey, grey[..., 0], Image.fromarray(grey[..., 0])):
        (made,) = source.transform([given])
        assert made.shape == (40, 34, 1)
        assert np.abs(made[..., 0].astype(int) - blurred_twice_as_large(grey.repeat(3, axis=2))[..., 0]).max() <= 1


def test_files_and_pil_images_are_taken(source: LocalGenerator, tmp_path: Path) -> None:
    image = texture(20, 17)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.fromarray(image).save(tmp_path / "a.png")
    Image.fromarray(np.rot90(image).copy()).save(tmp_path / "turned.png", exif=exif)
    made = list(source.transform([tmp_path / "a.png", str(tmp_path / "turned.png"), Image.fromarray(image)]))
    assert np.array_equal(made[0], made[1])
    assert np.array_equal(made[0], made[2])


@pytest.mark.parametrize(
    ("images", "options", "text", "field"),
    [
        (texture(12, 10), {}, "give any number of images, and of one a list", "images"),
        ("photo.png", {}, "give any number of images, and of one a list", "images"),
        ([texture(12, 10).astype(float)], {}, r"the image is float64 \(12, 10, 3\); give uint8", "images[0]"),
        ([texture(12, 10), Image.new("F", (5, 5))], {}, "has the mode F, more than 8 bits a channel", "images[1]"),
        ([b"bytes"], {}, "a bytes is no image; give an array, a PIL image or the name of a file", "images[0]"),
        (5, {}, "give any number of images, and of one a list", "images"),
        ([texture(12, 10)], {"seed": 7}, "this model takes no latents, so that a seed changes nothing", "seed"),
        (["nowhere.png"], {}, r"nowhere.png cannot be read \(No such file or directory\)", "images[0]"),
        ([__file__], {}, "are not a readable image: none of PNG, JPEG, WEBP", "images[0]"),
        ([texture(12, 10)], {"masks": [texture(12, 10, 1)]}, "this model takes no masks", "masks"),
    ],
)
def test_what_cannot_be_transformed_is_told(
    source: LocalGenerator, images: Any, options: dict[str, Any], text: str, field: str
) -> None:
    with pytest.raises(InvalidRequestError, match=text) as caught:
        list(source.transform(images, **options))
    assert caught.value.field == field


def test_a_model_that_sees_whole_images_takes_those_of_its_size_alone(models: Path) -> None:
    with LocalGenerator(models / "whole" / "1") as source:
        assert len(list(source.transform([texture(*TILE)] * 3))) == 3
        with pytest.raises(InvalidRequestError, match="13×10, and this model takes whole images of 12×10 alone"):
            list(source.transform([texture(13, 10)]))


@pytest.mark.parametrize("mode", get_args(ResizeMode))
def test_what_sees_whole_images_takes_others_resized(models: Path, mode: ResizeMode) -> None:
    images = [texture(30, 17), texture(*TILE), texture(5, 60, 1)]
    height, width = TILE
    with LocalGenerator(models / "whole" / "1") as source:
        for image, made in zip(images, source.transform(images, resize=mode), strict=True):
            (expected,) = source.transform([resize_array(image, Resize(height=height, width=width, mode=mode))])
            assert np.array_equal(made, expected)


def test_resizing_that_cannot_be_is_told(models: Path, source: LocalGenerator) -> None:
    with pytest.raises(InvalidRequestError, match="takes images of any size, in tiles; leave resize out") as caught:
        list(source.transform([texture(30, 17)], resize="crop"))
    assert caught.value.field == "resize"
    unknown: Any = "shrink"
    with (
        LocalGenerator(models / "whole" / "1") as whole,
        pytest.raises(InvalidRequestError, match="resize='shrink': give stretch or crop or pad"),
    ):
        list(whole.transform([texture(30, 17)], resize=unknown))


def test_a_mask_is_resized_with_its_image(tmp_path: Path, tiny_parity: Parity) -> None:
    bundle = make_translator(tmp_path, tiny_parity, is_tiled=False, change=take_masks)
    with LocalGenerator(bundle) as source:
        (made,) = source.transform([texture(30, 17)], masks=[texture(30, 17, 1)], resize="pad")
        assert made.shape == (SCALE * TILE[0], SCALE * TILE[1], 3)
        with pytest.raises(InvalidRequestError, match="the mask is 12×10×1, and its image is 30×17"):
            list(source.transform([texture(30, 17)], masks=[texture(*TILE, 1)], resize="pad"))


def test_generators_and_translators_are_not_taken_for_each_other(server: ServerProcess) -> None:
    with Client(server.address, model="blur2x") as client:
        with pytest.raises(InvalidRequestError, match="this model takes images; give one a sample"):
            client.generate(3)
        with pytest.raises(InvalidRequestError, match="this model takes no latents, so nothing lies between"):
            client.interpolate((1, 0), (1, 2), 3)
        with pytest.raises(InvalidRequestError, match="this model is a generator; give the name of a translator"):
            list(client.transform([texture(12, 10)], model="tiny"))


def test_files_without_end_are_refused_before_any_is_decoded(server: ServerProcess, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((*TILE, 3), np.uint8)).save(tmp_path / "a.png")
    files = [(tmp_path / "a.png").read_bytes()] * 20_000
    query = SampleQuery(model=ModelSelector(name="blur2x"), images=InputImages(files=files))
    with grpc.insecure_channel(server.address) as channel:
        stub = GeneratorServiceStub(channel)
        with pytest.raises(grpc.RpcError, match="one reply cannot hold 20,000 samples"):
            stub.Generate(GenerateRequest(query=query), timeout=20)
        with pytest.raises(grpc.RpcError, match="one reply cannot hold 20,000 samples"):
            list(stub.StreamSamples(StreamSamplesRequest(query=query), timeout=20))
        query.images.files[:] = files[:3]
        (batch,) = [part.batch for part in stub.StreamSamples(StreamSamplesRequest(query=query), timeout=20)]
        assert batch.count == 3
