"""`ganserve evaluate`."""

from __future__ import annotations

import dataclasses
import json
import statistics
from pathlib import Path
from typing import Annotated, Final, NamedTuple

from cyclopts import Parameter
from rich.console import Console

from ganserve.console import open_console
from ganserve.contract.errors import ArtifactError, ConfigError, DatasetError
from ganserve.training.config import DeviceName
from ganserve.training.datasets import ImageDataset
from ganserve.training.evaluation import FeatureExtractor, Memorisation, print_table, troubles_of
from ganserve.training.evaluation.runs import CAS_SEEDS, NUM_IMAGES, FinishedRun
from ganserve.training.previews import write_png
from ganserve.training.rundir import CheckpointName, RunDir

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

    The judge is a small classifier of those images; it is trained the first time, and then kept. Where there are real
    images that the run did not learn from, those of the source's test split or of --test-data, it is told whether
    samples are copies of training images, and RUN/nearest.png shows the nearest ones side by side.

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
        Real images that the run did not learn from, as `ganserve train --data` takes them, for --cas and to tell copies
        by. Left out: the test images of the run's own source.
    device
        Where to run. `auto` is CUDA where there is one, else the CPU.
    as_json
        Print one JSON object in place of the table.
    """
    if not 2 <= num_images <= _MAX_IMAGES:
        raise ConfigError(f"--num-images {num_images}: give 2 to {_MAX_IMAGES:,}")
    console = open_console()
    finished = FinishedRun.open(run, checkpoint=checkpoint, data=data, device=device, console=Console(stderr=True))
    test = finished.test_images(test_data) if cas else None
    feature_extractor = finished.feature_extractor()
    scores = finished.scores(feature_extractor, num_images)
    copies = _find_copies(finished, feature_extractor, test, test_data, num_images)
    if copies.memorisation is not None:
        scores = dataclasses.replace(scores, **copies.memorisation.figures._asdict())
    accuracies = None if test is None else finished.cas(test)
    pairs = _write_pairs(copies.memorisation, finished.dataset, RunDir.existing(run).nearest)
    warnings = [trouble.text for trouble in troubles_of(scores)]
    if as_json:
        found = {
            "checkpoint": finished.checkpoint,
            "feature_extractor": feature_extractor.digest,
            **scores.to_dict(),
            **({} if pairs is None else {"nearest": str(pairs)}),
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
    if pairs is not None:
        copies = copies._replace(
            text=f"nearest: {pairs} shows the samples nearest to a training image beside it, "
            "and below held-out real images likewise"
        )
    if copies.text:
        console.print(f"\n{copies.text}", soft_wrap=True, highlight=False, markup=False)
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


class _Copies(NamedTuple):
    """What was found of copies of training images."""

    memorisation: Memorisation | None
    text: str = ""
    """Why nothing was."""


def _find_copies(
    finished: FinishedRun,
    feature_extractor: FeatureExtractor,
    held_out: ImageDataset | None,
    source: str | None,
    num_images: int,
) -> _Copies:
    """Measures memorisation with images that are given or those of `source`, None for the run's own source.

    Raises ConfigError and DatasetError where a `source` that was asked for cannot be used.
    """
    try:
        held_out = held_out or finished.held_out_images(source)
        if held_out is not None:
            return _Copies(finished.memorisation(feature_extractor, held_out, num_images))
        reason = f"{finished.config.data} has no test images of its own; give some with --test-data"
    except (ConfigError, DatasetError) as error:
        if source is not None:
            raise
        reason = str(error)
    return _Copies(None, f"not known whether samples are copies of training images: {reason}")


def _write_pairs(memorisation: Memorisation | None, training: ImageDataset, path: Path) -> Path | None:
    """Writes the picture of nearest neighbours; None where there is nothing to show or the folder cannot be written."""
    if memorisation is None:
        return None
    try:
        write_png(path, memorisation.picture(training))
    except ArtifactError:
        return None
    return path
