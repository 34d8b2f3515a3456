"""`ganserve export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from ganserve.contract.bundle import Dtype, Licences
from ganserve.contract.errors import ConfigError
from ganserve.exporter.bundle import Target
from ganserve.exporter.onnx_graph import OPSET
from ganserve.exporter.pipeline import export_run
from ganserve.training.rundir import CheckpointName

from .report import run_and_report

_SOURCE = Group("What", sort_key=1)
_GRAPH = Group("Graph", sort_key=2)
_BUNDLE = Group("Bundle", sort_key=3)


def export(
    run: Annotated[Path, Parameter(group=_SOURCE)],
    *,
    checkpoint: Annotated[CheckpointName | Path | None, Parameter(group=_SOURCE)] = None,
    onnx: Annotated[bool, Parameter(negative="", group=_GRAPH)] = False,
    dtype: Annotated[Dtype, Parameter(group=_GRAPH)] = "fp32",
    opset: Annotated[int, Parameter(group=_GRAPH)] = OPSET,
    atol: Annotated[float | None, Parameter(group=_GRAPH)] = None,
    models: Annotated[Path, Parameter(group=_BUNDLE)] = Path("models"),
    name: Annotated[str | None, Parameter(group=_BUNDLE)] = None,
    version: Annotated[int | Literal["next"], Parameter(group=_BUNDLE)] = "next",
    force: Annotated[bool, Parameter(negative="", group=_BUNDLE)] = False,
    licence: Annotated[str, Parameter(group=_BUNDLE)] = Licences.weights,
    data_licence: Annotated[str, Parameter(group=_BUNDLE)] = Licences.data,
) -> None:
    """Export a run's generator to a verified model bundle.

    The EMA weights go into one ONNX file that ends in uint8 pixels. It is checked against PyTorch at batch 1, 2, 7 and
    64 with every label; a mismatch is an error and leaves nothing behind.

    Example: ganserve export runs/digits --onnx --models models --name digits

    Args:
        run: Folder of the training run.
        checkpoint: Which weights of the run, or a checkpoint file. The default is the best where an evaluation chose
            one, else the last.
        onnx: Export to ONNX, the one format there is.
        dtype: What the model computes in. fp16 is for GPUs.
        opset: Version of ONNX's operators, 18 to 23.
        atol: Largest difference of a float from PyTorch's, with pixels from -1 to 1. The default is 1e-4 for fp32 and
            2e-2 for fp16.
        models: Folder to put the bundle in, as `MODELS/NAME/VERSION`.
        name: Name to serve the model by. The default is the run folder's name.
        version: Version of the bundle; next is one above the highest that is there.
        force: Replace a bundle of this version.
        licence: Licence of the weights, as Hugging Face names it, such as apache-2.0.
        data_licence: Licence of the images that they were trained on.
    """
    if not onnx:
        raise ConfigError("say which format to export to: ganserve export RUN --onnx")
    target = Target(
        models=models,
        name=name or run.resolve().name,
        version=None if version == "next" else version,
        force=force,
        licences=Licences(weights=licence, data=data_licence),
    )
    run_and_report(
        "exporting and comparing with PyTorch",
        models,
        lambda on_progress: export_run(
            run, target, checkpoint=checkpoint, dtype=dtype, opset=opset, atol=atol, on_progress=on_progress
        ),
    )
