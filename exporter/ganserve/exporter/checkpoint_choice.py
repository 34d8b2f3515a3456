"""Which checkpoint of a run is exported, and why, in words."""

from __future__ import annotations

import shlex
from pathlib import Path

from ganserve.contract.errors import ArtifactError
from ganserve.training.checkpoint import Checkpoint, load, load_chosen
from ganserve.training.rundir import CheckpointName


def choose(run: Path, asked: CheckpointName | Path | None) -> tuple[Checkpoint, str]:
    """The checkpoint that is asked for, or where None is the run's best one, or its last; and a line that says why.

    Raises:
        ArtifactError: it is missing, torn or altered, or was saved before the first step.
    """
    checkpoint = load(asked) if isinstance(asked, Path) else load_chosen(run, asked)
    if not checkpoint.card.images_seen:
        raise ArtifactError(
            f"{checkpoint.path} was saved before the first step, and its generator is untrained; "
            f"train it with: ganserve train --resume {shlex.quote(str(run))}"
        )
    return checkpoint, _describe(checkpoint)


def _describe(checkpoint: Checkpoint) -> str:
    best, metric = checkpoint.progress.best, checkpoint.config.best_metric
    text = f"{checkpoint.path}, step {checkpoint.step:,}"
    if best is None:
        return f"{text}; no evaluation has chosen a best one"
    if best.step == checkpoint.step:
        return f"{text}, the best by {metric}: {best.value:.4g}"
    return f"{text}; by {metric} step {best.step:,} was the best: {best.value:.4g}"
