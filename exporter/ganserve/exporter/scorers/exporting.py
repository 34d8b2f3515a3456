"""From a run to bundles of its scorers, with the quantiles of their numbers on real images."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from torch import nn

from ganserve.contract import card as model_card
from ganserve.contract.bundle import IMAGE_INPUT, SCORES_OUTPUT, signature_of
from ganserve.contract.errors import ConfigError
from ganserve.contract.rows import Rows
from ganserve.contract.scores import quantiles_of
from ganserve.exporter.bundle import Target
from ganserve.exporter.checkpoint_choice import choose
from ganserve.exporter.onnx_graph import OPSET, scorer_to_onnx, with_card
from ganserve.exporter.parity import Comparison, OnProgress
from ganserve.exporter.pipeline import Export, check_graph, write_compared
from ganserve.exporter.tolerance import tolerance_of
from ganserve.runtime.device import Device
from ganserve.runtime.runners import CpuRunner
from ganserve.training.datasets import ImageDataset
from ganserve.training.evaluation.classifier_training import ClassifierSettings, hold_out, knows_classes
from ganserve.training.evaluation.runs import FinishedRun
from ganserve.training.rundir import CheckpointName
from ganserve.v1.model_pb2 import ImageInput, ImageRole, ModelCard, ModelKind

from .networks import ClassifierScorer, DiscriminatorScorer
from .parity import check_scores

ScorerKind = Literal["discriminator", "classifier"]

_SCORED_AT_ONCE: Final = 64
_OF_IMAGES: Final = {"size", "resize_mode"}
"""Settings of a run that say how its images were brought to its size."""


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """A scorer of a run, ready to be exported.

    Attributes:
        kind: which it is.
        network: from images uint8 (N, H, W, C) to numbers float32 (N, K).
        card: what it is, without quantiles.
        real: images that it was not trained on; None where there are none.
        checkpoint: which checkpoint it is of, and why, for people; empty for a classifier, which is of the images.
    """

    kind: ScorerKind
    network: nn.Module
    card: ModelCard
    real: ImageDataset | None
    checkpoint: str = ""

    def export(
        self,
        target: Target,
        opset: int = OPSET,
        device: Device | None = None,
        atol: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> Export:
        """Exports it as the bundle `<name>-<kind>`; see `export_scorer`."""
        made = export_scorer(
            self.network,
            self.card,
            self.named(target),
            real=self.real,
            opset=opset,
            device=device,
            atol=atol,
            on_progress=on_progress,
        )
        return dataclasses.replace(made, checkpoint=self.checkpoint)

    def named(self, target: Target) -> Target:
        """Where it goes, beside a generator that goes to `target`."""
        return dataclasses.replace(target, name=f"{target.name}-{self.kind}")


def scorers_of(
    run: Path,
    *,
    checkpoint: CheckpointName | Path | None = None,
    data: str | None = None,
    test_data: str | None = None,
    console: Console | None = None,
) -> list[Scorer]:
    """The discriminator of a run and, where its images have classes, the classifier that judged its samples.

    The quantiles of their numbers are to be taken over images that the run did not learn from: those of the test split
    of its source, or `test_data`. Where there are none, the classifier's are over the tenth of the run's images that it
    was not trained on, and the discriminator has none.

    Args:
        run: the run's folder.
        checkpoint: as for `export_run`; of the discriminator.
        data: where the run's images have moved to; None is where they were.
        test_data: real images that the run did not learn from, as `ganserve train --data` takes them.
        console: where progress is shown; None shows nothing.

    Raises:
        ArtifactError: the checkpoint is missing, torn, altered, or untrained.
        ConfigError: the images are not those of the run, or `test_data` are those that it learnt from.
        DatasetError: images cannot be read, or have another shape.
    """
    saved, why = choose(run, checkpoint)
    finished = FinishedRun.open(run, data=data, device="cpu", console=console)
    held_out = finished.held_out_images(test_data)
    discriminator = Scorer(
        kind="discriminator",
        network=DiscriminatorScorer(saved.discriminator()),
        card=_scorer_card(saved.card, "realness", saved.card.class_names),
        real=held_out,
        checkpoint=why,
    )
    if not knows_classes(finished.dataset):
        return [discriminator]
    classifier = finished.feature_extractor()
    card = _scorer_card(saved.card, "confidence", finished.dataset.class_names)
    card.architecture, card.loss = "classifier", "cross-entropy"
    card.ClearField("images_seen")  # and the settings: those of the run are not its own
    for name in set(card.training_config) - _OF_IMAGES:
        del card.training_config[name]
    card.metrics["accuracy"] = classifier.accuracy
    return [
        discriminator,
        Scorer(
            kind="classifier",
            network=ClassifierScorer(classifier),
            card=card,
            real=held_out or _kept_back(finished.dataset),
        ),
    ]


def export_scorer(
    scorer: nn.Module,
    card: ModelCard,
    target: Target,
    *,
    real: ImageDataset | None = None,
    opset: int = OPSET,
    device: Device | None = None,
    atol: float | None = None,
    on_progress: OnProgress | None = None,
) -> Export:
    """Exports a scorer of the caller's own.

    Args:
        scorer: on the CPU; it is put into eval mode, and left so. Called with images uint8 (N, H, W, C), it gives
            float32 (N, K).
        card: of the kind `MODEL_KIND_SCORER`, with the image that it takes and the K numbers that it gives.
        target: where to.
        real: images that the scorer was not trained on, for the quantiles; None keeps those of the card.
        opset: version of ONNX's operators.
        device: that the graph is meant for; None is the CPU.
        atol: largest difference of a number from PyTorch's; None is 1e-4, and as much of numbers above 1.
        on_progress: called with the comparisons done and their number.

    Raises:
        ArtifactError: the card is not of such a scorer.
        ConfigError: the scorer cannot be traced, or not for any batch size.
        ParityError: the ONNX file does not give its numbers.
    """
    target.check()
    tolerance = tolerance_of(atol, "fp32")
    model_card.check(card, source="the scorer")
    scorer = scorer.eval()
    model = scorer_to_onnx(scorer, card, opset=opset, device=device)
    if real is not None:
        card = _with_quantiles(card, _scores(model, card, real.images), real)
        model = with_card(model, card)
    check_graph(model)
    comparisons = check_scores(scorer, card, model, tolerance, on_progress)
    return write_compared(model, card, comparisons, target, "fp32", tolerance, doubts=_doubts_of(card, comparisons))


def _doubts_of(card: ModelCard, comparisons: list[Comparison]) -> Iterator[str]:
    if not any(score.quantiles for score in card.scores):
        yield "its numbers have no percentiles, for want of real images that it was not trained on; give --test-data"
    if all(comparison.lowest == comparison.highest for comparison in comparisons):
        yield "it gives all images the same number"


def _scorer_card(of: ModelCard, name: str, class_names: Collection[str]) -> ModelCard:
    card = ModelCard(
        kind=ModelKind.MODEL_KIND_SCORER,
        inputs=[ImageInput(name=IMAGE_INPUT, role=ImageRole.IMAGE_ROLE_IMAGE, shape=of.image)],
        architecture=of.architecture,
        loss=of.loss,
        dataset=of.dataset,
        training_config=of.training_config,
        images_seen=of.images_seen,
        versions=of.versions,
    )
    card.versions["ganserve"] = metadata.version("ganserve")
    if name in class_names:
        raise ConfigError(f"a class is called {name!r}, as the scorer's own number is; give it another name")
    card.scores.add(name=name)
    for class_name in class_names:
        card.scores.add(name=class_name, of_class=True)
    return card


def _kept_back(dataset: ImageDataset) -> ImageDataset:
    """The tenth of the images that the classifier was not trained on."""
    rng = np.random.default_rng(ClassifierSettings.for_dataset(dataset).seed)
    rows, _ = hold_out(len(dataset.images), rng)
    labels = None if dataset.labels is None else dataset.labels[rows]
    return ImageDataset(dataset.images[rows], labels, dataset.class_names, dataset.name)


def _scores(model: bytes, card: ModelCard, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Of images uint8 (N, H, W, C): float32 (N, K)."""
    runner = CpuRunner(model, signature_of(card))
    starts = range(0, len(images), _SCORED_AT_ONCE)
    batches = (np.ascontiguousarray(images[start : start + _SCORED_AT_ONCE]) for start in starts)
    return np.concatenate([runner.run(Rows({IMAGE_INPUT: batch})).columns[SCORES_OUTPUT] for batch in batches])


def _with_quantiles(card: ModelCard, scores: NDArray[np.float32], real: ImageDataset) -> ModelCard:
    """The card with the quantiles of each number, over images of its class where it is of one."""
    measured = ModelCard()
    measured.CopyFrom(card)
    for column, score in enumerate(measured.scores):
        of_class = scores[:, column]
        if score.of_class:
            is_own = real.labels is not None and score.name in real.class_names
            of_class = of_class[real.labels == real.class_names.index(score.name)] if is_own else of_class[:0]
        score.ClearField("quantiles")
        score.quantiles.extend(quantiles_of(of_class))
    return measured
