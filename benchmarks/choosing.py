"""Does it help to take the best of several candidates? Prints the tables of docs/scoring.md.

    ganserve export runs/mnist --onnx --models models --name mnist
    ganserve export runs/mnist --onnx --scorer --models models --name mnist
    python benchmarks/choosing.py --run runs/mnist --models models --name mnist --out choosing

For each scorer and each number of candidates, samples are judged as `ganserve evaluate` judges them, and classifiers
are trained on samples alone (CAS). What is in the output folder already is not measured again.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from command import run as run_command
from ganserve.client import LocalGenerator
from ganserve.training.config import DeviceName
from ganserve.training.evaluation import Evaluator, classification_accuracy_scores
from ganserve.training.evaluation.runs import FinishedRun
from ganserve.training.pixels import from_levels

CANDIDATES = (1, 2, 4, 8)
SCORERS = ("discriminator", "classifier")
COLUMNS = ("fid_domain", "precision", "recall", "density", "coverage", "gan_test", "diversity")
_SEED = 2**62


class ChosenSamples(nn.Module):
    """Stands in for a generator where samples are judged: it answers with the best of several candidates.

    Each call takes a seed of its own, so that no sample comes twice.
    """

    def __init__(self, source: LocalGenerator, seed: int, chosen_by: Mapping[str, Any]) -> None:
        super().__init__()
        self._source = source
        self._seed = seed
        self._chosen_by = chosen_by

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """z: (N, latent_dim), of which the number counts; labels: (N,) -> images (N, C, H, W) in [-1, 1]."""
        samples = self._source.generate(len(z), seed=self._seed, labels=labels.tolist(), **self._chosen_by)
        self._seed += 1
        return from_levels(torch.from_numpy(samples.numpy()).to(z.device))


def main(
    *,
    run: Path,
    models: Path,
    name: str,
    out: Path,
    candidates: tuple[int, ...] = CANDIDATES,
    scorers: tuple[str, ...] = SCORERS,
    num_images: int = 10_000,
    cas_images: int = 20_000,
    cas_seeds: int = 2,
    device: DeviceName = "auto",
) -> None:
    """Judge samples that were chosen among candidates.

    Parameters
    ----------
    run
        The training run of the generator, for its images and its judge.
    models
        Folder of bundles.
    name
        The generator's; its scorers are called NAME-discriminator and NAME-classifier.
    out
        Folder for what is found.
    candidates
        Candidates a sample; 1 chooses nothing.
    scorers
        Which scorers.
    num_images
        Samples to judge.
    cas_images
        Samples that a classifier learns from.
    cas_seeds
        Classifiers that are trained.
    device
        Where to judge and to train classifiers. `auto` is CUDA where there is one, else the CPU.
    """
    out.mkdir(parents=True, exist_ok=True)
    finished = FinishedRun.open(run, device=device)
    judge = Judge(finished, num_images=num_images, cas_images=cas_images, cas_seeds=cas_seeds)
    rows = []
    with LocalGenerator(models / name / "1", device="cpu") as source:  # where a choice never depends on the batch
        for number, scorer in settings(candidates, scorers):
            place = out / f"{name}-{scorer}-{number}.json"
            if not place.exists():
                chosen_by = {} if number == 1 else {"best_of": number, "scorer": f"{name}-{scorer}"}
                place.write_text(json.dumps(judge.figures(source, chosen_by)), encoding="utf-8")
            rows.append(row(number, scorer, json.loads(place.read_text(encoding="utf-8"))))
            print(rows[-1], flush=True)
    print("\n".join([*heading(), *rows]))


class Judge:
    """Judges samples of a run's generator."""

    def __init__(self, finished: FinishedRun, *, num_images: int, cas_images: int, cas_seeds: int) -> None:
        self._cas_images = cas_images
        self._cas_seeds = cas_seeds
        self._device = finished.device
        self._test = finished.test_images(None)
        self._evaluator = Evaluator(
            finished.dataset,
            finished.feature_extractor(),
            latent_dim=1,
            conditional=True,
            num_images=num_images,
            seed=0,
            device=finished.device,
        )

    def figures(self, source: LocalGenerator, chosen_by: Mapping[str, Any]) -> dict[str, Any]:
        """Scores of samples that were chosen so, by name, and the accuracies of classifiers of such samples."""
        began_s = time.monotonic()
        scores = self._evaluator.scores(ChosenSamples(source, _SEED, chosen_by))
        accuracies = classification_accuracy_scores(
            ChosenSamples(source, _SEED + 2**32, chosen_by),
            num_classes=self._test.num_classes,
            latent_dim=1,
            test=self._test,
            num_images=self._cas_images,
            seeds=range(self._cas_seeds),
            device=self._device,
        )
        return {**scores.to_dict(), "cas": accuracies, "seconds": time.monotonic() - began_s}


def settings(candidates: tuple[int, ...], scorers: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Numbers of candidates and what chooses among them; one candidate is chosen by nothing."""
    for number in candidates:
        yield from ([(1, "nothing")] if number == 1 else ((number, scorer) for scorer in scorers))


def heading() -> list[str]:
    """The first two lines of the table."""
    names = ("chosen by", "candidates", *COLUMNS, "class shares", "CAS")
    return [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]


def row(number: int, scorer: str, found: dict[str, Any]) -> str:
    """A line of the table."""
    shares = [one["share"] for one in found["classes"]]
    cells = [
        scorer,
        str(number),
        *(f"{found[name]:.3g}" for name in COLUMNS),
        f"{min(shares):.1%} … {max(shares):.1%}",
        f"{statistics.mean(found['cas']):.2%} ({min(found['cas']):.2%} … {max(found['cas']):.2%})",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    run_command(main)
