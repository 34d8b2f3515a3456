"""A scorer over KServe's protocol: images in, numbers out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from ganserve.contract.textures import sample_textures
from ganserve.serving.open_inference.inference_pb2 import InferTensorContents, ModelInferRequest, ModelMetadataRequest
from ganserve.v1.bundle_pb2 import Parity

from ....scorers import SHAPE, make_scorer, scores_of
from .conftest import Play, Stage

IMAGES = sample_textures(1, 0, 9, SHAPE)


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory, tiny_parity: Parity) -> list[Path]:
    """The folder of a scorer's bundle."""
    return [make_scorer(tmp_path_factory.mktemp("models"), tiny_parity)]


def request_of(images: Any, *, as_bytes: bool) -> ModelInferRequest:
    request = ModelInferRequest(model_name="tiny-classifier")
    tensor = request.inputs.add(name="image", datatype="UINT8", shape=images.shape)
    if as_bytes:
        request.raw_input_contents.append(images.tobytes())
    else:
        tensor.contents.CopyFrom(InferTensorContents(uint_contents=images.ravel().tolist()))
    return request


@pytest.mark.parametrize("as_bytes", [False, True])
def test_the_numbers_come_as_fp32(play: Play, as_bytes: bool) -> None:
    async def story(stage: Stage) -> None:
        reply = await stage.inference.ModelInfer(request_of(IMAGES, as_bytes=as_bytes))
        (output,) = reply.outputs
        assert (output.name, output.datatype, list(output.shape)) == ("scores", "FP32", [9, 4])
        scores = np.frombuffer(reply.raw_output_contents[0], "<f4").reshape(9, 4)
        assert np.array_equal(scores, scores_of(IMAGES))

    play(story)


def test_what_is_no_level_of_a_pixel_is_told(play: Play) -> None:
    async def story(stage: Stage) -> None:
        with pytest.raises(grpc.aio.AioRpcError, match="the input 'image' has values that UINT8 does not hold"):
            await stage.inference.ModelInfer(request_of(IMAGES.astype(int) + 200, as_bytes=False))

    play(story)


def test_its_description_names_them(play: Play) -> None:
    async def story(stage: Stage) -> None:
        told = await stage.inference.ModelMetadata(ModelMetadataRequest(name="tiny-classifier"))
        assert [(one.name, one.datatype, list(one.shape)) for one in told.inputs if one.name == "image"] == [
            ("image", "UINT8", [-1, *SHAPE])
        ]
        assert [(one.name, one.datatype, list(one.shape)) for one in told.outputs] == [("scores", "FP32", [-1, 4])]

    play(story)


def test_without_images_there_are_no_numbers(play: Play) -> None:
    async def story(stage: Stage) -> None:
        for request in (
            ModelInferRequest(model_name="tiny-classifier"),
            request_of(IMAGES[:, :3], as_bytes=True),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stage.inference.ModelInfer(request)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert "image" in (caught.value.details() or "")

    play(story)
