"""The way from a generator to a bundle: graph, structure check, parity check, bundle."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import onnx
from torch import nn

from ganserve.contract import card as model_card
from ganserve.contract.bundle import MAX_FILE_BYTES, MODEL_FILE, Dtype
from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.contract.manifest import describe_parity, digest_of
from ganserve.contract.text import one_line
from ganserve.runtime.device import Device
from ganserve.runtime.onnx_file import read_card
from ganserve.training.rundir import CheckpointName
from ganserve.v1.bundle_pb2 import Manifest
from ganserve.v1.model_pb2 import ModelCard

from .bundle import Target, write_bundle
from .checkpoint_choice import choose
from .doubts import doubts_of
from .onnx_graph import OPSET, OnnxGraph, to_onnx
from .parity import Comparison, OnProgress, Reference, check_parity, reference_of, summarise
from .tolerance import Tolerance, tolerance_of
from .trial import check_generator, check_module


class ExportWarning(UserWarning):
    """A bundle was written, and something of the generator is doubtful."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Export:
    """A bundle that was written."""

    folder: Path
    manifest: Manifest
    card: ModelCard
    comparisons: list[Comparison]
    warnings: tuple[str, ...]
    """What is doubtful of the generator, a line each; Python's own warnings say so too."""
    checkpoint: str = ""
    """Which checkpoint of a run it was, and why; empty for a generator from elsewhere."""

    @property
    def digest(self) -> str:
        """SHA-256 of the ONNX file: the model's digest."""
        return digest_of(self.manifest)

    @property
    def size_bytes(self) -> int:
        """Size of the ONNX file."""
        return self.manifest.files[MODEL_FILE].size_bytes

    def __repr__(self) -> str:
        name = f"{self.manifest.name}:{self.manifest.version}@{self.digest[:12]}"
        parts = [
            f"{name} in {self.folder}, {self.size_bytes / 1024**2:.2f} MiB",
            f"checkpoint {self.checkpoint}" if self.checkpoint else "",
            describe_parity(self.manifest.parity),
            *(f"warning: {warning}" for warning in self.warnings),
        ]
        return f"<Export {'; '.join(filter(None, parts))}>"


def export_run(
    run: Path,
    target: Target,
    *,
    checkpoint: CheckpointName | Path | None = None,
    dtype: Dtype = "fp32",
    opset: int = OPSET,
    device: Device | None = None,
    atol: float | None = None,
    on_progress: OnProgress | None = None,
) -> Export:
    """Exports the EMA generator of a training run.

    Args:
        run: the run's folder.
        target: where to.
        checkpoint: `best`, `last` or a file; None takes the best where an evaluation chose one, else the last.
        dtype: what the model computes in.
        opset: version of ONNX's operators.
        device: that the graph is meant for, which changes how layers are written; None is the CPU for fp32 and CUDA for
            fp16.
        atol: largest difference of a float from PyTorch's, images in [-1, 1]; None is 1e-4 for fp32, 2e-2 for fp16.
        on_progress: called with the comparisons done and their number, as parity is checked.

    Raises:
        ArtifactError: the checkpoint is missing, torn, altered, or of a generator that is untrained.
        ParityError: the ONNX file does not make the generator's images. Nothing is written.
        ConfigError: name, version, opset or tolerance cannot be used.
    """
    target.check()
    saved, why = choose(run, checkpoint)
    made = export(
        saved.generator(),
        saved.card,
        target,
        dtype=dtype,
        opset=opset,
        device=device,
        atol=atol,
        on_progress=on_progress,
    )
    return dataclasses.replace(made, checkpoint=why)


def export(
    generator: nn.Module,
    card: ModelCard,
    target: Target,
    *,
    dtype: Dtype = "fp32",
    opset: int = OPSET,
    device: Device | None = None,
    atol: float | None = None,
    on_progress: OnProgress | None = None,
) -> Export:
    """Exports a generator of the caller's own; see `export_run`.

    Args:
        generator: on the CPU; it is put into eval mode, and left so. Called with latents float32 (N, latent_dim)
            and labels int64 (N,) or None, it gives float32 (N, C, H, W) in [-1, 1].
        card: what it is.

    Raises:
        ConfigError: the generator cannot be called so or traced, or does not give such images; the text says how to
            adapt it.

    Warns:
        ExportWarning: the card holds a warning, the images do not look as if they lay in [-1, 1], or they do not
            depend on the latents or the labels.
    """
    target.check()
    check_module(generator)
    model_card.check(card, source="the generator")
    generator = generator.eval()
    check_generator(generator, card)
    graph = to_onnx(generator, card, dtype=dtype, opset=opset, device=device)
    return write_verified(graph, card, reference_of(generator), target, dtype=dtype, atol=atol, on_progress=on_progress)


def write_verified(
    graph: OnnxGraph,
    card: ModelCard,
    reference: Reference,
    target: Target,
    *,
    dtype: Dtype = "fp32",
    atol: float | None = None,
    on_progress: OnProgress | None = None,
    doubts: Iterable[str] = (),
) -> Export:
    """Writes a graph as a bundle after it has proven to be a servable model that makes what `reference` makes.

    It warns of `doubts`, and of those that it has itself.
    """
    tolerance = tolerance_of(atol, dtype)
    check_graph(graph.model)
    comparisons = check_parity(reference, card, graph, tolerance, on_progress)
    all_doubts = [*doubts, *doubts_of(graph.model, card, comparisons)]
    return write_compared(graph.model, card, comparisons, target, dtype, tolerance, doubts=all_doubts)


def check_graph(model: bytes) -> None:
    """Raises ArtifactError or ConfigError where a graph is none that a server runs."""
    if len(model) >= MAX_FILE_BYTES:
        raise ConfigError(
            f"the graph has {len(model) / 2**30:.1f} GiB, and an ONNX file holds less than "
            f"{MAX_FILE_BYTES / 2**30:g}; export in fp16, or train a smaller model"
        )
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ArtifactError(f"the graph is not valid ONNX: {one_line(error)}") from error
    read_card(model, source="the exported graph")


def write_compared(
    model: bytes,
    card: ModelCard,
    comparisons: list[Comparison],
    target: Target,
    dtype: Dtype,
    tolerance: Tolerance,
    *,
    doubts: Iterable[str],
) -> Export:
    """Writes a graph that was compared as a bundle, and warns of what is doubtful of it and of its card."""
    all_doubts = (*card.warnings, *doubts)
    folder, manifest = write_bundle(model, card, target, summarise(comparisons, dtype, tolerance))
    for doubt in all_doubts:
        warnings.warn(doubt, ExportWarning, stacklevel=4)
    return Export(folder=folder, manifest=manifest, card=card, comparisons=comparisons, warnings=all_doubts)
