"""`ganserve export`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter
from rich.console import Console

from ganserve.contract.bundle import Dtype
from ganserve.contract.errors import ConfigError
from ganserve.exporter.onnx_graph import OPSET
from ganserve.exporter.pipeline import export_run
from ganserve.exporter.scorers import scorers_of
from ganserve.runtime.device import Device
from ganserve.training.rundir import CheckpointName

from .bundle_flags import BundleFlags
from .report import run_and_report

_SOURCE = Group("What", sort_key=1)
_SCORERS = Group("Scorers", sort_key=2)
_GRAPH = Group("Graph", sort_key=3)


def export(
    run: Annotated[Path, Parameter(group=_SOURCE)],
    *,
    checkpoint: Annotated[CheckpointName | Path | None, Parameter(group=_SOURCE)] = None,
    scorer: Annotated[bool, Parameter(negative="", show_default=False, group=_SCORERS)] = False,
    data: Annotated[str | None, Parameter(group=_SCORERS)] = None,
    test_data: Annotated[str | None, Parameter(group=_SCORERS)] = None,
    onnx: Annotated[bool, Parameter(negative="", show_default=False, group=_GRAPH)] = False,
    dtype: Annotated[Dtype, Parameter(group=_GRAPH)] = "fp32",
    opset: Annotated[int, Parameter(group=_GRAPH)] = OPSET,
    device: Annotated[Device | None, Parameter(group=_GRAPH)] = None,
    atol: Annotated[float | None, Parameter(group=_GRAPH)] = None,
    bundle: BundleFlags = BundleFlags(),  # noqa: B008 - it is frozen
) -> None:
    """Export a run's generator to a verified model bundle.

    The averaged weights go into one ONNX file that ends in uint8 pixels. It is compared with PyTorch at batch 1, 2, 7
    and 64 with every label; a mismatch is an error and leaves nothing behind.

    Example: ganserve export runs/digits --onnx --models models --name digits

    With --scorer, the run's discriminator and, where its images have classes, the classifier that judged its samples
    are exported in its place, as the bundles NAME-discriminator and NAME-classifier: they give images numbers, by which
    `ganserve score` finds odd images and a server chooses the better of several samples.

    Args:
        run: Folder of the training run.
        checkpoint: Which weights of the run, or a checkpoint file. The default is the best where an evaluation chose
            one, else the last.
        scorer: Export what scores images, in place of the generator.
        data: The images that the run learnt from, where they have moved.
        test_data: Real images that the run did not learn from, over which the quantiles of the scores are taken, as
            `ganserve train --data` takes them. The default is the test split of the run's own source, if it has one.
        onnx: Export to ONNX. To be given always, being the one format there is.
        dtype: What the model computes in. fp16 is for GPUs.
        opset: Version of ONNX's operators, 18 to 23.
        device: What the model is meant to run on, which decides how its layers are written; it runs on the other too.
            The default is cpu for fp32 and cuda for fp16.
        atol: Largest difference of a float from PyTorch's, with pixels from -1 to 1. The default is 1e-4 for fp32 and
            2e-2 for fp16.
    """
    if not onnx:
        raise ConfigError("say which format to export to: ganserve export RUN --onnx")
    target = bundle.target(run.resolve().name)
    if scorer:
        if dtype != "fp32":
            raise ConfigError("--scorer goes with --dtype fp32: what numbers choose must not depend on rounding")
        found = scorers_of(run, checkpoint=checkpoint, data=data, test_data=test_data, console=Console(stderr=True))
        for one in found:
            one.named(target).check()
        for one in found:
            title = f"exporting the {one.kind} and comparing with PyTorch"
            run_and_report(title, bundle.models, partial(one.export, target, opset, device, atol))
        return
    if data is not None or test_data is not None:
        raise ConfigError("--data and --test-data go with --scorer")
    run_and_report(
        "exporting and comparing with PyTorch",
        bundle.models,
        lambda on_progress: export_run(
            run,
            target,
            checkpoint=checkpoint,
            dtype=dtype,
            opset=opset,
            device=device,
            atol=atol,
            on_progress=on_progress,
        ),
    )
