"""From a foreign ONNX file to a bundle: read, understood, wrapped, and compared with itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import onnx
from onnx import TensorProto

from ganserve.contract import card as model_card
from ganserve.contract.bundle import MAX_FILE_BYTES, Dtype
from ganserve.contract.card import LATENT_SCHEME, UNKNOWN
from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.contract.files import read_regular_file
from ganserve.exporter.bundle import Target
from ganserve.exporter.parity import OnProgress
from ganserve.exporter.pipeline import Export, write_verified
from ganserve.runtime.onnx_faults import faults, text_faults, told
from ganserve.runtime.onnx_file import parse
from ganserve.v1.model_pb2 import ImageShape, ModelCard, ModelKind

from .batch import batch_faults, free_batch, how_to_export
from .convention import Convention
from .halo import measure_halo, why_not_tiled
from .noise import take_out_noise
from .original import Original
from .ports import Roles
from .roles import Fault, find_roles
from .weights import take_in_weights
from .wrapping import wrap

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
    """Brings the ONNX file of a generator, or of a translator, into a folder of bundles.

    Its graph is wrapped: latents are brought to its shape and type, labels to theirs, and what it puts out becomes
    uint8 pixels in NHWC. Weights that lie beside the file are taken in, a batch size that it fixes is freed, and noise
    is taken out where the convention says so; else the graph is kept as it is. At every batch size with every label it
    is compared with the file itself, which is run on as many rows at once as it takes.

    Args:
        path: a file with float inputs, latents (N, …); perhaps one input that is labels; and images of floats or uint8
            among its outputs.
        target: where to.
        convention: what the file does not say.
        atol: largest difference of a float from the file's own, images in [-1, 1]; None is as for `export_run`.
        on_progress: called with the comparisons done and their number.

    Raises:
        ArtifactError: the file cannot be read, or is no such generator; the message says why, with all reasons.
        ParityError: the wrapped graph does not make what the file makes.
        ConfigError: the convention does not fit the file, or name or version cannot be used.
    """
    target.check()
    convention.check()
    source = str(path)
    proto, roles, num_noises = _understood(path, convention)
    original = Original(proto, roles, convention, source)
    card = _card(proto, roles, original, convention, num_noises, source)
    model_card.check(card, source=source)
    doubts = []
    if roles.image is not None:
        if (halo := measure_halo(original, card)) is not None:
            card.halo = halo
        else:
            doubts.append(f"larger images are not taken: {why_not_tiled(original, card)}")
    wrapped = wrap(_with_free_batch(proto, roles, original, source), roles, original.images, card, convention)
    dtype: Dtype = "fp16" if _is_half(proto) else "fp32"
    try:
        return write_verified(
            wrapped, card, original.run, target, dtype=dtype, atol=atol, on_progress=on_progress, doubts=doubts
        )
    except ArtifactError as error:
        if original.batch_size is None:
            raise
        raise type(error)(
            f"{error}. The file's batch is fixed at {original.batch_size}. Either its images depend on the "
            "others in their batch, as with batch norm in training mode or a mean over the batch, and such a generator "
            f"cannot be served; or that could not be freed here: export it again {how_to_export(roles)}"
        ) from error


def _understood(path: Path, convention: Convention) -> tuple[onnx.ModelProto, Roles, int]:
    """The file's graph, with its own weights and without noise, what its inputs are, and how many noises it had.

    Raises ArtifactError or ConfigError with all that speaks against the file.
    """
    source = str(path)
    proto = parse(read_regular_file(path, MAX_FILE_BYTES), source)
    if found := text_faults(proto):
        raise ArtifactError(told(source, found))
    weight_faults = take_in_weights(proto, path.parent)
    domains = {node.domain for node in proto.graph.node} | {"", "ai.onnx"}
    for opset in [opset for opset in proto.opset_import if opset.domain not in domains]:
        proto.opset_import.remove(opset)  # listed by many tools, used by nobody
    noises = take_out_noise(proto)
    graph_faults = [ArtifactError(text) for text in faults(proto)]
    roles, role_faults = find_roles(proto.graph, convention)
    all_faults: list[Fault] = [*_noise_faults(noises, convention), *weight_faults, *graph_faults, *role_faults]
    if roles is not None and roles.batch_size is not None:
        all_faults += batch_faults(proto, roles, roles.batch_size)
    if all_faults or roles is None:
        raise _refusal(source, all_faults)
    proto.ir_version = min(proto.ir_version, _NEWEST_IR_VERSION)
    return proto, roles, len(noises)


def _with_free_batch(proto: onnx.ModelProto, roles: Roles, original: Original, source: str) -> onnx.ModelProto:
    """The graph for any batch size. Raises ArtifactError where it cannot be freed."""
    if original.batch_size is None:
        return proto
    if found := batch_faults(proto, roles, original.batch_size):
        raise _refusal(source, found)
    return free_batch(proto, roles, original.batch_size, original.example(), source)


def _noise_faults(noises: Sequence[str], convention: Convention) -> list[Fault]:
    if not noises or convention.noise == "zero":
        return []
    names = ", ".join(dict.fromkeys(noises))
    return [
        ArtifactError(
            f"draws noise inside ({len(noises)} {names}), and the same latents must always give the same image: export "
            "it with constant noise (noise_mode='const' in NVIDIA's StyleGANs, elsewhere a buffer in place of "
            "torch.randn), or take --noise zero, which puts the mean of the noise in its place"
        )
    ]


def _refusal(source: str, found: Sequence[Fault]) -> Fault:
    """All faults as one error: of flags, where these alone are wrong."""
    kind = ConfigError if all(isinstance(fault, ConfigError) for fault in found) else ArtifactError
    return kind(told(source, [str(fault) for fault in found]))


def _card(
    proto: onnx.ModelProto, roles: Roles, original: Original, convention: Convention, num_noises: int, source: str
) -> ModelCard:
    height, width, channels = original.image_shape
    for taken in original.inputs[:1]:
        if height % taken.shape.height or width * taken.shape.height != height * taken.shape.width:
            raise ArtifactError(
                f"{source} makes images of {height}×{width} of those of {taken.shape.height}×{taken.shape.width}; a "
                "translator's are as large, or a whole number of times"
            )
        if roles.mask is not None and height != taken.shape.height:
            raise ArtifactError(
                f"{source} makes images of {height}×{width} of those of {taken.shape.height}×{taken.shape.width}, so a "
                "mask cannot say what is kept of them"
            )
    card = ModelCard(
        latent_dim=roles.latent_dim,
        image=ImageShape(height=height, width=width, channels=channels),
        class_names=convention.class_names,
        architecture=convention.architecture,
        loss=UNKNOWN,
        latent_scheme=LATENT_SCHEME if roles.latents else "",
        inputs=original.inputs,
    )
    if roles.image is not None:
        card.kind = ModelKind.MODEL_KIND_TRANSLATOR
    card.dataset.name = convention.dataset
    if num_noises:
        card.training_config["noise"] = f"replaced by its mean in {num_noises} places at import"
    if proto.producer_name:
        card.versions[proto.producer_name] = proto.producer_version
    return card


def _is_half(proto: onnx.ModelProto) -> bool:
    return any(tensor.data_type == TensorProto.FLOAT16 for tensor in proto.graph.initializer)
