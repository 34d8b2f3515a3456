"""Arrays as protobuf bytes: explicit latents in requests, raw pixels in replies.

protobuf copies a large `bytes` field several times on its way to the wire. `frame_reply` writes the same bytes with one
copy: the serialised header, then tag and length of the pixels, then the pixels. The order of fields does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ganserve.contract.errors import InvalidRequestError, ServerError
from ganserve.v1.generator_pb2 import ExplicitLatents, Outcome, Refusal, SampleBatch

_FLOAT32: Final = np.dtype("<f4")
_LENGTH_DELIMITED: Final = 2


def pack_latents(latents: NDArray[np.floating]) -> ExplicitLatents:
    """Latents (N, latent_dim) of any float dtype as float32 on the wire. Raises InvalidRequestError on other shapes."""
    if latents.ndim != 2:
        raise InvalidRequestError(
            f"latents have shape {latents.shape}; give a matrix (number of samples, latent_dim)", field="query.latents"
        )
    return ExplicitLatents(dim=latents.shape[1], values=latents.astype(_FLOAT32).tobytes())


def unpack_latents(latents: ExplicitLatents, latent_dim: int) -> NDArray[np.float32]:
    """float32 (N, latent_dim) from the wire.

    Raises:
        InvalidRequestError: another length than latent_dim, no row, a torn row, or a value that is not finite.
    """
    if latents.dim != latent_dim:
        raise InvalidRequestError(
            f"the latents have {latents.dim} values a row, and this model takes {latent_dim}",
            field="query.latents.dim",
        )
    row_bytes = latent_dim * _FLOAT32.itemsize
    if not latents.values or len(latents.values) % row_bytes:
        raise InvalidRequestError(
            f"the latents are {len(latents.values)} bytes long, not one or more rows of {row_bytes} bytes",
            field="query.latents.values",
        )
    rows = np.frombuffer(latents.values, _FLOAT32).reshape(-1, latent_dim)
    unusable = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if unusable.size:
        raise InvalidRequestError(
            f"latent row {unusable[0]} holds a value that is not finite (NaN or infinite)",
            field="query.latents.values",
        )
    return rows.astype(np.float32, copy=False)


def frame_reply(header: SampleBatch, pixels: NDArray[np.uint8]) -> bytes:
    """A `GenerateResponse` or `StreamSamplesResponse`, serialised, whose batch is `header` with `pixels` added.

    The same message as with `header.pixels` set; equal, byte for byte, to protobuf's own encoding where no field
    behind the pixels is set.

    Args:
        header: everything of the batch but its pixels.
        pixels: uint8 of any shape, C-contiguous.
    """
    head = header.SerializeToString()
    pixels_prefix = field_prefix(SampleBatch.PIXELS_FIELD_NUMBER, pixels.nbytes)
    batch_prefix = field_prefix(1, len(head) + len(pixels_prefix) + pixels.nbytes)
    return b"".join((batch_prefix, head, pixels_prefix, pixels.data.cast("B")))


def frame_outcomes(outcomes: Sequence[bytes | Refusal]) -> bytes:
    """A `GenerateManyResponse`, serialised, of serialised `GenerateResponse`s and of refusals, in order.

    The same message, byte for byte, as protobuf's own encoding.
    """
    chunks: list[bytes] = []
    for outcome in outcomes:
        if isinstance(outcome, bytes):
            inner = field_prefix(Outcome.RESPONSE_FIELD_NUMBER, len(outcome))
            chunks += (field_prefix(1, len(inner) + len(outcome)), inner, outcome)
        else:
            refused = Outcome(refusal=outcome).SerializeToString()
            chunks += (field_prefix(1, len(refused)), refused)
    return b"".join(chunks)


def unpack_pixels(batch: SampleBatch) -> NDArray[np.uint8]:
    """uint8 (count, height, width, channels), read-only, from a raw batch.

    Raises:
        ServerError: fewer or more bytes than the batch's own shape asks for.
    """
    shape = (batch.count, batch.image.height, batch.image.width, batch.image.channels)
    pixels = batch.pixels
    if len(pixels) != math.prod(shape):
        raise ServerError(f"the reply holds {len(pixels)} bytes of pixels where its shape {shape} needs more or fewer")
    return np.frombuffer(pixels, np.uint8).reshape(shape)


def field_prefix(field_number: int, num_bytes: int) -> bytes:
    """What comes before the bytes of a field of bytes, a text or a message."""
    return _varint(field_number << 3 | _LENGTH_DELIMITED) + _varint(num_bytes)


def _varint(value: int) -> bytes:
    """Seven bits a byte, lowest first, the top bit saying that more follow."""
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
