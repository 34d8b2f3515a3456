"""`ganserve evaluate`."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter
from rich.console import Console

from ganserve.contract.errors import ConfigError
from ganserve.training.config import DeviceName
from ganserve.training.evaluation import print_table, troubles_of
from ganserve.training.evaluation.runs import CAS_SEEDS, NUM_IMAGES, FinishedRun
from ganserve.training.rundir import CheckpointName

_MAX_IMAGES: Final = 1_000_000


def evaluate(
    run: Path,
    *,
    checkpoint: CheckpointName | None = None,
    num_images: int = NUM_IMAGES,
    data: str | None = None,
    cas: Annotated[bool, Parameter(negative=())] = False,
    test_data: str | None = None,
    device: DeviceName = "auto",
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Judge the samples of a trained generator against the images that it learnt from.

        ganserve evaluate runs/digits

    The judge is a small classifier of those images; it is trained the first time, and then kept.

    Parameters
    ----------
    run
        Folder of the run.
    checkpoint
        Which generator of the run. Left out: the best where there is one, else the last.
    num_images
        Samples to judge, 2 to 1,000,000.
    data
        The images that the run learnt from, where they have moved. Left out: where they were.
    cas
        Also train classifiers on samples only, three seeds, and say how many real test images each gets right.
    test_data
        Real images for --cas, as `ganserve train --data` takes them. Left out: the test images of the run's own source.
    device
        Where to run. `auto` is CUDA where there is one, else the CPU.
    as_json
        Print one JSON object in place of the table.
    """
    if test_data is not None and not cas:
        raise ConfigError(f"--test-data {test_data}: these images are for --cas; give it too")
    if not 2 <= num_images <= _MAX_IMAGES:
        raise ConfigError(f"--num-images {num_images}: give 2 to {_MAX_IMAGES:,}")
    console = Console()
    finished = FinishedRun.open(run, checkpoint=checkpoint, data=data, device=device, console=Console(stderr=True))
    test = finished.test_images(test_data) if cas else None
    feature_extractor = finished.feature_extractor()
    scores = finished.scores(feature_extractor, num_images)
    accuracies = None if test is None else finished.cas(test)
    warnings = [trouble.text for trouble in troubles_of(scores)]
    if as_json:
        found = {
            "checkpoint": finished.checkpoint,
            "feature_extractor": feature_extractor.digest,
            **scores.to_dict(),
            "warnings": warnings,
        }
        print(json.dumps(found if accuracies is None else {**found, "cas": accuracies}))
        return
    console.print(
        f"{run}, checkpoint {finished.checkpoint}: {scores.num_images:,} samples",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )
    print_table(scores, console)
    if warnings:
        console.print()
    for warning in warnings:
        console.print(f"warning: {warning}", soft_wrap=True, highlight=False, markup=False)
    if test is not None and accuracies is not None:
        each = "  ".join(f"seed {seed}: {accuracy:.2%}" for seed, accuracy in zip(CAS_SEEDS, accuracies, strict=True))
        console.print(
            f"CAS  {statistics.mean(accuracies):.2%} ± {statistics.stdev(accuracies):.2%} of {len(test.images):,} real "
            f"test images right, learnt from {finished.num_cas_images:,} samples alone  ({each})",
            soft_wrap=True,
            highlight=False,
        )
