"""Images that a caller sends: from pixels or files to what a translator or a scorer is fed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ganserve.contract import images as codec
from ganserve.contract.card import takes_images
from ganserve.contract.errors import ArtifactError, InvalidRequestError
from ganserve.contract.images import Images
from ganserve.v1.generator_pb2 import InputImages, SampleQuery
from ganserve.v1.model_pb2 import ImageInput, ImageRole, ImageShape, ModelCard


def read_images(query: SampleQuery, card: ModelCard) -> dict[str, Images]:
    """The images of a query, uint8 (N, height, width, channels) by the name of the model's input.

    Raises:
        InvalidRequestError: there are none and the model takes some, or the other way round; a file cannot be read; or
            an image has another shape than the model takes.
    """
    if not takes_images(card):
        if query.HasField("images"):
            raise InvalidRequestError(
                "this model makes images of latents, and takes none; transform them with a translator",
                field="query.images",
            )
        return {}
    if not query.HasField("images"):
        raise InvalidRequestError(
            "this model takes images; give one a sample, as `transform` and `score` of the client and the command do",
            field="query.images",
        )
    sent = query.images
    _check_shape(sent, card)
    read = {}
    for entry in card.inputs:
        if entry.role == ImageRole.IMAGE_ROLE_MASK:
            read[entry.name] = _read(sent.mask_pixels, sent.mask_files, entry, "query.images.mask_")
        else:
            read[entry.name] = _read(sent.pixels, sent.files, entry, "query.images.")
    if len(card.inputs) == 1 and (sent.mask_pixels or sent.mask_files):
        raise InvalidRequestError("this model takes no masks", field="query.images.mask_pixels")
    return read


def _check_shape(sent: InputImages, card: ModelCard) -> None:
    """Pixels say nothing of their shape: without it, an image of 32×64 would be taken for one of 64×32."""
    if sent.pixels and sent.shape != card.inputs[0].shape:
        told = "of a shape that is not told" if not sent.HasField("shape") else _text(sent.shape)
        raise InvalidRequestError(
            f"the images are {told}, and this model takes {_text(card.inputs[0].shape)}; the client's `transform` "
            "and `score` bring others to it",
            field="query.images.shape",
        )


def _text(shape: ImageShape) -> str:
    return f"{shape.height}×{shape.width}×{shape.channels}"


def _read(pixels: bytes, files: Sequence[bytes], entry: ImageInput, field: str) -> Images:
    """All images for one input."""
    shape = (entry.shape.height, entry.shape.width, entry.shape.channels)
    if bool(pixels) == bool(files):
        given = "both" if pixels else "neither"
        raise InvalidRequestError(
            f"{given} pixels and files of {entry.name} are given; give one of them", field=f"{field}pixels"
        )
    if pixels:
        row_bytes = int(np.prod(shape))
        if len(pixels) % row_bytes:
            raise InvalidRequestError(
                f"{len(pixels)} bytes of {entry.name} are no whole number of images of {_text(entry.shape)}",
                field=f"{field}pixels",
            )
        return np.frombuffer(pixels, np.uint8).reshape(-1, *shape)
    images = []
    for place, file in enumerate(files):
        try:
            image = codec.decode_input(file, entry.shape.channels, shape[:2])
        except ArtifactError as error:
            raise InvalidRequestError(str(error), field=f"{field}files[{place}]") from error
        images.append(image)
    return np.stack(images)
