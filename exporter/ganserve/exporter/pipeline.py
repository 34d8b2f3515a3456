"""The way from a generator to a bundle: graph, structure check, parity check, bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx
from torch import nn

from ganserve.contract import card as model_card
from ganserve.contract.bundle import Parity, check_model_name, sha256
from ganserve.contract.errors import ArtifactError
from ganserve.training.checkpoint import load_generator
from ganserve.training.rundir import CheckpointName
from ganserve.v1.model_pb2 import ModelCard

from .bundle import check_free, next_version, write_bundle
from .onnx_graph import to_onnx
from .parity import OnProgress, check_parity


@dataclass(frozen=True, kw_only=True)
class Export:
    """A bundle that was written."""

    folder: Path
    name: str
    version: int
    digest: str
    size_bytes: int
    parity: Parity


def export_run(
    run: Path,
    models_dir: Path,
    name: str,
    version: int | None = None,
    on_progress: OnProgress | None = None,
    *,
    checkpoint: CheckpointName | None = None,
) -> Export:
    """Exports the EMA generator of a training run.

    Args:
        run: the run's folder.
        models_dir: folder of bundles; made if need be.
        name: the model's name in it.
        version: from 1; None takes the next.
        on_progress: called with the comparisons done and their number, as parity is checked.
        checkpoint: `best` or `last`; None takes the best where an evaluation chose one, else the last.

    Raises:
        ArtifactError: the checkpoint is missing, torn or altered.
        ParityError: the ONNX file does not make the generator's images. Nothing is written.
        ConfigError: the name or version cannot be used.
    """
    check_model_name(name)
    generator, card = load_generator(run, checkpoint)
    return export(generator, card, models_dir, name, version, on_progress)


def export(
    generator: nn.Module,
    card: ModelCard,
    models_dir: Path,
    name: str,
    version: int | None = None,
    on_progress: OnProgress | None = None,
) -> Export:
    """Exports a generator of the caller's own; see `export_run`.

    Args:
        generator: on the CPU; it is put into eval mode. Called with latents float32 (N, latent_dim) and labels int64
            (N,) or None, it gives float32 (N, C, H, W) in [-1, 1].
        card: what it is.
    """
    check_model_name(name)
    model_card.check(card, source="the generator")
    version = next_version(models_dir, name) if version is None else version
    check_free(models_dir, name, version)
    generator = generator.eval()
    graph = to_onnx(generator, card)
    try:
        onnx.checker.check_model(graph.model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ArtifactError(f"the exported graph is not valid ONNX: {error}") from error
    parity = check_parity(generator, card, graph, on_progress)
    folder = write_bundle(models_dir, name, version, graph.model, card, parity)
    return Export(
        folder=folder,
        name=name,
        version=version,
        digest=sha256(graph.model),
        size_bytes=len(graph.model),
        parity=parity,
    )
