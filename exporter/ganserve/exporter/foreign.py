"""Generators that were not trained here: their graphs wrapped, so that they take our latents and end in our pixels."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from ganserve.contract import card as model_card
from ganserve.contract.bundle import LABELS_INPUT, LATENTS_INPUT, MAX_FILE_BYTES, Dtype
from ganserve.contract.card import LATENT_SCHEME, MAX_LATENT_DIM, UNKNOWN
from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.contract.files import read_regular_file
from ganserve.contract.text import one_line
from ganserve.runtime.onnx_file import check_plain, parse
from ganserve.v1.model_pb2 import ImageShape, ModelCard

from .bundle import Target
from .parity import Inputs, OnProgress, Reference, open_session
from .pipeline import Export, write_verified
from .wrapping import Convention, ForeignGraph, level_scale, wrap

_FLOATS: Final = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
_INTEGERS: Final = (TensorProto.INT64, TensorProto.INT32)
_NEWEST_IR_VERSION: Final = 10
"""Newer ones say more than plain graphs do, and not every ONNX Runtime reads them."""


def import_onnx(
    path: Path,
    target: Target,
    convention: Convention,
    *,
    atol: float | None = None,
    on_progress: OnProgress | None = None,
) -> Export:
    """Brings a generator's ONNX file into a folder of bundles.

    Its graph is wrapped, not changed: latents are brought to its shape and type, labels to theirs, and what it puts out
    becomes uint8 pixels in NHWC. The wrapped graph is compared with the file itself at every batch size with every
    label.

    Args:
        path: a file with one float input, latents (N, …), perhaps one integer input, labels (N,) or (N, 1), and one
            output, images of floats or uint8.
        target: where to.
        convention: what the file does not say.
        atol: largest difference of a float from the file's own, images in [-1, 1]; None is as for `export_run`.
        on_progress: called with the comparisons done and their number.

    Raises:
        ArtifactError: the file cannot be read, or is no such generator; the message says why.
        ParityError: the wrapped graph does not make what the file makes.
        ConfigError: the convention does not fit the file, or name or version cannot be used.
    """
    target.check()
    model = read_regular_file(path, MAX_FILE_BYTES)
    foreign = _parse(model, str(path))
    _check_latents(foreign.latents, str(path))
    _check_labels(foreign.labels, convention, str(path))
    session = open_session(foreign.proto.SerializeToString(), source=str(path))
    image, is_uint8 = _probe(session, foreign, convention, str(path))
    foreign = dataclasses.replace(foreign, is_uint8=is_uint8)
    card = ModelCard(
        latent_dim=math.prod(foreign.latent_shape),
        image=image,
        class_names=convention.class_names,
        architecture=convention.architecture,
        loss=UNKNOWN,
        latent_scheme=LATENT_SCHEME,
    )
    card.dataset.name = convention.dataset
    if foreign.proto.producer_name:
        card.versions[foreign.proto.producer_name] = foreign.proto.producer_version
    model_card.check(card, source=str(path))
    graph = wrap(foreign, card, convention)
    reference = _reference_of(session, foreign, convention, str(path))
    dtype: Dtype = "fp16" if foreign.is_half else "fp32"
    return write_verified(graph, card, reference, target, dtype=dtype, atol=atol, on_progress=on_progress)


def _parse(model: bytes, source: str) -> ForeignGraph:
    proto = parse(model, source)
    domains = {node.domain for node in proto.graph.node} | {"", "ai.onnx"}
    for opset in [opset for opset in proto.opset_import if opset.domain not in domains]:
        proto.opset_import.remove(opset)  # listed by many tools, used by nobody
    check_plain(proto, source)
    proto.ir_version = min(proto.ir_version, _NEWEST_IR_VERSION)
    weights = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in weights]
    latents = [value for value in inputs if value.type.tensor_type.elem_type in _FLOATS]
    labels = [value for value in inputs if value.type.tensor_type.elem_type in _INTEGERS]
    if len(latents) != 1 or len(labels) > 1 or len(latents) + len(labels) != len(inputs):
        listed = ", ".join(f"{value.name} {_described(value)}" for value in inputs)
        raise ArtifactError(
            f"{source} takes {listed or 'nothing'}; a generator takes latents, one tensor of floats, and perhaps "
            "labels, one of integers"
        )
    if len(proto.graph.output) != 1:
        names = ", ".join(value.name for value in proto.graph.output)
        raise ArtifactError(f"{source} has the outputs {names}; a generator has one, its images")
    return ForeignGraph(proto, latents[0], labels[0] if labels else None, proto.graph.output[0])


def _check_latents(latents: onnx.ValueInfoProto, source: str) -> None:
    """All axes but the first have a size, and not too large a one, and the first one is free."""
    axes = latents.type.tensor_type.shape.dim
    if len(axes) < 2 or any(axis.dim_value < 1 for axis in axes[1:]):
        raise ArtifactError(
            f"{source}: its latents {latents.name} are {_described(latents)}; all axes but the batch must have a size"
        )
    latent_dim = math.prod(axis.dim_value for axis in axes[1:])
    if latent_dim > MAX_LATENT_DIM:
        raise ArtifactError(f"{source}: its latents have {latent_dim} values, more than {MAX_LATENT_DIM}")
    if axes[0].dim_value:
        raise ArtifactError(
            f"{source}: its batch size is fixed at {axes[0].dim_value}; export it again with a free batch axis"
        )


def _check_labels(labels: onnx.ValueInfoProto | None, convention: Convention, source: str) -> None:
    if labels is None and convention.class_names:
        raise ConfigError(f"--classes: {source} takes no labels")
    if labels is None:
        return
    if not convention.class_names:
        raise ConfigError(f"{source} takes labels; say with --classes how many classes there are, or their names")
    axes = labels.type.tensor_type.shape.dim
    if len(axes) not in (1, 2) or (len(axes) == 2 and axes[1].dim_value != 1):
        raise ArtifactError(f"{source}: its labels {labels.name} are {_described(labels)}, not (N,) or (N, 1)")


def _probe(session: Any, foreign: ForeignGraph, convention: Convention, source: str) -> tuple[ImageShape, bool]:
    """Shape of an image, and whether it is uint8; found by running it once, for files often leave both open."""
    inputs: Inputs = {LATENTS_INPUT: np.zeros((2, math.prod(foreign.latent_shape)), np.float32)}
    if convention.class_names:
        inputs[LABELS_INPUT] = np.zeros(2, np.int64)
    images = _run(session, foreign, inputs, source)
    layout = convention.layout
    if images.ndim != 4 or len(images) != 2 or images.dtype not in (np.uint8, np.float32, np.float16, np.float64):
        raise ArtifactError(
            f"{source} makes {images.dtype} {images.shape} of two latents; images are floats or uint8 of four axes"
        )
    height, width, channels = images.shape[1:] if layout == "nhwc" else (*images.shape[2:], images.shape[1])
    if channels not in (1, 3):
        raise ConfigError(
            f"--layout {layout}: {source} makes {images.shape[1:]}, which would be {channels} channels; is it "
            f"{'nchw' if layout == 'nhwc' else 'nhwc'}?"
        )
    return ImageShape(height=height, width=width, channels=channels), images.dtype == np.uint8


def _run(session: Any, foreign: ForeignGraph, inputs: Inputs, source: str) -> NDArray[Any]:
    """Runs the file itself on inputs as ours are."""
    latents, labels = foreign.latents, foreign.labels
    feed = {latents.name: inputs[LATENTS_INPUT].reshape(-1, *foreign.latent_shape).astype(_numpy_dtype(latents))}
    if labels is not None:
        feed[labels.name] = inputs[LABELS_INPUT].astype(_numpy_dtype(labels)).reshape(foreign.label_shape)
    try:
        images: NDArray[Any] = session.run([foreign.images.name], feed)[0]
    except Exception as error:  # ONNX Runtime's errors have no common base but Exception
        raise ArtifactError(
            f"{source} cannot be run on {len(inputs[LATENTS_INPUT])} latents: {one_line(error)}"
        ) from error
    return images


def _reference_of(session: Any, foreign: ForeignGraph, convention: Convention, source: str) -> Reference:
    scale, offset = level_scale(convention, is_uint8=foreign.is_uint8)

    def run(inputs: Inputs) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        images = _run(session, foreign, inputs, source)
        moved = images.astype(np.float32) * scale + offset
        if not foreign.is_uint8:
            with np.errstate(invalid="ignore"):  # numbers that are not finite are found and told of by the comparison
                images = np.clip(moved, 0, 255).astype(np.uint8)
        floats = (moved - np.float32(128)) / np.float32(127.5)
        return images.transpose(0, 2, 3, 1) if convention.layout == "nchw" else images, floats

    return run


def _numpy_dtype(value: onnx.ValueInfoProto) -> np.dtype[Any]:
    return helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)


def _described(value: onnx.ValueInfoProto) -> str:
    tensor_type = value.type.tensor_type
    axes = ", ".join(axis.dim_param or str(axis.dim_value or "?") for axis in tensor_type.shape.dim)
    known = tensor_type.elem_type in TensorProto.DataType.values()
    dtype = TensorProto.DataType.Name(tensor_type.elem_type).lower() if known else "?"
    return f"{dtype} ({axes})"
